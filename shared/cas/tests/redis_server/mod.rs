//! Real Redis servers for tests, on loopback, each in a folder of its own. `redis-server` is found on the path.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use slipway_cas::cache::redis::Tls;

/// Looks at a condition before a test gives up; a look every 50 ms.
const LOOKS: usize = 1200;

/// A server, killed when it is dropped.
pub struct Server {
    child: Option<Child>,
    pub port: u16,
    pub folder: tempfile::TempDir,
    arguments: Vec<String>,
    tls: Option<(Tls, u16)>,
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts one with these further arguments and waits until it answers.
    pub async fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
        let mut server = Self { child: None, port: free_port(), folder, arguments, tls: None };
        server.run().await;
        server
    }

    /// Starts one that also takes TLS, at the port returned; with the options for its client.
    pub async fn start_with_tls() -> (Self, u16, Tls) {
        let folder = tempfile::tempdir().unwrap();
        let (tls, files) = certificates(folder.path());
        let tls_port = free_port();
        let mut arguments = vec!["--tls-port".to_owned(), tls_port.to_string()];
        for (option, file) in ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"].iter().zip(files) {
            arguments.extend([(*option).to_owned(), file.display().to_string()]);
        }
        let tls_of = Some((tls.clone(), tls_port));
        let mut server = Self { child: None, port: free_port(), folder, arguments, tls: tls_of };
        server.run().await;
        (server, tls_port, tls)
    }

    /// Starts it, also once more after [`Server::kill`], at the same port.
    pub async fn run(&mut self) {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .arg("--logfile")
            .arg(self.folder.path().join("log"))
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server: {error}; install the package `redis-server`"));
        self.child = Some(child);
        until("redis-server answers", async || self.try_connection().await.is_some()).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    async fn try_connection(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }

    pub async fn connection(&self) -> MultiplexedConnection {
        self.try_connection().await.unwrap()
    }

    /// Asks one thing.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut asked = redis::cmd(command[0]);
        for argument in &command[1..] {
            asked.arg(*argument);
        }
        asked.query_async(&mut self.connection().await).await.unwrap()
    }

    /// All keys.
    pub async fn keys(&self) -> Vec<String> {
        self.ask(&["KEYS", "*"]).await
    }

    /// How often a command was run, as the server counts.
    pub async fn calls(&self, command: &str) -> u64 {
        let info: String = self.ask(&["INFO", "commandstats"]).await;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Sentinel that watches the server at `primary` as `main`.
pub struct Sentinel {
    child: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    pub fn start(primary: u16) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        let child = command.arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap();
        Self { child, port, _folder: folder }
    }

    /// How many replicas it knows.
    pub async fn replicas(&self) -> usize {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return 0 };
        let mut command = redis::cmd("SENTINEL");
        let replicas: Vec<redis::Value> =
            command.arg("replicas").arg("main").query_async(&mut connection).await.unwrap_or_default();
        replicas.len()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three servers as a cluster.
pub async fn cluster() -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let bus = free_port().to_string();
        let arguments =
            ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-announce-ip", "127.0.0.1"];
        let server = Server::start(&arguments).await;
        servers.push((server, bus));
    }
    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for ((server, _), (start, stop)) in servers.iter().zip(ranges) {
        let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", start, stop]).await;
    }
    let (first, others) = servers.split_first().unwrap();
    for (other, bus) in others {
        let () = first.0.ask(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), bus]).await;
    }
    for (server, _) in &servers {
        until("the cluster is whole", async || {
            let info: String = server.ask(&["CLUSTER", "INFO"]).await;
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
        .await;
    }
    servers.into_iter().map(|(server, _)| server).collect()
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..LOOKS {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came: {what}");
}

/// A certificate of a CA of its own for `localhost` and loopback: certificate, key and CA as files, and the CA for clients.
fn certificates(folder: &Path) -> (Tls, [PathBuf; 3]) {
    let mut ca_parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca_parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // With a name of its own: a certificate with the name of its issuer is taken for one that signed itself.
    ca_parameters.distinguished_name.push(rcgen::DnType::CommonName, "a CA for tests");
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = ca_parameters.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca_parameters, ca_key);
    let issue = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        (
            rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    };
    let (server, client) = (issue(&["localhost", "127.0.0.1"]), issue(&["client"]));
    let files = ["cert.pem", "key.pem", "ca.pem"].map(|name| folder.join(name));
    for (file, text) in files.iter().zip([server.0, server.1, ca.pem()]) {
        fs::write(file, text).unwrap();
    }
    // This server asks its clients for certificates too.
    let tls =
        Tls { ca: Some(ca.pem().into_bytes()), client: Some((client.0.into_bytes(), client.1.into_bytes())) };
    (tls, files)
}
