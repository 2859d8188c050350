//! One process under test, started again whenever it ends, as systemd does it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use slipway_tests::Server;
use slipway_tests::postgres::signal;

/// How long after its end a process is started again (`RestartSec=` of a unit).
const RESTART_AFTER: Duration = Duration::from_millis(300);

/// A program with its arguments, and its process while it has one.
pub(crate) struct Member {
    make: Box<dyn Fn() -> Command>,
    log: PathBuf,
    server: Option<Server>,
    /// When it may start again; `None` while it runs.
    starts_at: Option<Instant>,
    /// It stays dead until somebody says otherwise.
    held: bool,
}

impl Member {
    /// Starts it. What it says goes to the file `log`.
    pub(crate) fn start(log: PathBuf, make: impl Fn() -> Command + 'static) -> Self {
        let mut member = Self { make: Box::new(make), log, server: None, starts_at: None, held: false };
        member.launch();
        member
    }

    fn launch(&mut self) {
        self.server = Some(Server::start(&mut (self.make)(), &self.log));
        self.starts_at = None;
    }

    /// Starts it again if it has ended and it is time.
    pub(crate) fn tend(&mut self) {
        if self.server.as_mut().is_some_and(|server| !server.runs()) {
            self.server = None;
        }
        if self.server.is_some() || self.held {
            return;
        }
        match self.starts_at {
            None => self.starts_at = Some(Instant::now() + RESTART_AFTER),
            Some(at) if at <= Instant::now() => self.launch(),
            Some(_) => {}
        }
    }

    /// `kill -9`. With `held` it stays dead until [`Member::release`].
    pub(crate) fn kill(&mut self, held: bool) {
        if let Some(mut server) = self.server.take() {
            server.kill9();
        }
        self.held = held;
    }

    pub(crate) fn release(&mut self) {
        self.held = false;
    }

    /// Sends it a signal, if it runs.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(server) = &self.server {
            signal(name, &[server.pid()]);
        }
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::runs)
    }
}
