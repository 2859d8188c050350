//! What only services need of the engine: their health, ports and output.

use bollard::container::LogOutput;
use bollard::models::HealthStatusEnum;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;

use super::Engine;
use crate::failure::{Cause, Failure};
use crate::limits::{SERVICE_LOG_BYTES, SERVICE_LOG_LINES};

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It runs, and neither image nor options have a health check.
    Unchecked,
    /// It did not answer yet.
    Starting,
    /// It answers.
    Healthy,
    /// It failed its check too often.
    Unhealthy,
    /// It does not run (any more).
    Ended,
}

/// A service as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// How it stands.
    pub health: Health,
    /// Whether it has a health check at all.
    pub checked: bool,
    /// Its address in the job's network; empty when it does not run.
    pub address: String,
    /// Its published ports: `6379/tcp` and the port on the machine.
    pub ports: Vec<(String, u16)>,
}

impl Engine {
    /// Looks at a service.
    ///
    /// # Errors
    /// `engine_unavailable`, also when somebody removed the container.
    pub async fn service(&self, id: &str, network: &str) -> Result<ServiceState, Failure> {
        let found = self.docker.inspect_container(id, None).await.map_err(|error| {
            self.failure(Cause::EngineUnavailable, "cannot look at a service's container", &error)
        })?;
        let state = found.state.unwrap_or_default();
        let health = match state.health.and_then(|health| health.status) {
            _ if !state.running.unwrap_or(false) => Health::Ended,
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
            _ => Health::Unchecked,
        };
        let test = found.config.and_then(|config| config.healthcheck?.test).unwrap_or_default();
        let checked = test.first().is_some_and(|kind| kind != "NONE");
        let settings = found.network_settings.unwrap_or_default();
        let address = settings
            .networks
            .and_then(|mut networks| networks.remove(network))
            .and_then(|endpoint| endpoint.ip_address)
            .unwrap_or_default();
        let mut ports: Vec<(String, u16)> = settings
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(port, bindings)| {
                let host = bindings?.into_iter().find_map(|binding| binding.host_port?.parse().ok())?;
                Some((port, host))
            })
            .collect();
        ports.sort();
        Ok(ServiceState { health, checked, address, ports })
    }

    /// The end of a container's output: at most [`SERVICE_LOG_LINES`] lines and [`SERVICE_LOG_BYTES`] bytes.
    ///
    /// # Errors
    /// `engine_unavailable`.
    pub async fn output_of(&self, id: &str) -> Result<Vec<String>, Failure> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&SERVICE_LOG_LINES.to_string())
            .build();
        let mut parts = std::pin::pin!(self.docker.logs(id, Some(options)));
        let mut bytes = Vec::new();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| {
                self.failure(Cause::EngineUnavailable, "cannot read a service's output", &error)
            })?;
            if let LogOutput::StdOut { message }
            | LogOutput::StdErr { message }
            | LogOutput::Console { message } = part
            {
                bytes.extend_from_slice(&message);
            }
            if bytes.len() > SERVICE_LOG_BYTES {
                bytes.truncate(SERVICE_LOG_BYTES);
                break;
            }
        }
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }
}
