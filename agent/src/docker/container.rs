//! The job's container: create, start, look at, signal, remove.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig, PortBinding,
    ResourcesUlimits,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder,
};

use super::folders::Folder;
use super::options::CreateOptions;
use super::{
    Engine, LABEL_AGENT, LABEL_ATTEMPT, LABEL_INSTANCE, LABEL_RUN, LABEL_SANDBOX, LABEL_TOKEN, is_missing,
};
use crate::failure::{Cause, Failure};
use crate::init::limits::{MOUNT_PATH, PROGRAM_NAME, SOCKET_NAME};
use crate::lease::Lease;
use crate::limits::{REMOVE_TRIES, SERVICE_LOG_SIZE};

/// The name by which steps reach the job's own services on the container's loopback. Not every resolver knows that
/// `*.localhost` is there: glibc's for Python, for one, does not.
const SERVICES_HOST: &str = "slipway.localhost:127.0.0.1";

/// What one job's container may use, unless its `options:` say less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Memory and swap together, in bytes; none: all of the machine's.
    pub memory_bytes: Option<i64>,
    /// Processors, in thousandths of one; none: all.
    pub cpu_millis: Option<i64>,
    /// Processes and threads.
    pub pids: i64,
}

/// Everything that makes one job's container.
#[derive(Debug, Clone)]
pub struct ContainerPlan {
    /// Its name.
    pub name: String,
    /// Id of the image.
    pub image: String,
    /// `linux/arm64` and the like, for an emulated architecture only.
    pub platform: Option<String>,
    /// Whom it works for; none: a sandbox, which waits for a job.
    pub lease: Option<Lease>,
    /// What runs as PID 1.
    pub main: Main,
    /// Names by which others of the job's network reach it.
    pub aliases: Vec<String>,
    /// `uid:gid`, or what `--user` said; none: the image's.
    pub user: Option<String>,
    /// Environment beyond the image's.
    pub env: Vec<String>,
    /// Folders of the job.
    pub folders: Vec<Folder>,
    /// Volumes, `source:container[:ro]`.
    pub binds: Vec<String>,
    /// `container.ports`
    pub ports: Vec<PortMapping>,
    /// The job's network.
    pub network: String,
    /// Limits of the agent's configuration.
    pub limits: Limits,
    /// Set for untrusted work: no program gains rights by setuid, so no `sudo`.
    pub no_new_privileges: bool,
    /// The engine's runtime; none: its default.
    pub runtime: Option<String>,
    /// `container.options`
    pub options: CreateOptions,
}

/// What runs as a container's PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Main {
    /// The job's init, with its socket in this folder of the container; see [`init_place`].
    Init(String),
    /// The image's own program, for a service.
    Image {
        /// Instead of the image's entrypoint.
        entrypoint: Option<Vec<String>>,
        /// Instead of the image's command.
        command: Option<Vec<String>>,
    },
}

/// One of `container.ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// Address on the host; empty: all.
    pub host_address: String,
    /// Port on the host; none: the engine chooses.
    pub host: Option<u16>,
    /// `80/tcp`
    pub container: String,
}

/// What the engine knows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// Whether it runs.
    pub running: bool,
    /// PID 1 of the container as the host sees it; 0 when it does not run.
    pub pid: u32,
    /// Whether the kernel killed it for memory.
    pub oom_killed: bool,
    /// Exit code of PID 1, once ended.
    pub exit_code: i64,
}

/// Capabilities of the engine's default set that no job has. A device that a job makes in its folder would be one for the whole
/// machine, and be opened by whoever looks there.
const NEVER: [&str; 1] = ["MKNOD"];

/// Those that code from outside has not, either: raw packets, and words in the machine's audit log.
const NOT_FROM_OUTSIDE: [&str; 2] = ["NET_RAW", "AUDIT_WRITE"];

/// What is taken from the engine's default set: ours unless it was asked for and allowed, and what the workflow names.
fn dropped(untrusted: bool, asked: Vec<String>, added: &[String]) -> Vec<String> {
    let more = NOT_FROM_OUTSIDE.iter().filter(|_| untrusted);
    let ours =
        NEVER.iter().chain(more).filter(|name| !added.iter().any(|added| added == *name || added == "ALL"));
    ours.map(|name| (*name).to_owned()).chain(asked).collect()
}

/// Whose a container is; without a lease a sandbox's.
pub(super) fn labels(agent: &str, lease: Option<Lease>) -> impl Iterator<Item = (String, String)> {
    let labels = match lease {
        Some(lease) => vec![
            (LABEL_INSTANCE, lease.attempt.instance.to_string()),
            (LABEL_ATTEMPT, lease.attempt.number.to_string()),
            (LABEL_RUN, lease.attempt.run.to_string()),
            (LABEL_TOKEN, lease.token.to_string()),
        ],
        None => vec![(LABEL_SANDBOX, "1".to_owned())],
    };
    let labels = labels.into_iter().chain([(LABEL_AGENT, agent.to_owned())]);
    labels.map(|(name, value)| (name.to_owned(), value))
}

/// A place for init in a container: another each time, so that nothing of an image can be in its way.
#[must_use]
pub fn init_place() -> String {
    format!("{MOUNT_PATH}-{}", uuid::Uuid::new_v4().simple())
}

impl Engine {
    /// Creates the container and gives its id.
    ///
    /// # Errors
    /// `container_start`, with the engine's words.
    pub async fn create_container(&self, plan: ContainerPlan) -> Result<String, Failure> {
        let options = CreateContainerOptionsBuilder::default().name(&plan.name);
        let options = match &plan.platform {
            Some(platform) => options.platform(platform),
            None => options,
        };
        let body = self.create_body(plan);
        match self.docker.create_container(Some(options.build()), body).await {
            Ok(created) => Ok(created.id),
            Err(error) if is_missing(&error) => Err(self.failure(
                Cause::ImageNotFound,
                "the image went away before its container was made",
                &error,
            )),
            Err(error) => Err(self.failure(Cause::ContainerStart, "cannot create the container", &error)),
        }
    }

    fn create_body(&self, plan: ContainerPlan) -> ContainerCreateBody {
        let ContainerPlan { options, limits, lease, .. } = plan;
        let (entrypoint, command, working_dir, log_size) = match plan.main {
            // Steps bring their own folder; the image's might not exist for init's user. Init writes what steps say to
            // the spool; the engine's own log would only hold init's last words.
            Main::Init(place) => {
                let (program, socket) = (format!("{place}/{PROGRAM_NAME}"), format!("{place}/{SOCKET_NAME}"));
                (Some(vec![program]), Some(vec![socket]), Some("/".to_owned()), "64k")
            }
            Main::Image { entrypoint, command } => {
                (entrypoint, command, options.working_dir, SERVICE_LOG_SIZE)
            }
        };
        let networking = NetworkingConfig {
            endpoints_config: Some(HashMap::from([(
                plan.network.clone(),
                EndpointSettings {
                    aliases: Some(plan.aliases.into_iter().chain(options.aliases).collect()),
                    ..EndpointSettings::default()
                },
            )])),
        };
        let labels = labels(&self.agent, lease);
        let least = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let memory = least(limits.memory_bytes, options.memory_bytes);
        let mut security = Vec::new();
        if plan.no_new_privileges || options.no_new_privileges {
            security.push("no-new-privileges".to_owned());
        }
        let host = HostConfig {
            binds: Some(plan.binds),
            mounts: Some(plan.folders.iter().map(Folder::mount).collect()),
            runtime: plan.runtime,
            network_mode: Some(plan.network),
            port_bindings: Some(
                plan.ports
                    .iter()
                    .map(|port| {
                        let binding = PortBinding {
                            host_ip: Some(port.host_address.clone()),
                            host_port: Some(port.host.map(|port| port.to_string()).unwrap_or_default()),
                        };
                        (port.container.clone(), Some(vec![binding]))
                    })
                    .collect(),
            ),
            memory,
            // The same as `memory`: no swap beyond it, so that a job that outgrows its limit ends and does not crawl.
            memory_swap: memory,
            nano_cpus: self
                .nano_cpus(least(limits.cpu_millis.map(|millis| millis * 1_000_000), options.nano_cpus)),
            pids_limit: Some(options.pids.map_or(limits.pids, |pids| pids.min(limits.pids))),
            security_opt: Some(security),
            extra_hosts: Some(options.add_host.into_iter().chain([SERVICES_HOST.to_owned()]).collect()),
            tmpfs: Some(options.tmpfs.into_iter().collect()),
            shm_size: options.shm_size_bytes,
            cap_drop: Some(dropped(plan.no_new_privileges, options.cap_drop, &options.cap_add)),
            cap_add: Some(options.cap_add),
            dns: Some(options.dns),
            group_add: Some(options.group_add),
            privileged: Some(options.privileged),
            readonly_rootfs: Some(options.read_only),
            ipc_mode: options.ipc,
            ulimits: Some(
                options
                    .ulimits
                    .into_iter()
                    .map(|(name, soft, hard)| ResourcesUlimits {
                        name: Some(name),
                        soft: Some(soft),
                        hard: Some(hard),
                    })
                    .collect(),
            ),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), log_size.to_owned()),
                    ("max-file".to_owned(), "1".to_owned()),
                ])),
            }),
            ..HostConfig::default()
        };
        ContainerCreateBody {
            image: Some(plan.image),
            user: options.user.or(plan.user),
            env: Some(plan.env.into_iter().chain(options.env).collect()),
            entrypoint,
            cmd: command,
            working_dir,
            host_config: Some(host),
            networking_config: Some(networking),
            healthcheck: options.health,
            hostname: options.hostname,
            exposed_ports: Some(plan.ports.into_iter().map(|port| port.container).collect()),
            labels: Some(labels.chain(options.labels).collect()),
            ..ContainerCreateBody::default()
        }
    }

    /// Starts a created container.
    ///
    /// # Errors
    /// `container_start`, with the engine's words.
    pub async fn start_container(&self, id: &str) -> Result<(), Failure> {
        self.docker
            .start_container(id, None)
            .await
            .map_err(|error| self.failure(Cause::ContainerStart, "cannot start the container", &error))
    }

    /// Gives a sandbox the name of a job's container, by which it is that job's from now on; see [`super::leftovers`].
    ///
    /// # Errors
    /// `container_start`, with the engine's words.
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<(), Failure> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        let renamed = self.docker.rename_container(id, options).await;
        renamed.map_err(|error| self.failure(Cause::ContainerStart, "cannot rename the container", &error))
    }

    /// Looks at a container; none when it does not exist.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn container(&self, id: &str) -> Result<Option<ContainerState>, Failure> {
        match self.docker.inspect_container(id, None).await {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                Ok(Some(ContainerState {
                    id: found.id.unwrap_or_else(|| id.to_owned()),
                    running: state.running.unwrap_or(false),
                    pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
                    oom_killed: state.oom_killed.unwrap_or(false),
                    exit_code: state.exit_code.unwrap_or(-1),
                }))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.failure(Cause::EngineUnavailable, "cannot look at the container", &error)),
        }
    }

    /// Kills everything in a container. One that has ended or is gone counts as killed.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn kill_container(&self, id: &str) -> Result<(), Failure> {
        let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        match self.docker.kill_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            // 409: it does not run.
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404 | 409 | 500, ..
            }) => Ok(()),
            Err(error) => Err(self.failure(Cause::EngineUnavailable, "cannot kill the container", &error)),
        }
    }

    /// Removes a container with its anonymous volumes, running or not. Tries a few times: a busy engine refuses while
    /// it still unmounts.
    ///
    /// # Errors
    /// When it is still there after that.
    pub async fn remove_container(&self, id: &str) -> Result<(), Failure> {
        let mut backoff = slipway_kit::backoff::Backoff::new(
            std::time::Duration::from_millis(200),
            std::time::Duration::from_secs(5),
        );
        loop {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            match self.docker.remove_container(id, Some(options)).await {
                Ok(()) => return Ok(()),
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) if backoff.failures() + 1 >= REMOVE_TRIES => {
                    return Err(self.failure(
                        Cause::EngineUnavailable,
                        "cannot remove the container",
                        &error,
                    ));
                }
                Err(_) => tokio::time::sleep(backoff.next_wait()).await,
            }
        }
    }
}
