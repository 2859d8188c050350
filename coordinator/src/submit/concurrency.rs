//! A run's concurrency group, evaluated when it is submitted: the journal knows only its name.

use serde_json::Value as Json;
use slipway_scheduler::RunId;
use slipway_scheduler::command::{Concurrency, Queueing, RunMeta};
use slipway_workflow::plan::{RunConcurrency, github_context, run_concurrency};
use slipway_workflow::syntax::{self, Workflow};

use super::{RunContext, SubmitError};
use crate::house::RepositoryVariables;
use crate::planner::run_facts;

/// The group that the workflow names for this run.
pub(super) fn of(
    workflow: &Workflow,
    meta: &RunMeta,
    run: RunId,
    event: &Json,
    context: &RunContext,
    kept: &RepositoryVariables,
) -> Result<Option<Concurrency>, SubmitError> {
    let mut github = github_context(&run_facts(meta, run, event.clone(), &context.triggering_actor));
    if meta.run_number == 0
        && let Json::Object(github) = &mut github
    {
        // It is counted when the run is accepted. A group named after it is the run's own, and so is one named after its id.
        github.insert("run_number".to_owned(), Json::String(run.to_string()));
    }
    let vars = kept.with(&context.vars).into_iter().map(|(key, value)| (key, Json::String(value))).collect();
    let found = run_concurrency(workflow, &github, &context.inputs, &Json::Object(vars));
    let found = found.map_err(|diagnostic| SubmitError::Workflow {
        file: meta.workflow_file.clone(),
        diagnostics: vec![diagnostic],
    })?;
    Ok(found.map(concurrency))
}

/// A group as the scheduler has it.
pub(crate) fn concurrency(found: RunConcurrency) -> Concurrency {
    Concurrency {
        group: found.group,
        cancel_in_progress: found.cancel_in_progress,
        queue: match found.queue {
            syntax::Queueing::Single => Queueing::Single,
            syntax::Queueing::Max => Queueing::Max,
        },
    }
}
