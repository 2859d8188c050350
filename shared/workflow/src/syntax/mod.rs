//! The typed model of a workflow file.
//!
//! [`parse`] reports everything that is wrong in a file at once, each with its place. Unknown keys get the nearest known one as a
//! hint; nothing is ignored silently.
//!
//! Deliberately absent: evaluation. Templates are parsed here, for their errors, and evaluated by [`crate::plan`]
//! or the agent.

mod action_file;
mod activity;
mod advice;
mod background;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod background_tests;
mod call;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod call_tests;
mod callable;
mod concurrency;
mod container;
mod dynamic;
mod environment;
mod graph;
mod identifier;
mod job;
mod model;
mod permissions;
mod reader;
mod scalar;
mod step;
mod strategy;
mod suggest;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;
mod trigger;
mod unknown;
mod uses;
mod workflow;

use crate::diagnostics::{Diagnostic, Reporter, Severity};

pub use action_file::parse_action;
pub(crate) use activity::types_of;
pub use background::BACKGROUND_STEPS_MAX;
pub(crate) use background::left_alone;
pub use dynamic::{Dynamic, DynamicError, DynamicKind};
pub(crate) use identifier::problem as id_problem;
pub use identifier::{MAX_ID_CHARS, StepIds};
pub use model::{
    Argument, Call, CallInput, CallOutput, CallSecret, CallSecrets, Callable, Concurrency, Container,
    DeploymentTarget, FullContainer, Input, InputType, Job, Matrix, Need, Permissions, Queueing, RunsOn,
    Service, Strategy, Templated, Trigger, Workflow,
};
pub(crate) use permissions::SCOPE_NAMES as SCOPES;
pub use step::default_step_name;
pub use suggest::nearest;

/// Parses and checks a workflow file. `file` is its path, for messages and `github.workflow_ref`.
///
/// # Errors
/// All errors of the file, in its order (at most [`crate::diagnostics::MAX_DIAGNOSTICS`], warnings among them).
pub fn parse(file: &str, source: &str) -> Result<Workflow, Vec<Diagnostic>> {
    read(file, source, |_, _| {})
}

/// As [`parse`], and looks besides for what GitHub accepts and is probably wrong; that takes a second look at each script.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_advice(file: &str, source: &str) -> Result<Workflow, Vec<Diagnostic>> {
    read(file, source, advice::advise)
}

fn read(
    file: &str,
    source: &str,
    look: impl Fn(&mut Reporter<'_>, &Workflow),
) -> Result<Workflow, Vec<Diagnostic>> {
    let mut reporter = Reporter::new(file, source);
    let workflow = workflow::read(&mut reporter);
    if let Some(workflow) = &workflow {
        look(&mut reporter, workflow);
    }
    let found = reporter.finish();
    match workflow {
        Some(mut workflow) if found.iter().all(|finding| finding.severity == Severity::Warning) => {
            workflow.warnings = found;
            Ok(workflow)
        }
        _ => Err(found),
    }
}

/// Everything there is to say about a workflow file: errors and warnings.
pub fn lint(file: &str, source: &str) -> Vec<Diagnostic> {
    match parse_with_advice(file, source) {
        Ok(mut workflow) => {
            let mut found = std::mem::take(&mut workflow.warnings);
            found.extend(advice(&workflow, source));
            found.sort_by_key(|finding| (finding.line, finding.column));
            found.truncate(crate::diagnostics::MAX_DIAGNOSTICS);
            found
        }
        Err(found) => found,
    }
}

/// Warnings about a workflow beyond those that [`parse_with_advice`] has, of what can't come true.
pub fn advice(workflow: &Workflow, source: &str) -> Vec<Diagnostic> {
    let mut reporter = Reporter::new(&workflow.file, source);
    unknown::look(&mut reporter, workflow);
    reporter.finish()
}
