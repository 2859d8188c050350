//! What the end-to-end tests stand on: the built programs as processes, a checkout to run, a git server over HTTP,
//! PostgreSQL servers.
//!
//! Everything here goes through what users have: programs, their flags, their output and HTTP. Nothing of the other
//! crates is called, so a test cannot pass by reaching around the contract. Every process and folder that a test
//! starts here is gone when its value is dropped.
//!
//! `scripts/prepare-tests.sh` builds the programs and images first; nextest runs it by itself (`.config/nextest.toml`).

#![allow(clippy::unwrap_used, clippy::panic)] // A test's support fails the test by panicking.

mod browser;
mod checkout;
mod client;
mod clients;
mod cluster;
mod fleet;
mod git_server;
mod http;
mod outcome;
pub mod postgres;
mod process;
mod redis;
mod volume;

pub use browser::Browser;
pub use checkout::Checkout;
pub use client::{http_client, http_client_builder, https_client};
pub use clients::copy_client_packages;
pub use cluster::Cluster;
pub use fleet::{Agent, AgentOptions, Coordinator, Signal, remove_agents_containers};
pub use git_server::{GitServer, Request, Verdict};
pub use http::{HttpAnswer, get, post_with_curl, signature};
pub use outcome::Outcome;
pub use process::{Server, docker, free_port, program, wait_until};
pub use redis::RedisServer;
pub use volume::Volume;

/// The image that jobs without `container:` run in here: git, bash and sudo, no compilers.
pub const RUNNER_IMAGE: &str = "slipway/runner:slim";

/// An image with busybox alone, of an architecture as Docker calls it: sh, no bash, no git, user root.
#[must_use]
pub fn busybox_image(architecture: &str) -> String {
    format!("slipway/busybox:{architecture}")
}

/// An ARM64 image with busybox and the libraries that Node needs.
pub const ARM64_GLIBC_IMAGE: &str = "slipway/glibc:arm64";

/// An image with busybox and musl, as Alpine has it, of an architecture as Docker calls it.
#[must_use]
pub fn musl_image(architecture: &str) -> String {
    format!("slipway/musl:{architecture}")
}

/// This machine's architecture as Docker calls it.
#[must_use]
pub fn native_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}
