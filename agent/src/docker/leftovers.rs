//! What an earlier process of this agent left in the engine.

use std::collections::HashMap;

use bollard::query_parameters::ListContainersOptionsBuilder;

use super::{Engine, LABEL_AGENT, LABEL_ATTEMPT, LABEL_INSTANCE};
use crate::failure::{Cause, Failure};

/// A container with this agent's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its id.
    pub id: String,
    /// `<instance>-<attempt>`, the name of its job's folder; empty for one that never had a job.
    pub folder_name: String,
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
                let labels = container.labels.unwrap_or_default();
                let folder_name = match (labels.get(LABEL_INSTANCE), labels.get(LABEL_ATTEMPT)) {
                    (Some(instance), Some(attempt)) => format!("{instance}-{attempt}"),
                    _ => String::new(),
                };
                Some(Leftover { id: container.id?, folder_name })
            })
            .collect())
    }
}
