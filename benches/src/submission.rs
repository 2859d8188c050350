//! Runs for measuring: nothing to check out, nothing secret.

use std::collections::BTreeMap;

use serde_json::json;
use slipway_coordinator::submit::NewRun;
use slipway_scheduler::command::Trust;
use slipway_workflow::job_spec::Source;

/// A run of this workflow for a push.
#[must_use]
pub fn new_run(workflow: &str) -> NewRun {
    NewRun {
        workflow_file: ".github/workflows/bench.yml".to_owned(),
        workflow: workflow.to_owned(),
        event_name: "push".to_owned(),
        event: json!({"ref": "refs/heads/main"}),
        repository: "example/bench".to_owned(),
        forge: "local".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: "0".repeat(40),
        actor: "bench".to_owned(),
        inputs: BTreeMap::new(),
        vars: BTreeMap::new(),
        secrets: Default::default(),
        jobs: Vec::new(),
        source: Source::None,
        trust: Trust::Trusted,
        traceparent: String::new(),
        ..NewRun::default()
    }
}
