//! What the scheduler learns of a workflow when a run is submitted.

use serde_json::Value as Json;

use crate::expression::ExpressionError;
use crate::syntax::Workflow;

use super::environment::PlanEnvironment;

/// A job before anything of it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOutline {
    /// Its id in the file.
    pub id: String,
    /// Ids of the jobs that must be done first; all are in the outline.
    pub needs: Vec<String>,
    /// Whether its attempts must never overlap: it has an `environment`.
    pub strict: bool,
}

/// The jobs of a workflow in file order. Ids are unique, needs exist and form no cycle.
pub fn prepare(workflow: &Workflow) -> Vec<JobOutline> {
    workflow
        .jobs
        .iter()
        .map(|job| JobOutline {
            id: job.id.clone(),
            needs: job.needs.iter().map(|need| need.id.clone()).collect(),
            strict: job.environment.is_some(),
        })
        .collect()
}

/// The run's title: `run-name`; `None` when there is none or it comes out empty.
///
/// # Errors
/// Evaluation errors.
pub fn run_name(
    workflow: &Workflow,
    github: &Json,
    inputs: &Json,
    vars: &Json,
) -> Result<Option<String>, ExpressionError> {
    let Some(name) = &workflow.run_name else {
        return Ok(None);
    };
    let environment = PlanEnvironment::new(github, inputs, vars);
    let name = name.template.evaluate_to_string(&environment)?;
    Ok(Some(name).filter(|name| !name.trim().is_empty()))
}
