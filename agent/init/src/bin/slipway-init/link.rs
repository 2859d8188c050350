//! Init's end of the control socket: connects, connects again, and moves messages without ever blocking.
//!
//! Invariant: talks only to a peer outside the container's pid namespace. A step could put a socket of its own over the
//! mount (if it was given the right to mount), but it can't be outside.

use crate::system::peer_pid;
use rustix::io::{Errno, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recvmsg, send, socket_with,
};
use slipway_init::limits::{ORDER_MAX_BYTES, RECONNECT_MS};
use slipway_init::protocol::{MessageBuffer, Order, Report};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Unsent reports beyond which no further order is read.
const BACKLOG_MAX_BYTES: usize = 64 * 1024;

/// Descriptors taken from one read; further ones are dropped by the kernel.
const DESCRIPTORS_MAX: usize = 4;

pub(crate) struct Link {
    path: PathBuf,
    connection: Option<Connection>,
    attempt_at_ms: u64,
    complained: bool,
}

struct Connection {
    socket: OwnedFd,
    received: MessageBuffer,
    descriptor: Option<OwnedFd>,
    unsent: Vec<u8>,
    welcomed: bool,
}

impl Link {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, connection: None, attempt_at_ms: 0, complained: false }
    }

    /// Connects when it is time; `true` when a new connection stands and wants its `Hello`.
    pub(crate) fn connect(&mut self, now_ms: u64) -> bool {
        if self.connection.is_some() || now_ms < self.attempt_at_ms {
            return false;
        }
        self.attempt_at_ms = now_ms.saturating_add(RECONNECT_MS);
        match self.open() {
            Ok(Some(socket)) => {
                self.complained = false;
                self.connection = Some(Connection {
                    socket,
                    received: MessageBuffer::new(ORDER_MAX_BYTES),
                    descriptor: None,
                    unsent: Vec::new(),
                    welcomed: false,
                });
                true
            }
            Ok(None) => {
                self.complain("the control socket is served from inside the container; not talking to it");
                false
            }
            // An agent that is away or busy: the usual case after a crash, nothing to say about it.
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN) => false,
            Err(errno) => {
                let reason = std::io::Error::from(errno);
                self.complain(&format!("cannot connect to {}: {reason}", self.path.display()));
                false
            }
        }
    }

    fn open(&self) -> Result<Option<OwnedFd>, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(&self.path)?)?;
        Ok((peer_pid(socket.as_fd())? == 0).then_some(socket))
    }

    /// One line on stderr (the container's log), once until a connection succeeds.
    fn complain(&mut self, what: &str) {
        if !self.complained {
            eprintln!("slipway-init: {what}");
            self.complained = true;
        }
    }

    /// When [`Self::connect`] has something to do.
    pub(crate) fn attempt_at_ms(&self) -> Option<u64> {
        self.connection.is_none().then_some(self.attempt_at_ms)
    }

    /// The socket, with whether it may be read and whether something waits to be sent.
    pub(crate) fn interest(&self) -> Option<(&OwnedFd, bool, bool)> {
        let connection = self.connection.as_ref()?;
        let backlog = connection.unsent.len();
        Some((&connection.socket, backlog < BACKLOG_MAX_BYTES, backlog > 0))
    }

    /// Whether the connection is past its welcome and has nothing unsent.
    pub(crate) fn is_idle(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.welcomed && connection.unsent.is_empty())
    }

    pub(crate) fn is_welcomed(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.welcomed)
    }

    pub(crate) fn set_welcomed(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.welcomed = true;
        }
    }

    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.connection.as_mut()?.descriptor.take()
    }

    /// Reads once. A closed or broken connection is dropped.
    pub(crate) fn receive(&mut self) {
        if let Some(connection) = &mut self.connection
            && !connection.receive()
        {
            self.connection = None;
        }
    }

    /// The next order that has arrived. A peer that sends anything else is dropped.
    pub(crate) fn next_order(&mut self) -> Option<Order> {
        let connection = self.connection.as_mut()?;
        let order = match connection.received.next_message() {
            Ok(None) => return None,
            Ok(Some(body)) => Order::decode(body),
            Err(error) => Err(error),
        };
        match order {
            Ok(order) => Some(order),
            Err(error) => {
                self.drop_peer(&format!("the agent sent something that is no order: {error}"));
                None
            }
        }
    }

    /// Drops the connection, with the reason on stderr.
    pub(crate) fn drop_peer(&mut self, why: &str) {
        self.connection = None;
        self.complain(why);
    }

    /// Queues a report; lost when there is no connection, because the next `Hello` tells it all.
    pub(crate) fn report(&mut self, report: &Report) {
        if let Some(connection) = &mut self.connection
            && let Ok(message) = report.encode()
        {
            connection.unsent.extend_from_slice(&message);
        }
    }

    /// Sends what the socket takes.
    pub(crate) fn send(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while !connection.unsent.is_empty() {
            match send(&connection.socket, &connection.unsent, SendFlags::NOSIGNAL) {
                Ok(count) => drop(connection.unsent.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.connection = None;
                    return;
                }
            }
        }
    }
}

impl Connection {
    fn receive(&mut self) -> bool {
        let mut bytes = [0_u8; 64 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let result = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                // Only the last one counts; the others close here.
                self.descriptor = descriptors.last().or(self.descriptor.take());
            }
        }
        match result {
            Ok(message) if message.bytes > 0 => {
                self.received.push(bytes.get(..message.bytes).unwrap_or_default());
                true
            }
            Ok(_) => false,
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }
}
