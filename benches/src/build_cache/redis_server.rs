//! A real Redis of this measurement's own, its own load driver, and a plain client of it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

/// What it may hold: more than one round writes.
const MAX_MEMORY: &str = "1gb";

/// Looks for the new server, and the pause between two.
const LOOKS: usize = 200;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server on loopback without files; it ends with its value.
pub(super) struct RedisServer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl RedisServer {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory", MAX_MEMORY, "--maxmemory-policy", "allkeys-lru", "--dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start `redis-server`: install the package of that name")?;
        let server = Self { child, port, _folder: folder };
        for _ in 0..LOOKS {
            if server.connection().await.is_ok() {
                return Ok(server);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("redis-server does not answer on port {port}")
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        connection(self.port).await
    }

    /// Forgets everything.
    pub(super) async fn flush(&self) -> anyhow::Result<()> {
        Ok(redis::cmd("FLUSHALL").query_async(&mut self.connection().await?).await?)
    }

    /// What `redis-benchmark` makes of it in commands a second; `None` without that program.
    pub(super) async fn benchmark(&self, load: Benchmark) -> anyhow::Result<Option<f64>> {
        let Benchmark { command, bytes, clients, pipeline, requests } = load;
        let output = tokio::process::Command::new("redis-benchmark")
            .args(["-p", &self.port.to_string(), "--csv", "-t", command, "-d", &bytes.to_string()])
            .args(["-c", &clients.to_string(), "-P", &pipeline.to_string(), "-n", &requests.to_string()])
            .stdin(Stdio::null())
            .output()
            .await;
        let output = match output {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            output => output?,
        };
        ensure!(output.status.success(), "redis-benchmark ended with {}", output.status);
        // "SET","123456.78",… below a line of names.
        let text = String::from_utf8(output.stdout)?;
        let row = text.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("\"{command}\"")));
        let rate = row.and_then(|row| row.split(',').nth(1)).context("redis-benchmark printed no rate")?;
        Ok(Some(rate.trim_matches('"').parse()?))
    }
}

/// A load of `redis-benchmark`.
#[derive(Clone, Copy)]
pub(super) struct Benchmark {
    /// `set` or `get`.
    pub(super) command: &'static str,
    pub(super) bytes: usize,
    pub(super) clients: usize,
    pub(super) pipeline: usize,
    pub(super) requests: usize,
}

/// A plain connection, without a time limit: a busy machine is measured as it is.
pub(super) async fn connection(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(("127.0.0.1", port))?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
