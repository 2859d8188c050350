//! What an earlier process of this agent left in the engine.
//!
//! A container says whose it is by its labels. A sandbox was made before its job was known, and labels stay as they are; so it says it
//! by its name, which it gets with the job.

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::{Engine, LABEL_AGENT, LABEL_ATTEMPT, LABEL_INSTANCE, LABEL_SANDBOX};
use crate::failure::{Cause, Failure};
use crate::lease::Lease;

/// What names of jobs' containers begin with.
const NAME_PREFIX: &str = "slipway-";

/// A container with this agent's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its id.
    pub id: String,
    /// `<instance>-<attempt>`, the name of its job's folder; empty for one that never had a job.
    pub folder_name: String,
}

/// The name of the container in which a job's steps run.
#[must_use]
pub fn container_name(lease: &Lease) -> String {
    format!("{NAME_PREFIX}{}-{}", lease.attempt.folder_name(), lease.token.sequence)
}

/// What names of jobs' private engines end with.
const ENGINE_SUFFIX: &str = "-engine";

/// The name of the private engine of the container with this name.
#[must_use]
pub fn engine_name(container: &str) -> String {
    format!("{container}{ENGINE_SUFFIX}")
}

/// The name of a sandbox that waits for a job.
#[must_use]
pub fn sandbox_name(id: uuid::Uuid) -> String {
    format!("{NAME_PREFIX}waiting-{}", id.simple())
}

/// The name of the folder of the job that a container belongs to; empty: to none.
pub(super) fn folder_name(container: &ContainerSummary) -> String {
    let label = |name: &str| container.labels.as_ref().and_then(|labels| labels.get(name));
    match (label(LABEL_INSTANCE), label(LABEL_ATTEMPT), label(LABEL_SANDBOX)) {
        (Some(instance), Some(attempt), _) => format!("{instance}-{attempt}"),
        (_, _, Some(_)) => {
            container.names.iter().flatten().find_map(|name| of_name(name)).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The folder in [`container_name`].
fn of_name(name: &str) -> Option<String> {
    let name = name.trim_start_matches('/').strip_prefix(NAME_PREFIX)?;
    let (folder, sequence) = name.strip_suffix(ENGINE_SUFFIX).unwrap_or(name).rsplit_once('-')?;
    let (instance, attempt) = folder.rsplit_once('-')?;
    let whole = sequence.parse::<u64>().is_ok()
        && attempt.parse::<u32>().is_ok()
        && uuid::Uuid::parse_str(instance).is_ok();
    whole.then(|| folder.to_owned())
}

impl Engine {
    /// All containers of this agent, running or not.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn own_containers(&self) -> Result<Vec<Leftover>, Failure> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_AGENT}={}", self.agent)])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|error| self.failure(Cause::EngineUnavailable, "cannot list containers", &error))?;
        Ok(found
            .into_iter()
            .filter_map(|container| {
                let folder_name = folder_name(&container);
                Some(Leftover { id: container.id?, folder_name })
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_belongs_to_whom_its_name_says() {
        let folder = "01a22155-55c4-7728-aad9-d9c27ee22f87-3";
        assert_eq!(of_name(&format!("/slipway-{folder}-12")).as_deref(), Some(folder));
        assert_eq!(of_name(&engine_name(&format!("/slipway-{folder}-12"))).as_deref(), Some(folder));
        let waiting = sandbox_name(uuid::Uuid::new_v4());
        for name in [
            waiting.as_str(),
            &engine_name(&waiting),
            "/slipway-12",
            "slipway-a-b-c",
            "other-01a22155-1-1",
            "",
        ] {
            assert_eq!(of_name(name), None, "{name}");
        }
    }
}
