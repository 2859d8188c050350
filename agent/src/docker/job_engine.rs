//! The container of a job's private engine: what it gets, and whether this machine lets such an engine run.
//!
//! A Docker engine without root's rights needs user namespaces, and what the kernel asks before it lets one mount `/proc`: that nothing
//! of it is hidden in the container. It gets these and no privilege: five capabilities of the engine's default set, with which its first
//! program becomes somebody else; a profile of system calls that is the usual one and those that make namespaces; the device that makes a
//! network interface for whoever is root of a network. Its root is the job's user outside of it, and nobody else of the machine.
//!
//! Invariant: nothing of the job's runs as root of this container, for that one could change what of the kernel's settings belongs to root.

use bollard::models::{ContainerCreateBody, DeviceMapping, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, LogsOptionsBuilder};
use futures_util::StreamExt as _;

use super::container::{Limits, labels};
use super::folders::Folder;
use super::{Engine, is_missing};
use crate::failure::{Cause, Failure};
use crate::init::limits::{PROGRAM_NAME, SOCKET_NAME};
use crate::lease::Lease;
use crate::limits::{JOB_ENGINE_PROBE_TIME, JOB_ENGINE_WORDS_BYTES};

/// Where the socket is in containers of the job, and in the engine's own.
pub const SOCKET: &str = "/var/run/docker.sock";

/// Where the engine keeps its images and containers, in its container.
pub const STORAGE: &str = "/var/lib/engine";

/// What starts it, in its image (`scripts/engine/start`).
pub const PROGRAM: &str = "/usr/libexec/slipway-engine/start";

/// Outside of its container its root is this user where the job's own is root; so is the group. All its other users and groups are those
/// above, 65,535 of them. They are of no account of the machine; the image has the same numbers.
pub const NOBODYS_ID: u32 = 1_900_000_000;

/// The device with which a network's root makes an interface.
const TUN: &str = "/dev/net/tun";

/// As little as its first program needs to hand its folders to the engine's user and to become it.
const CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];

/// Which system calls its programs may make.
const SYSTEM_CALLS: &str = include_str!("job_engine.json");

/// What makes an engine's container.
#[derive(Debug, Clone)]
pub struct JobEnginePlan {
    /// Its name.
    pub name: String,
    /// Its image, by name or id.
    pub image: String,
    /// Whom it works for; none: a sandbox.
    pub lease: Option<Lease>,
    /// Where its init is.
    pub init: String,
    /// The job's folders at their places, its own storage, its init and the socket.
    pub folders: Vec<Folder>,
    /// The job's volumes, `source:container[:ro]`.
    pub binds: Vec<String>,
    /// The container whose network it shares.
    pub beside: String,
    /// Its limits.
    pub limits: Limits,
    /// The engine's runtime; none: its default.
    pub runtime: Option<String>,
}

/// What every such container gets.
fn confined(limits: Option<Limits>, runtime: Option<String>) -> HostConfig {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    HostConfig {
        cap_drop: Some(owned(&["ALL"])),
        cap_add: Some(owned(&CAPABILITIES)),
        security_opt: Some(vec![format!("seccomp={SYSTEM_CALLS}"), "apparmor=unconfined".to_owned()]),
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        devices: Some(vec![DeviceMapping {
            path_on_host: Some(TUN.to_owned()),
            path_in_container: Some(TUN.to_owned()),
            cgroup_permissions: Some("rw".to_owned()),
        }]),
        memory: limits.and_then(|limits| limits.memory_bytes),
        memory_swap: limits.and_then(|limits| limits.memory_bytes),
        nano_cpus: limits.and_then(|limits| limits.cpu_millis).map(|millis| millis * 1_000_000),
        pids_limit: limits.map(|limits| limits.pids),
        runtime,
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(
                [("max-size", "64k"), ("max-file", "1")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            ),
        }),
        ..HostConfig::default()
    }
}

impl Engine {
    /// Creates the container of a job's engine and gives its id.
    ///
    /// # Errors
    /// `container_start`, with the engine's words; when there is no such image, with what makes it.
    pub async fn create_job_engine(&self, plan: JobEnginePlan) -> Result<String, Failure> {
        let confined = confined(Some(plan.limits), plan.runtime);
        let host = HostConfig {
            nano_cpus: self.nano_cpus(confined.nano_cpus),
            binds: Some(plan.binds),
            mounts: Some(plan.folders.iter().map(Folder::mount).collect()),
            network_mode: Some(format!("container:{}", plan.beside)),
            ..confined
        };
        let body = ContainerCreateBody {
            image: Some(plan.image.clone()),
            user: Some("0:0".to_owned()),
            entrypoint: Some(vec![format!("{}/{PROGRAM_NAME}", plan.init)]),
            cmd: Some(vec![format!("{}/{SOCKET_NAME}", plan.init)]),
            working_dir: Some("/".to_owned()),
            labels: Some(labels(&self.agent, plan.lease).collect()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        self.create_of(&plan.image, &plan.name, body).await
    }

    async fn create_of(&self, image: &str, name: &str, body: ContainerCreateBody) -> Result<String, Failure> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        match self.docker.create_container(Some(options), body).await {
            Ok(created) => Ok(created.id),
            Err(error) if is_missing(&error) => Err(Failure::new(
                Cause::ContainerStart,
                format!(
                    "--job-engine private: image {image} is not here: make it with scripts/engine-image.sh, or name another with \
                     --job-engine-image"
                ),
            )),
            Err(error) => Err(self.failure(
                Cause::ContainerStart,
                "cannot create the container of a job's engine",
                &error,
            )),
        }
    }

    /// Looks whether this machine lets private engines run, by doing what one does.
    ///
    /// # Errors
    /// `container_start`, with what it said and what to do.
    pub async fn probe_job_engine(&self, image: &str, runtime: Option<String>) -> Result<(), Failure> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            user: Some("0:0".to_owned()),
            entrypoint: Some(vec![PROGRAM.to_owned()]),
            cmd: Some(vec!["--check".to_owned()]),
            labels: Some(labels(&self.agent, None).collect()),
            host_config: Some(confined(None, runtime)),
            ..ContainerCreateBody::default()
        };
        let name = format!("slipway-engine-check-{}", uuid::Uuid::new_v4().simple());
        let id = self.create_of(image, &name, body).await?;
        let ran = tokio::time::timeout(JOB_ENGINE_PROBE_TIME, self.check_to_end(&id)).await;
        self.remove_container(&id).await?;
        let words = match ran {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure.message,
            Err(_) => format!("no end within {} s", JOB_ENGINE_PROBE_TIME.as_secs()),
        };
        Err(Failure::new(
            Cause::ContainerStart,
            format!(
                "--job-engine private: this machine does not let an engine without root's rights run ({words}): allow user namespaces to \
                 all users (docs/ISOLATION.md, `A private engine`), or start the agent with --job-engine none"
            ),
        ))
    }

    async fn check_to_end(&self, id: &str) -> Result<(), Failure> {
        self.start_container(id).await?;
        // The output ends with the container.
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        let mut parts = std::pin::pin!(self.docker.logs(id, Some(options)));
        let mut said = Vec::new();
        while let Some(Ok(part)) = parts.next().await {
            if said.len() < JOB_ENGINE_WORDS_BYTES {
                said.extend_from_slice(&part.into_bytes());
            }
        }
        loop {
            match self.container(id).await? {
                Some(state) if state.running => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Some(state) if state.exit_code == 0 => return Ok(()),
                Some(state) => {
                    let said = words(&said);
                    let said = if said.is_empty() { format!("exit code {}", state.exit_code) } else { said };
                    return Err(Failure::new(Cause::ContainerStart, said));
                }
                None => return Err(Failure::new(Cause::ContainerStart, "somebody removed the container")),
            }
        }
    }
}

/// What a program said, on one line.
#[must_use]
pub fn words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn its_system_calls_are_those_without_a_way_out() {
        let profile: serde_json::Value = serde_json::from_str(SYSTEM_CALLS).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let allowed: Vec<&str> = profile["syscalls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].is_null())
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap())
            .collect();
        for needed in ["clone", "clone3", "mount", "umount2", "unshare", "setns", "pivot_root", "sethostname"]
        {
            assert!(allowed.contains(&needed), "{needed}");
        }
        let never = [
            "bpf",
            "perf_event_open",
            "kexec_load",
            "init_module",
            "finit_module",
            "delete_module",
            "reboot",
            "swapon",
            "keyctl",
            "add_key",
            "open_by_handle_at",
            "userfaultfd",
            "io_uring_setup",
            "iopl",
            "ioperm",
            "acct",
            "settimeofday",
            "clock_settime",
            "quotactl",
            "socket",
            "syslog",
        ];
        for name in never {
            assert!(!allowed.contains(&name), "{name}");
        }
    }

    #[test]
    fn nothing_of_it_is_privileged() {
        let host = confined(None, None);
        assert_eq!(host.privileged, None);
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert!(
            !host.cap_add.unwrap().iter().any(|name| name.starts_with("SYS_") || name.starts_with("NET_"))
        );
    }
}
