//! `concurrency`: a workflow's, evaluated when a run is submitted, and a job's, evaluated when it is ready.

use serde_json::Value as Json;

use crate::diagnostics::Diagnostic;
use crate::syntax::{Concurrency, Queueing, Workflow};

use super::environment::PlanEnvironment;
use super::instance::{boolean, diagnostic, expression_diagnostic};

/// Most characters of a group's name, as on GitHub.
pub const MAX_GROUP_CHARS: usize = 400;

/// A concurrency group and its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConcurrency {
    /// The group's name.
    pub group: String,
    /// Whether a new run cancels the one at work.
    pub cancel_in_progress: bool,
    /// How many may wait.
    pub queue: Queueing,
}

/// The workflow's `concurrency`; `None` when it has none.
///
/// # Errors
/// What can't be evaluated, at its place; a name that is empty or too long.
pub fn run_concurrency(
    workflow: &Workflow,
    github: &Json,
    inputs: &Json,
    vars: &Json,
) -> Result<Option<RunConcurrency>, Diagnostic> {
    let Some(written) = &workflow.concurrency else { return Ok(None) };
    group(workflow, written, &PlanEnvironment::new(github, inputs, vars)).map(Some)
}

/// A written `concurrency`, of a workflow or a job, with what its expressions see.
pub(super) fn group(
    workflow: &Workflow,
    written: &Concurrency,
    environment: &PlanEnvironment,
) -> Result<RunConcurrency, Diagnostic> {
    let at = written.group.position();
    let group = written
        .group
        .template
        .evaluate_to_string(environment)
        .map_err(|error| expression_diagnostic(workflow, at, "concurrency", &error))?;
    let wrong = |problem: String| Err(diagnostic(workflow, at, "wrong-value", problem));
    if group.trim().is_empty() {
        return wrong("the concurrency group came out empty".to_owned());
    }
    if group.chars().count() > MAX_GROUP_CHARS {
        return wrong(format!("the concurrency group is longer than {MAX_GROUP_CHARS} characters"));
    }
    let cancel_in_progress = match &written.cancel_in_progress {
        Some(templated) => boolean(workflow, templated, "cancel-in-progress", environment)?,
        None => false,
    };
    if cancel_in_progress && written.queue == Queueing::Max {
        return wrong("`queue: max` and `cancel-in-progress: true` exclude each other".to_owned());
    }
    Ok(RunConcurrency { group, cancel_in_progress, queue: written.queue })
}
