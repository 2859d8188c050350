//! A job's access to its caches and artifacts: from the socket that the agent serves to the port in its container.

use super::attempt::{Attempt, End};
use super::vessel::Vessel;
use crate::failure::{Cause, Failure};
use crate::init::RelayTarget;
use crate::records::log::JobLog;
use crate::steps::annotations::Level;
use crate::tunnel::Tunnel;
use crate::tunnel::variables::{Access, PORTS, Started};

impl Attempt {
    /// Opens the way from the job's container to the coordinator, for a new container as for an adopted one; it is open
    /// until the answer is dropped. A container in which no port is free does without, and its log says so.
    pub(super) async fn open_results(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
    ) -> Result<Option<Tunnel>, End> {
        // A container that has ended, and a coordinator without the service.
        let Some(link) = vessel.link.as_ref().filter(|_| !self.runtime_token.is_empty()) else {
            return Ok(None);
        };
        let client = self.machine.coordinator.tunnels();
        let tunnel = Tunnel::serve(&self.folder.run(), client, self.saved.lease)
            .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        let services = self.saved.prepared.iter().flat_map(|prepared| &prepared.services);
        let taken: Vec<String> =
            services.flat_map(|service| service.ports.iter().map(|(_, port)| port.clone())).collect();
        let mut refused = String::new();
        for port in PORTS.into_iter().filter(|port| !taken.contains(&port.to_string())) {
            match link.relay(port, RelayTarget::Agent).await {
                Ok(()) => {
                    self.access = Some(Access { port, token: self.runtime_token.clone() });
                    return Ok(Some(tunnel));
                }
                Err(error) => refused = error.to_string(),
            }
        }
        log.remark(
            Level::Warning,
            &format!("caches and artifacts can't be reached from this job's container: {refused}"),
        );
        Ok(None)
    }

    /// What a process is told of caches and artifacts; see [`Access::variables`].
    pub(super) fn results_variables(&self, started: Started) -> Vec<(String, String)> {
        let server_url = self.spec.contexts.github.get("server_url").and_then(serde_json::Value::as_str);
        let access = self.access.as_ref();
        access.map(|access| access.variables(started, server_url.unwrap_or_default())).unwrap_or_default()
    }
}
