//! A job's access to its caches and artifacts: from the socket that the agent serves to the port in its container.

use super::attempt::{Attempt, End};
use super::folder::JobFolder;
use super::vessel::Vessel;
use crate::failure::{Cause, Failure};
use crate::init::RelayTarget;
use crate::records::log::JobLog;
use crate::steps::annotations::Level;
use crate::tunnel::Tunnel;
use crate::tunnel::variables::{Access, PORTS};

impl Attempt {
    /// Opens the way from a container to the coordinator, for a new one as for an adopted one; it is open until the tunnel is
    /// dropped. `folder`: where the container's init finds its sockets. A container in which no port is free does without,
    /// and the log says so.
    pub(super) async fn open_results(
        &self,
        log: &mut JobLog,
        vessel: &Vessel,
        folder: &JobFolder,
    ) -> Result<Option<(Tunnel, Access)>, End> {
        // A container that has ended, and a coordinator without the service.
        let Some(link) = vessel.link().filter(|_| !self.tokens.runtime.is_empty()) else {
            return Ok(None);
        };
        let client = self.machine.coordinator.tunnels();
        let tier = self.machine.tier.for_job(&self.machine.coordinator, &self.tokens.runtime);
        let tunnel = Tunnel::serve(&folder.run(), client, self.saved.lease, tier)
            .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        let services = self.saved.prepared.iter().flat_map(|prepared| &prepared.services);
        let taken: Vec<String> =
            services.flat_map(|service| service.ports.iter().map(|(_, port)| port.clone())).collect();
        let mut refused = String::new();
        for port in PORTS.into_iter().filter(|port| !taken.contains(&port.to_string())) {
            match link.relay(port, RelayTarget::Agent).await {
                Ok(()) => return Ok(Some((tunnel, Access { port, tokens: self.tokens.clone() }))),
                Err(error) => refused = error.to_string(),
            }
        }
        log.remark(
            Level::Warning,
            &format!(
                "caches, artifacts and identity tokens can't be reached from this job's container: {refused}"
            ),
        );
        Ok(None)
    }

    /// What a script's process is told: how to ask for identity tokens, where the job may; see [`Access::identity_variables`].
    pub(super) fn identity_variables(&self) -> Vec<(String, String)> {
        self.access.as_ref().map(Access::identity_variables).unwrap_or_default()
    }

    /// What an action's process is told of caches and artifacts; see [`Access::variables`].
    pub(super) fn results_variables(&self, access: Option<&Access>) -> Vec<(String, String)> {
        let server_url = self.spec.contexts.github.get("server_url").and_then(serde_json::Value::as_str);
        access.map(|access| access.variables(server_url.unwrap_or_default())).unwrap_or_default()
    }
}
