//! The container engine: everything the agent says to Docker is said here.
//!
//! Invariant: whatever this module creates carries the label [`LABEL_AGENT`], and it only ever removes what carries that
//! label with this agent's id. Errors come out as fleet failures with a sentence that says what to do.
//!
//! Deliberately absent: what runs inside a container (that is the job's init) and image building.

pub mod build;
pub mod collect;
pub mod container;
pub mod folders;
pub mod image;
pub mod job_engine;
pub mod layers;
pub mod leftovers;
pub mod memory;
mod mounts;
pub mod network;
pub mod once;
pub mod options;
pub mod passwd;
pub mod service;
pub mod volumes;

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::failure::{Cause, Failure};

/// Label with the agent's id, on everything it creates.
pub const LABEL_AGENT: &str = "slipway.agent";
/// Label with the job's instance.
pub const LABEL_INSTANCE: &str = "slipway.instance";
/// Label with the attempt's number.
pub const LABEL_ATTEMPT: &str = "slipway.attempt";
/// Label with the run.
pub const LABEL_RUN: &str = "slipway.run";
/// Label with the name of the job's folder, on its volumes.
pub const LABEL_JOB: &str = "slipway.job";
/// Label of a sandbox: a container that was made before the job that takes it.
pub const LABEL_SANDBOX: &str = "slipway.sandbox";
/// Label with the lease's fencing token.
pub const LABEL_TOKEN: &str = "slipway.token";

/// Where the engine is without `--docker-host` and `DOCKER_HOST`.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long one request may take; pulling an image is not one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A connection to the engine. Cheap to clone; each request opens its own connection, so it outlives restarts of
/// the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    host: String,
    agent: String,
    /// How many processors its machine has; none: it does not say.
    processors: Option<i64>,
}

/// An engine's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The folder of its images and containers.
    pub root: String,
    /// Whether containers outlive its restart.
    pub live_restore: bool,
    /// Whether it runs without root's rights.
    pub rootless: bool,
    /// Whether a container's memory can be bounded.
    pub memory_limit: bool,
    /// Whether a container's processes can be bounded.
    pub pids_limit: bool,
    /// Whether containers have other user ids than the machine.
    pub user_namespaces: bool,
    /// Whether it takes dangerous system calls from containers.
    pub seccomp: bool,
    /// Names of the runtimes that containers may have, sorted.
    pub runtimes: Vec<String>,
    /// The runtime of containers that name none.
    pub default_runtime: String,
}

impl About {
    /// That this is one of the engine's runtimes.
    ///
    /// # Errors
    /// `container_start`, with the ones there are.
    pub fn has_runtime(&self, name: &str) -> Result<(), Failure> {
        if self.runtimes.iter().any(|known| known == name) {
            return Ok(());
        }
        let message = format!(
            "--runtime {name}: the engine has no such runtime, only {}: register it under `runtimes` in its daemon.json",
            self.runtimes.join(", ")
        );
        Err(Failure::new(Cause::ContainerStart, message))
    }
}

impl Engine {
    /// Connects to the engine at `host` (`unix://…`) for the agent with this id and asks whether it is there.
    ///
    /// # Errors
    /// `engine_unavailable` when nothing answers, with the command that starts it; also for an address that is not a
    /// Unix socket: the agent binds folders of its own machine into containers.
    pub async fn connect(host: &str, agent: &str) -> Result<Self, Failure> {
        if !host.starts_with("unix://") {
            return Err(Failure::new(
                Cause::EngineUnavailable,
                format!(
                    "the Docker engine's address `{host}` is not a Unix socket: the agent shares folders with its \
                     containers, so the engine must be on this machine; use unix:///path/to/docker.sock"
                ),
            ));
        }
        let docker = Docker::connect_with_unix(host, REQUEST_TIMEOUT.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| unavailable(host, &error))?
            .negotiate_version()
            .await
            .map_err(|error| unavailable(host, &error))?;
        let info = docker.info().await.map_err(|error| unavailable(host, &error))?;
        let processors = info.ncpu.filter(|count| *count > 0);
        Ok(Self { docker, host: host.to_owned(), agent: agent.to_owned(), processors })
    }

    /// So many billionths of a processor, as far as there are as many: it refuses to bound what there is not.
    fn nano_cpus(&self, wanted: Option<i64>) -> Option<i64> {
        wanted.map(|wanted| {
            self.processors.map_or(wanted, |count| wanted.min(count.saturating_mul(1_000_000_000)))
        })
    }

    /// Asks whether the engine answers.
    ///
    /// # Errors
    /// `engine_unavailable`.
    pub async fn ping(&self) -> Result<(), Failure> {
        self.docker.ping().await.map(drop).map_err(|error| unavailable(&self.host, &error))
    }

    /// What the engine says of itself, for whoever looks after its machine.
    ///
    /// # Errors
    /// `engine_unavailable`.
    pub async fn about(&self) -> Result<About, Failure> {
        let info = self.docker.info().await.map_err(|error| unavailable(&self.host, &error))?;
        let options = info.security_options.unwrap_or_default();
        let has = |name: &str| options.iter().any(|option| option.contains(name));
        let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        Ok(About {
            version: info.server_version.unwrap_or_default(),
            root: info.docker_root_dir.unwrap_or_default(),
            live_restore: info.live_restore_enabled.unwrap_or_default(),
            rootless: has("rootless"),
            user_namespaces: has("userns"),
            seccomp: has("seccomp"),
            runtimes,
            default_runtime: info.default_runtime.unwrap_or_default(),
            memory_limit: info.memory_limit.unwrap_or_default(),
            pids_limit: info.pids_limit.unwrap_or_default(),
        })
    }

    /// Turns an error of a request into a fleet failure: `otherwise` unless the engine was out of reach or its disk
    /// full.
    fn failure(&self, otherwise: Cause, what: &str, error: &bollard::errors::Error) -> Failure {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { message, .. } => {
                let message = message.trim();
                let full = message.contains("no space left on device");
                Failure::new(if full { Cause::DiskFull } else { otherwise }, format!("{what}: {message}"))
            }
            Error::DockerStreamError { error } => {
                let full = error.contains("no space left on device");
                Failure::new(if full { Cause::DiskFull } else { otherwise }, format!("{what}: {error}"))
            }
            Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
                Failure::new(otherwise, format!("{what}: {error}"))
            }
            other => unavailable(&self.host, other),
        }
    }
}

fn unavailable(host: &str, error: &bollard::errors::Error) -> Failure {
    Failure::new(
        Cause::EngineUnavailable,
        format!(
            "no Docker engine at {host} ({error}): start it with `systemctl start docker`, or name its socket with --docker-host"
        ),
    )
}

/// Whether the engine said that the thing does not exist.
fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}
