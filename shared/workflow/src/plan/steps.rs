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

/// What may vary from instance to instance of a job.
const OF_THE_INSTANCE: [&str; 2] = ["matrix", "strategy"];

/// The steps of a job whose `if` can be told beforehand.
pub(super) struct Conditions<'a> {
    known: Vec<(&'a StepSpec, Condition)>,
    /// Whether each instance has its own answer.
    varies: bool,
    /// The answer for all instances, once it was asked for.
    told: Option<Vec<SkippedStep>>,
}

impl<'a> Conditions<'a> {
    /// Looks through the steps of a job. `inputs_open`: the values of `inputs` are not known.
    pub(super) fn of(steps: &'a [StepSpec], inputs_open: bool) -> Self {
        let known: Vec<_> = steps
            .iter()
            .filter_map(|step| {
                let text = &step.condition.as_ref()?.text;
                let condition = Condition::parse(text, &availability::STEP_CONDITION).ok()?;
                let open = OF_THE_RUN.iter().any(|context| condition.uses_context(context))
                    || (inputs_open && condition.uses_context("inputs"));
                (!open).then_some((step, condition))
            })
            .collect();
        let varies = |(_, condition): &(&StepSpec, Condition)| {
            OF_THE_INSTANCE.iter().any(|context| condition.uses_context(context))
        };
        Self { varies: known.iter().any(varies), known, told: None }
    }

    /// The steps that are skipped in this instance as long as all goes well.
    pub(super) fn skipped(&mut self, environment: &PlanEnvironment) -> Vec<SkippedStep> {
        if let Some(told) = &self.told {
            return told.clone();
        }
        if self.known.is_empty() {
            return Vec::new();
        }
        let mut seen = environment.clone();
        let found = self.known.iter().filter_map(|(step, condition)| {
            let reason = reason(condition, environment, &mut seen)?;
            Some(SkippedStep { step: name(step), line: step.line, reason })
        });
        let found: Vec<SkippedStep> = found.collect();
        if !self.varies {
            self.told = Some(found.clone());
        }
        found
    }
}

/// Why a condition does not hold; none where it does, or where nobody can tell. `seen` is what it is evaluated with.
fn reason(
    condition: &Condition,
    environment: &PlanEnvironment,
    seen: &mut PlanEnvironment,
) -> Option<String> {
    let mut with = |failed: bool, cancelled: bool| {
        seen.ancestors = Ancestors { failed, ..Ancestors::default() };
        seen.cancelled = cancelled;
        // `hashFiles` cannot be told either.
        condition.evaluate(&*seen).ok()
    };
    if with(false, false)? {
        return None;
    }
    Some(match (with(true, false)?, with(false, true)?) {
        (true, true) => "it runs only once a step before it failed, or the run is cancelled".to_owned(),
        (true, false) => "it runs only once a step before it failed".to_owned(),
        (false, true) => "it runs only when the run is cancelled".to_owned(),
        (false, false) => reason::is_false(condition, environment),
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
