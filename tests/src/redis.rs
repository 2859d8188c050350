//! A real Redis for tests: in a folder of its own, on a port of its own, gone with its value. It writes nothing to disk: what it
//! held is gone when it is killed.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::postgres::signal;
use crate::{Server, free_port, wait_until};

/// A server on 127.0.0.1.
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    max_mebibytes: u32,
    server: Option<Server>,
}

impl RedisServer {
    /// Starts one that holds so much and forgets what was used least.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    #[must_use]
    pub fn start(max_mebibytes: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-redis-").tempdir().unwrap();
        let mut redis = Self { folder, port: free_port(), max_mebibytes, server: None };
        redis.resume();
        redis
    }

    /// Where it is, as `--cache` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts it (again), with nothing in it.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn resume(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--maxmemory", &format!("{}mb", self.max_mebibytes)]);
        command.args(["--maxmemory-policy", "allkeys-lru"]).current_dir(self.folder.path());
        self.server = Some(Server::start(&mut command, &self.log()));
        wait_until("Redis answers", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill9();
        }
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&self, name: &str) {
        if let Some(server) = &self.server {
            signal(name, &[server.pid()]);
        }
    }
}
