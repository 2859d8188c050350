//! One relayed connection: bytes both ways, each half closed by itself, never waiting.

use rustix::event::PollFlags;
use rustix::io::{Errno, read};
use rustix::net::{SendFlags, Shutdown, send, shutdown, sockopt};
use slipway_init::limits::RELAY_PENDING_MAX_BYTES;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Target,
}

/// Bytes on their way from one end to the other.
#[derive(Default)]
struct Half {
    /// What the receiver has not taken yet; nothing is read before it is gone.
    pending: Vec<u8>,
    /// The sender has sent its last byte.
    ended: bool,
    /// The receiver was told so.
    closed: bool,
}

/// Two connected sockets.
pub(crate) struct Pump {
    client: OwnedFd,
    target: OwnedFd,
    from_client: Half,
    from_target: Half,
    /// The target's connection does not stand yet.
    connecting: bool,
    broken: bool,
}

impl Pump {
    pub(crate) fn new(client: OwnedFd, target: OwnedFd, connecting: bool) -> Self {
        let (from_client, from_target) = (Half::default(), Half::default());
        Self { client, target, from_client, from_target, connecting, broken: false }
    }

    /// Whether nothing can be relayed any more.
    pub(crate) fn is_over(&self) -> bool {
        self.broken || (self.from_client.closed && self.from_target.closed)
    }

    /// An end with what to wait for there. None when there is nothing: the kernel tells errors even then.
    pub(crate) fn interest(&self, end: End) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let (socket, out_of, into) = match end {
            End::Client => (&self.client, &self.from_client, &self.from_target),
            End::Target => (&self.target, &self.from_target, &self.from_client),
        };
        let mut flags = PollFlags::empty();
        if self.connecting {
            flags.set(PollFlags::OUT, end == End::Target);
        } else {
            flags.set(PollFlags::IN, !out_of.ended && out_of.pending.is_empty());
            flags.set(PollFlags::OUT, !into.pending.is_empty());
        }
        (!flags.is_empty()).then(|| (socket.as_fd(), flags))
    }

    /// Something can be done at this end.
    pub(crate) fn handle(&mut self, end: End, buffer: &mut [u8]) {
        if self.connecting {
            match sockopt::socket_error(&self.target) {
                Ok(Ok(())) => self.connecting = false,
                _ => self.broken = true,
            }
            return;
        }
        let Self { client, target, from_client, from_target, .. } = self;
        let (here, there, out_of, into) = match end {
            End::Client => (client, target, from_client, from_target),
            End::Target => (target, client, from_target, from_client),
        };
        let done = into.flush(here).and_then(|()| out_of.fill(here, there, buffer));
        self.broken |= done.is_err();
    }
}

impl Half {
    /// Reads once and hands on what the receiver takes.
    fn fill(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) -> Result<(), Errno> {
        if self.ended || !self.pending.is_empty() {
            return Ok(());
        }
        let room = buffer.len().min(RELAY_PENDING_MAX_BYTES);
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        match read(from, &mut *buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                let sent = send_some(to, bytes)?;
                self.pending.extend_from_slice(bytes.get(sent..).unwrap_or_default());
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        self.flush(to)
    }

    /// Hands on what waits, and then the end.
    fn flush(&mut self, to: &OwnedFd) -> Result<(), Errno> {
        if !self.pending.is_empty() {
            let sent = send_some(to, &self.pending)?;
            self.pending.drain(..sent);
            if self.pending.is_empty() {
                // Most connections wait most of the time: then they cost no memory.
                self.pending = Vec::new();
            }
        }
        if self.ended && !self.closed && self.pending.is_empty() {
            self.closed = true;
            // An end that is gone already needs no telling.
            let _ = shutdown(to, Shutdown::Write);
        }
        Ok(())
    }
}

fn send_some(to: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(to, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        sent => sent,
    }
}
