//! Programs of the agent's own in a container that ends by itself, for what the agent itself has no right to.

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{CreateContainerOptionsBuilder, LogsOptionsBuilder};
use futures_util::StreamExt as _;

use super::folders::Folder;
use super::{Engine, LABEL_AGENT};
use crate::failure::{Cause, Failure};
use crate::limits::ONCE_OUTPUT_BYTES;

/// Where the program is in its container.
const PROGRAM: &str = "/slipway-once";

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    /// An image that is here, of whatever content: the program is static.
    pub image: &'a str,
    /// The program on the agent's disk.
    pub program: &'a std::path::Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// The only capabilities that it has.
    pub capabilities: &'a [&'a str],
    /// A folder of the agent's disk and where it has it.
    pub folder: Option<(&'a std::path::Path, &'a str)>,
    /// How long it may take.
    pub time: std::time::Duration,
}

impl Engine {
    /// Runs a program of the agent's in the network of the machine, to its end.
    ///
    /// # Errors
    /// What it said when it did not end well, or the engine's words.
    pub async fn run_once(&self, once: Once<'_>) -> Result<(), Failure> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let program = Mount {
            typ: Some(MountType::BIND),
            source: Some(once.program.display().to_string()),
            target: Some(PROGRAM.to_owned()),
            read_only: Some(true),
            ..Mount::default()
        };
        let folder = once.folder.map(|(host, at)| Folder::fixed(host.to_owned(), at).mount());
        let body = ContainerCreateBody {
            image: Some(once.image.to_owned()),
            user: Some("0:0".to_owned()),
            entrypoint: Some(owned(&[PROGRAM])),
            cmd: Some(owned(once.arguments)),
            labels: Some([(LABEL_AGENT.to_owned(), self.agent.clone())].into()),
            host_config: Some(HostConfig {
                mounts: Some(std::iter::once(program).chain(folder).collect()),
                network_mode: Some("host".to_owned()),
                cap_drop: Some(owned(&["ALL"])),
                cap_add: Some(owned(once.capabilities)),
                readonly_rootfs: Some(true),
                security_opt: Some(owned(&["no-new-privileges"])),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let name = format!("slipway-once-{}", uuid::Uuid::new_v4().simple());
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let made = self.docker.create_container(Some(options), body).await;
        let id = made
            .map_err(|error| self.failure(Cause::ContainerStart, "cannot create a container", &error))?
            .id;
        let ran = tokio::time::timeout(once.time, self.run_to_end(&id)).await;
        self.remove_container(&id).await?;
        ran.unwrap_or_else(|_| {
            Err(Failure::new(Cause::ContainerStart, format!("no end within {} s", once.time.as_secs())))
        })
    }

    async fn run_to_end(&self, id: &str) -> Result<(), Failure> {
        self.start_container(id).await?;
        // The output ends with the container.
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        let mut parts = std::pin::pin!(self.docker.logs(id, Some(options)));
        let mut said = Vec::new();
        while let Some(Ok(part)) = parts.next().await {
            if let (LogOutput::StdErr { message } | LogOutput::StdOut { message }, true) =
                (part, said.len() < ONCE_OUTPUT_BYTES)
            {
                said.extend_from_slice(&message);
            }
        }
        loop {
            match self.container(id).await? {
                Some(state) if state.running => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await
                }
                Some(state) if state.exit_code == 0 => return Ok(()),
                Some(state) => {
                    let said = String::from_utf8_lossy(&said).trim().to_owned();
                    let said = if said.is_empty() { format!("exit code {}", state.exit_code) } else { said };
                    return Err(Failure::new(Cause::ContainerStart, said));
                }
                None => return Err(Failure::new(Cause::ContainerStart, "somebody removed the container")),
            }
        }
    }
}
