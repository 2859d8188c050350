//! What environments ask of the jobs that name them, and the variables that jobs see.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use slipway_scheduler::command::{Gate, RunMeta};
use slipway_workflow::job_spec::JobSpec;

use crate::house::RepositoryVariables;
use crate::options::Options;

/// All that both depend on.
pub(super) struct Environments {
    pub(super) options: Arc<Options>,
    pub(super) meta: RunMeta,
    pub(super) triggering_actor: String,
    /// What is kept for jobs of the repository.
    pub(super) kept: RepositoryVariables,
    /// What the run was given, which goes before what is kept.
    pub(super) given: BTreeMap<String, String>,
}

impl Environments {
    /// What a job specification's environment asks, or why it may not be used.
    pub(super) fn gate(&self, spec: &JobSpec) -> Result<Option<Box<Gate>>, String> {
        let Some(environment) = &spec.environment else { return Ok(None) };
        let started_by = [self.meta.actor.as_str(), &self.triggering_actor];
        let gate = self.options.environments.gate(&environment.name, &self.meta, &started_by)?;
        Ok(gate.map(Box::new))
    }

    /// The environment whose turn a job of this specification needs, where that lets one deployment at a time in.
    pub(super) fn turn(&self, spec: &JobSpec) -> Option<Box<str>> {
        let name = &spec.environment.as_ref()?.name;
        self.options.environments.is_one_at_a_time(name, &self.meta.repository).then(|| name.as_str().into())
    }

    /// The `vars` context that the job is planned with: as on GitHub, without those of its environment, whose name may come from it.
    pub(super) fn vars(&self) -> Json {
        vars_json(self.kept.with(&self.given))
    }

    /// Adds what only jobs of the specification's environment see, for its steps.
    pub(super) fn add_variables(&self, spec: &mut JobSpec) {
        let Some(environment) = &spec.environment else { return };
        let own = self.kept.of_environment(&environment.name, &self.given);
        if let Json::Object(vars) = &mut spec.contexts.vars {
            vars.extend(own.into_iter().map(|(name, value)| (name, Json::String(value))));
        }
    }
}

/// As a context.
pub(super) fn vars_json(vars: BTreeMap<String, String>) -> Json {
    Json::Object(vars.into_iter().map(|(key, value)| (key, Json::String(value))).collect())
}
