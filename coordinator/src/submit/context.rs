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
}
