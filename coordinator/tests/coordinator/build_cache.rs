//! A coordinator as build tools see it: its cache's addresses and token.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use reqwest::Method;
use slipway_coordinator::options::CachePlace;

use crate::fixture::Fixture;

/// How long one build may take; a tool that hangs fails its test then.
const BUILD_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) struct BuildCache {
    pub(crate) fixture: Fixture,
    pub(crate) token: String,
}

impl BuildCache {
    pub(crate) async fn start() -> Self {
        Self::of(Fixture::start().await)
    }

    /// With a Redis where nobody listens.
    pub(crate) async fn dead() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::redis(&format!("redis://127.0.0.1:{port}")).await
    }

    pub(crate) async fn redis(url: &str) -> Self {
        Self::of(Fixture::start_with(|options| options.cache = CachePlace::Redis(url.into())).await)
    }

    fn of(fixture: Fixture) -> Self {
        let token = std::fs::read_to_string(fixture.folder.path().join("data/cache.token")).unwrap();
        Self { fixture, token: token.trim().to_owned() }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.fixture.handle().http_addr
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.fixture.handle().grpc_addr
    }

    /// The cache's address over HTTP, with this path below it.
    pub(crate) fn url(&self, path: &str) -> String {
        self.fixture.url(&format!("/cache/{path}"))
    }

    /// Whether what backs it answered when it was last asked.
    pub(crate) async fn is_up(&self) -> bool {
        let metrics = self.fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("slipway_cache_up "));
        line.unwrap_or_else(|| panic!("no slipway_cache_up in {metrics}")) == "1"
    }
}

/// Runs a build tool to its end.
pub(crate) async fn run(command: Command, needs: &str) -> Output {
    let name = command.get_program().to_owned();
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let built = tokio::time::timeout(BUILD_TIMEOUT, command.output()).await;
    let built = built.unwrap_or_else(|_| panic!("{} did not end", name.display()));
    built.unwrap_or_else(|error| panic!("{}: {error}; {needs} makes it", name.display()))
}

/// What a tool said, by both ways.
pub(crate) fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `scripts/prepare-clients.sh` made, in this variable.
pub(crate) fn prepared(variable: &str) -> PathBuf {
    std::env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{variable} is not set: run the tests with nextest, or scripts/prepare-clients.sh first")
    })
}

pub(crate) const DEBIAN: &str = "scripts/install-deps.sh --for-tests";
pub(crate) const PREPARED: &str = "scripts/prepare-clients.sh";
