//! What containers wrote into their own layers.

use std::collections::HashMap;

use bollard::query_parameters::ListContainersOptionsBuilder;

use super::leftovers::folder_name;
use super::{Engine, LABEL_AGENT};
use crate::failure::{Cause, Failure};

impl Engine {
    /// Bytes in the writable layer of each of this agent's containers that belongs to a job, by the name of the job's folder. A job with
    /// services is there several times.
    ///
    /// # Errors
    /// When the engine can't be asked.
    pub async fn own_layers(&self) -> Result<Vec<(String, u64)>, Failure> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_AGENT}={}", self.agent)])]);
        let options = ListContainersOptionsBuilder::default().all(true).size(true).filters(&filters).build();
        let found = self.docker.list_containers(Some(options)).await.map_err(|error| {
            self.failure(Cause::EngineUnavailable, "cannot ask for containers' sizes", &error)
        })?;
        Ok(found
            .into_iter()
            .filter_map(|container| {
                let job = Some(folder_name(&container)).filter(|job| !job.is_empty())?;
                let bytes = container.size_rw.and_then(|bytes| u64::try_from(bytes).ok())?;
                Some((job, bytes))
            })
            .collect())
    }
}
