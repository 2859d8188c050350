//! Which steps of a job are known beforehand to be skipped.
//!
//! A step's `if` may look at what earlier steps did, at the runner or at files: then only the run can tell, and nothing is
//! said here. Nothing is said either of steps that run as long as all goes well.

use serde::Serialize;

use crate::expression::{Condition, availability};
use crate::job_spec::{StepAction, StepSpec};

use super::environment::PlanEnvironment;
use super::reason;
use super::resolve::Ancestors;

/// What only the run knows.
const OF_THE_RUN: [&str; 5] = ["needs", "steps", "job", "runner", "env"];

/// A step that does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedStep {
    /// Its name, as far as it is known: expressions in it stay as they are written.
    pub step: String,
    /// Its line in the file, from 1.
    pub line: u32,
    /// Why.
    pub reason: String,
}

/// The steps of one instance of a job that are skipped as long as all goes well. `inputs_open`: the values of `inputs` are
/// not known.
pub(super) fn skipped(
    steps: &[StepSpec],
    environment: &PlanEnvironment,
    inputs_open: bool,
) -> Vec<SkippedStep> {
    let found = steps.iter().filter_map(|step| {
        let reason = reason(step, environment, inputs_open)?;
        Some(SkippedStep { step: name(step), line: step.line, reason })
    });
    found.collect()
}

fn reason(step: &StepSpec, environment: &PlanEnvironment, inputs_open: bool) -> Option<String> {
    let condition = Condition::parse(&step.condition.as_ref()?.text, &availability::STEP_CONDITION).ok()?;
    let open = OF_THE_RUN.iter().any(|context| condition.uses_context(context));
    if open || (inputs_open && condition.uses_context("inputs")) {
        return None;
    }
    let with = |failed: bool, cancelled: bool| {
        let mut environment = environment.clone();
        environment.ancestors = Ancestors { failed, ..Ancestors::default() };
        environment.cancelled = cancelled;
        // `hashFiles` cannot be told either.
        condition.evaluate(&environment).ok()
    };
    if with(false, false)? {
        return None;
    }
    Some(match (with(true, false)?, with(false, true)?) {
        (true, true) => "it runs only once a step before it failed, or the run is cancelled".to_owned(),
        (true, false) => "it runs only once a step before it failed".to_owned(),
        (false, true) => "it runs only when the run is cancelled".to_owned(),
        (false, false) => reason::is_false(&condition, environment),
    })
}

/// What people see of it; without a name, as on GitHub.
fn name(step: &StepSpec) -> String {
    match (&step.name, &step.action) {
        (Some(name), _) => name.text.clone(),
        (None, StepAction::Run { script, .. }) => {
            let first = script.text.lines().map(str::trim).find(|line| !line.is_empty());
            format!("Run {}", first.unwrap_or_default())
        }
        (None, StepAction::Uses { uses, .. }) => format!("Run {uses}"),
        (None, StepAction::Wait { default_name, .. } | StepAction::Cancel { default_name, .. }) => {
            default_name.clone()
        }
    }
}
