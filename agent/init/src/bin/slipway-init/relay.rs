//! Ports of the container's loopback whose connections go elsewhere: to the agent, or into the job's network.
//!
//! Invariant: nothing here waits, and no more than [`RELAY_CONNECTIONS_MAX`] connections are held; further ones wait in
//! the kernel. A connection to the agent outlives the agent's absence before it stands, not after.

use crate::pump::{End, Pump};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
    sockopt,
};
use slipway_init::limits::{
    RELAY_BACKLOG, RELAY_CONNECT_MAX_MS, RELAY_CONNECTIONS_MAX, RELAY_RETRY_MS, RELAYS_MAX,
};
use slipway_init::protocol::RelayTarget;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// What can be done for a relay, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayReady {
    Accept(usize),
    Pump(usize, End),
}

struct Listener {
    port: u16,
    target: RelayTarget,
    socket: OwnedFd,
}

/// A client whose target could not be reached yet.
struct Waiting {
    client: OwnedFd,
    target: RelayTarget,
    give_up_at_ms: u64,
}

/// All relays of the container.
pub(crate) struct Relays {
    agent: PathBuf,
    listeners: Vec<Listener>,
    waiting: Vec<Waiting>,
    pumps: Vec<Pump>,
    attempt_at_ms: u64,
}

impl Relays {
    /// None yet; `agent` is where the agent listens.
    pub(crate) fn new(agent: PathBuf) -> Self {
        let (listeners, waiting, pumps) = (Vec::new(), Vec::new(), Vec::new());
        Self { agent, listeners, waiting, pumps, attempt_at_ms: 0 }
    }

    /// Listens on a port, or gives the one that is listened on another target.
    pub(crate) fn listen(&mut self, port: u16, target: RelayTarget) -> Result<(), Errno> {
        if let Some(known) = self.listeners.iter_mut().find(|listener| listener.port == port) {
            known.target = target;
            return Ok(());
        }
        if self.listeners.len() >= RELAYS_MAX {
            return Err(Errno::NOSPC);
        }
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        listen(&socket, RELAY_BACKLOG)?;
        self.listeners.push(Listener { port, target, socket });
        Ok(())
    }

    /// Names every descriptor to wait for.
    pub(crate) fn watch<'a>(&'a self, mut watch: impl FnMut(RelayReady, BorrowedFd<'a>, PollFlags)) {
        if self.waiting.len() + self.pumps.len() < RELAY_CONNECTIONS_MAX {
            for (position, listener) in self.listeners.iter().enumerate() {
                watch(RelayReady::Accept(position), listener.socket.as_fd(), PollFlags::IN);
            }
        }
        for (position, pump) in self.pumps.iter().enumerate() {
            for end in [End::Client, End::Target] {
                if let Some((socket, flags)) = pump.interest(end) {
                    watch(RelayReady::Pump(position, end), socket, flags);
                }
            }
        }
    }

    /// Something can be done; removes nothing, so that positions stay as they are.
    pub(crate) fn handle(&mut self, ready: RelayReady, now_ms: u64, buffer: &mut [u8]) {
        match ready {
            RelayReady::Accept(position) => self.accept(position, now_ms),
            RelayReady::Pump(position, end) => {
                if let Some(pump) = self.pumps.get_mut(position) {
                    pump.handle(end, buffer);
                }
            }
        }
    }

    fn accept(&mut self, position: usize, now_ms: u64) {
        let Some(listener) = self.listeners.get(position) else { return };
        // Several ports may have been ready at once.
        if self.waiting.len() + self.pumps.len() >= RELAY_CONNECTIONS_MAX {
            return;
        }
        // Whoever connected may be gone already, which is no matter.
        let Ok(client) = accept_with(&listener.socket, FLAGS) else { return };
        let _ = sockopt::set_tcp_nodelay(&client, true);
        let give_up_at_ms = now_ms.saturating_add(RELAY_CONNECT_MAX_MS);
        self.waiting.push(Waiting { client, target: listener.target, give_up_at_ms });
        self.attempt_at_ms = now_ms;
    }

    /// Lets ended connections go, and connects those that wait.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.pumps.retain(|pump| !pump.is_over());
        if self.waiting.is_empty() || now_ms < self.attempt_at_ms {
            return;
        }
        self.attempt_at_ms = now_ms.saturating_add(RELAY_RETRY_MS);
        for waiting in std::mem::take(&mut self.waiting) {
            match self.open(waiting.target) {
                Ok((target, connecting)) => self.pumps.push(Pump::new(waiting.client, target, connecting)),
                // The agent is away or busy.
                Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN) if now_ms < waiting.give_up_at_ms => {
                    self.waiting.push(waiting);
                }
                // Dropping the client closes its connection: it sees what a refused service looks like.
                Err(_) => {}
            }
        }
    }

    /// A socket on its way to the target, and whether it is still connecting.
    fn open(&self, target: RelayTarget) -> Result<(OwnedFd, bool), Errno> {
        match target {
            RelayTarget::Agent => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
                connect(&socket, &SocketAddrUnix::new(&self.agent)?)?;
                Ok((socket, false))
            }
            RelayTarget::Address(address) => {
                let socket = socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None)?;
                sockopt::set_tcp_nodelay(&socket, true)?;
                match connect(&socket, &address) {
                    Ok(()) => Ok((socket, false)),
                    Err(Errno::INPROGRESS) => Ok((socket, true)),
                    // Not the agent: nothing to wait for.
                    Err(_) => Err(Errno::HOSTUNREACH),
                }
            }
        }
    }

    /// When a connection that waits is tried again.
    pub(crate) fn attempt_at_ms(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(self.attempt_at_ms)
    }
}
