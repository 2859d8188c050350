//! Whether the other end of a connection is still there, asked by the kernel.
//!
//! TCP's own keep-alive costs neither end a turn of its program, so that ten thousand idle connections cost nothing. It notices a machine that
//! vanished, or a network that takes nothing any more; a program that hangs on a machine that lives it does not.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

/// How long the other end may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a connection is silent before the other end is asked; whole seconds.
    pub asked_after: Duration,
    /// How long until it is asked again; whole seconds.
    pub asked_again: Duration,
    /// How often it is asked in all, before the connection ends.
    pub times: u32,
}

impl Patience {
    /// Of coordinators and agents.
    pub const USUAL: Self =
        Self { asked_after: Duration::from_secs(20), asked_again: Duration::from_secs(5), times: 3 };

    /// How long a connection lives at most after its other end vanished.
    #[must_use]
    pub fn in_all(&self) -> Duration {
        self.asked_after + self.asked_again * self.times
    }

    /// Has the kernel end this connection when its other end vanished: reads and writes fail then, mostly with [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// It is no TCP socket.
    pub fn watch(&self, socket: impl AsFd) -> io::Result<()> {
        let in_all_ms = u32::try_from(self.in_all().as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_keepidle(&socket, self.asked_after)?;
        sockopt::set_tcp_keepintvl(&socket, self.asked_again)?;
        sockopt::set_tcp_keepcnt(&socket, self.times)?;
        // While something that was sent is under way, nobody is asked: this bounds that.
        sockopt::set_tcp_user_timeout(&socket, in_all_ms)?;
        Ok(sockopt::set_socket_keepalive(&socket, true)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_ways_of_vanishing_are_bounded() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Patience::USUAL.watch(&stream).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        let idle = sockopt::tcp_keepidle(&stream).unwrap();
        let again = sockopt::tcp_keepintvl(&stream).unwrap();
        let in_all = Patience::USUAL.in_all();
        assert_eq!(idle + again * sockopt::tcp_keepcnt(&stream).unwrap(), in_all);
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&stream).unwrap()), in_all.as_millis());
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Patience::USUAL.watch(&one).is_err());
    }
}
