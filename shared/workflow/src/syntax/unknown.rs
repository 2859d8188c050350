//! What GitHub accepts and can't come true: steps and jobs in expressions that are not there, and conditions that never
//! hold.
//!
//! Invariant: warnings only. It reads every expression once more, so planning leaves it out ([`super::lint`] does it).

use std::collections::BTreeSet;

use crate::diagnostics::{Position, Reporter, locate};
use crate::expression::availability::{JOB_RUNNER, STEP_CONDITION, STEP_KEY};
use crate::expression::{Availability, Condition, Template};
use crate::job_spec::{Entry, StepAction, StepSpec, Text};

use super::model::{Job, Workflow};
use super::suggest::nearest;

/// Looks through a workflow.
pub(super) fn look(report: &mut Reporter<'_>, workflow: &Workflow) {
    for job in &workflow.jobs {
        Looking { report, needs: job.needs.iter().map(|need| need.id.to_ascii_lowercase()).collect() }
            .job(job);
    }
}

struct Looking<'r, 's> {
    report: &'r mut Reporter<'s>,
    /// The jobs that this one needs, in lower case.
    needs: BTreeSet<String>,
}

impl Looking<'_, '_> {
    fn job(&mut self, job: &Job) {
        if job.condition.is_never() {
            self.never(job.condition_position, "this job");
        }
        let none = BTreeSet::new();
        self.references(&job.condition.references(), &none, |_| job.condition_position);
        let mut steps = BTreeSet::new();
        for step in &job.steps {
            self.step(step, &steps);
            if step.id_written {
                steps.insert(step.id.to_ascii_lowercase());
            }
        }
        for entry in &job.outputs {
            self.text(&entry.value, &steps, &JOB_RUNNER);
        }
        for entry in &job.env {
            self.text(&entry.value, &steps, &JOB_RUNNER);
        }
    }

    fn step(&mut self, step: &StepSpec, steps: &BTreeSet<String>) {
        if let Some(text) = &step.condition
            && let Ok(condition) = Condition::parse(&text.text, &STEP_CONDITION)
        {
            if condition.is_never() {
                self.never(start(text), "this step");
            }
            let source = self.report.source();
            self.references(&condition.references(), steps, |path| place(source, text, path));
        }
        let none: &[Entry] = &[];
        let (texts, with) = match &step.action {
            StepAction::Run { script, working_directory, .. } => {
                (vec![Some(script), working_directory.as_ref()], none)
            }
            StepAction::Uses { with, .. } => (Vec::new(), with.as_slice()),
            StepAction::Wait { .. } | StepAction::Cancel { .. } => (Vec::new(), none),
        };
        let whole = [step.name.as_ref(), step.continue_on_error.as_ref(), step.timeout_minutes.as_ref()];
        for text in texts.into_iter().chain(whole).flatten() {
            self.text(text, steps, &STEP_KEY);
        }
        for entry in with.iter().chain(&step.env) {
            self.text(&entry.value, steps, &STEP_KEY);
        }
    }

    fn text(&mut self, text: &Text, steps: &BTreeSet<String>, availability: &Availability<'_>) {
        if !text.text.contains("${{") {
            return;
        }
        let Ok(template) = Template::parse(&text.text, availability) else { return };
        let references: Vec<String> =
            template.expressions().flat_map(|expression| expression.references()).collect();
        let source = self.report.source();
        self.references(&references, steps, |path| place(source, text, path));
    }

    /// Warns of what the paths name and is not there.
    fn references(&mut self, references: &[String], steps: &BTreeSet<String>, at: impl Fn(&str) -> Position) {
        for path in references {
            let mut parts = path.split('.');
            let (context, Some(id)) = (parts.next().unwrap_or_default(), parts.next()) else { continue };
            if id == "*" || id.is_empty() {
                continue;
            }
            let (code, message, known) = match context {
                "steps" if !steps.contains(id) => {
                    ("unknown-step", format!("no earlier step of this job has the id `{id}`"), steps)
                }
                "needs" if !self.needs.contains(id) => {
                    ("unknown-need", format!("this job does not need `{id}`"), &self.needs)
                }
                _ => continue,
            };
            let hint = match nearest(id, known.iter().map(String::as_str)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "its value is always empty".to_owned(),
            };
            self.report.warning(at(path), code, message, hint);
        }
    }

    fn never(&mut self, at: Position, what: &str) {
        self.report.warning(
            at,
            "never-runs",
            format!("{what} never runs: its `if` is never true"),
            "remove it, or the condition",
        );
    }
}

fn start(text: &Text) -> Position {
    Position { line: text.line, column: text.column }
}

/// Where a path stands in a text, as far as it is written so.
fn place(source: &str, text: &Text, path: &str) -> Position {
    let offset = text.text.to_ascii_lowercase().find(path).unwrap_or(0);
    locate(source, start(text), &text.text, offset)
}
