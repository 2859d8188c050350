//! What a run was submitted with, as a blob: all that the planner needs beside workflow and event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use slipway_workflow::job_spec::Source;

/// Inputs, variables and source. Never secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunContext {
    /// The `inputs` context; null where the event has none.
    pub inputs: Json,
    /// The `vars` context.
    pub vars: BTreeMap<String, String>,
    /// Where the code comes from.
    pub source: Source,
    /// The commits that the lock file names, by `owner/repo@ref` in lower case.
    #[serde(default)]
    pub action_pins: BTreeMap<String, String>,
    /// How many `workflow_run` events led here, one after the other.
    #[serde(default)]
    pub chain: u32,
    /// Names of the run's secrets, so that a rerun can say which are gone.
    #[serde(default)]
    pub secret_names: Vec<String>,
    /// The only jobs that were asked for; empty: all.
    #[serde(default)]
    pub only_jobs: Vec<String>,
    /// Who caused this attempt, where it was another than the run's actor.
    #[serde(default)]
    pub triggering_actor: String,
    /// Whether the run's workflow blob is a [`super::Bundle`]; else it is the file's text, and calls nothing.
    #[serde(default)]
    pub bundled: bool,
}
