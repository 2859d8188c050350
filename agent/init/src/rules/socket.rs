//! The kernel's routing netlink.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::Rule;
use super::message::{self, Answer};

/// Largest datagram that the kernel sends of a list (`NLMSG_GOODSIZE`), and more.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// Datagrams of one answer that are read: a machine has some ten rules, one of thousands is beyond us.
const DATAGRAMS_MAX: usize = 1_000;

pub(super) struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        // Without a protocol it is the one of routes.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The machine's rules that are like ours.
    pub(super) fn list(&mut self) -> io::Result<Vec<Rule>> {
        self.sequence += 1;
        let mut rules = Vec::new();
        self.ask(&message::list(self.sequence), |answer| match answer {
            Answer::Rule(rule) => {
                rules.push(rule);
                None
            }
            Answer::Other => None,
            Answer::Done => Some(Ok(())),
            Answer::Result(code) => Some(Err(io::Error::from_raw_os_error(code))),
        })?;
        Ok(rules)
    }

    /// Adds a rule, or finds that it is there.
    pub(super) fn add(&mut self, rule: &Rule) -> io::Result<()> {
        self.sequence += 1;
        self.ask(&message::add(rule, self.sequence), |answer| match answer {
            Answer::Result(code) if code == 0 || code == Errno::EXIST.raw_os_error() => Some(Ok(())),
            Answer::Result(code) => Some(Err(io::Error::from_raw_os_error(code))),
            _ => None,
        })
    }

    fn ask(&self, request: &[u8], mut each: impl FnMut(Answer) -> Option<io::Result<()>>) -> io::Result<()> {
        send(&self.socket, request, SendFlags::empty())?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        for _ in 0..DATAGRAMS_MAX {
            let (read, _) = recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            for answer in message::answers(buffer.get(..read).unwrap_or_default()) {
                if let Some(result) = each(answer) {
                    return result;
                }
            }
        }
        Err(io::Error::other("the kernel's answer has no end"))
    }
}
