//! What a job remembers from step to step: the runner keeps it in the job's journal and goes on with it after a
//! restart.
//!
//! It holds environment and outputs, which may hold secrets in clear, so the journal is readable by the agent only;
//! masks are not part of it: whoever keeps [`super::mask::Masks::added`] must not keep it in clear.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::commands::Effect;
use super::outcome::{JobStatus, StepEnd, StepResult};
use super::values::{Names, Values};

/// Most bytes of environment, path, outputs and saved state of a job, names and values together.
pub const MAX_STATE_BYTES: usize = 32 * 1024 * 1024;

/// The job would remember too much; its text is for the step's log, and the step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "The job's environment and outputs together are larger than {} MiB. Keep large values in files or artifacts",
    MAX_STATE_BYTES / 1024 / 1024
)]
pub struct StateFull;

/// A job between two steps, or within one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    env: Values,
    /// Oldest first.
    path: Vec<String>,
    steps: Vec<StepState>,
    status: JobStatus,
    size_bytes: usize,
    /// Composite actions under way, outermost first.
    #[serde(default)]
    nested: Vec<Nested>,
}

/// A composite action under way: its steps, and how it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Nested {
    steps: Vec<StepState>,
    status: JobStatus,
}

/// What is known of a step that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepState {
    /// The step's id; generated ones start with `__`.
    pub id: String,
    /// Its outputs; names ignore case.
    pub outputs: Values,
    /// `STATE_…` for the same action's post step.
    pub saved: Values,
    /// Before `continue-on-error`; `None` while it runs.
    pub outcome: Option<StepResult>,
    /// After it.
    pub conclusion: Option<StepResult>,
    /// A command or an environment file failed the step.
    pub failed_by_command: bool,
}

impl JobState {
    /// A job whose `env` blocks (workflow, then job) were evaluated.
    pub fn new(env: Values) -> Self {
        let size_bytes = env.iter().map(|(name, value)| name.len() + value.len()).sum();
        Self { env, size_bytes, ..Self::default() }
    }

    /// Workflow's and job's environment, and what `GITHUB_ENV` set since.
    pub fn env(&self) -> &Values {
        &self.env
    }

    /// Directories that steps put in front of `PATH`, in the order in which they go there: the newest first.
    pub fn path(&self) -> impl Iterator<Item = &str> {
        self.path.iter().rev().map(String::as_str)
    }

    /// The steps that were reached, in order: the job's, or those of the composite action under way.
    pub fn steps(&self) -> &[StepState] {
        self.nested.last().map_or(&self.steps, |nested| &nested.steps)
    }

    fn steps_mut(&mut self) -> &mut Vec<StepState> {
        self.nested.last_mut().map_or(&mut self.steps, |nested| &mut nested.steps)
    }

    /// A composite action begins: the steps from here on are its own.
    pub fn enter(&mut self) {
        self.nested.push(Nested::default());
    }

    /// The composite action's steps are through. Gives how it stands; the step that used it is the last one again.
    pub fn leave(&mut self) -> JobStatus {
        self.nested.pop().map_or(self.status, |nested| nested.status)
    }

    /// How the job stands.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// The step reached last was none of the job's own.
    pub fn forget_step(&mut self) {
        self.steps_mut().pop();
    }

    /// The composite actions under way come to nothing.
    pub fn leave_all(&mut self) {
        self.nested.clear();
    }

    /// The same, as the steps of the outer actions see it: with the first `depth` of them only.
    #[must_use]
    pub fn at(&self, depth: usize) -> Self {
        let mut outer = self.clone();
        outer.nested.truncate(depth);
        outer
    }

    /// How the composite action under way stands (`github.action_status`); none outside of one.
    pub fn action_status(&self) -> Option<JobStatus> {
        self.nested.last().map(|nested| nested.status)
    }

    /// The job was cancelled; that stays, whatever its steps do.
    pub fn cancel(&mut self) {
        self.status = JobStatus::Cancelled;
        for nested in &mut self.nested {
            nested.status = JobStatus::Cancelled;
        }
    }

    /// The job failed outside its steps (its time ran out, its outputs could not be evaluated).
    pub fn fail(&mut self) {
        self.status = self.status.merge(JobStatus::Failure);
    }

    /// A step is reached.
    pub fn begin_step(&mut self, id: &str) {
        self.steps_mut().push(StepState {
            id: id.to_owned(),
            outputs: Values::new(Names::IgnoreCase),
            saved: Values::new(Names::IgnoreCase),
            outcome: None,
            conclusion: None,
            failed_by_command: false,
        });
    }

    /// Forgets everything but the step reached last.
    pub fn keep_last(&mut self) {
        let last = self.steps.pop();
        *self = Self { steps: last.into_iter().collect(), status: self.status, ..Self::default() };
    }

    /// A step that ran beside the others is known from here on, in front of the one reached last: with its outputs, and with
    /// what it set for the steps after it.
    ///
    /// # Errors
    /// [`StateFull`]; then what does not fit is missing, and the step reached last counts as failed.
    pub fn adopt(&mut self, mut step: StepState, env: &Values, path: &[String]) -> Result<(), StateFull> {
        let outputs: usize = step.outputs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let fits = self.size_bytes.saturating_add(outputs) <= MAX_STATE_BYTES;
        if fits {
            self.size_bytes += outputs;
        } else {
            step.outputs = Values::new(Names::IgnoreCase);
        }
        let steps = self.steps_mut();
        let at = steps.len().saturating_sub(1);
        steps.insert(at, step);
        if !fits {
            self.fail_step();
            return Err(StateFull);
        }
        for (name, value) in env.iter() {
            self.apply(&Effect::SetEnv { name: name.to_owned(), value: value.to_owned() })?;
        }
        for folder in path {
            self.apply(&Effect::AddPath(folder.clone()))?;
        }
        Ok(())
    }

    /// The step reached last has ended.
    pub fn end_step(&mut self, end: StepEnd) {
        if let Some(step) = self.steps_mut().last_mut() {
            step.outcome = Some(end.outcome);
            step.conclusion = Some(end.conclusion);
        }
        let status = match end.conclusion {
            StepResult::Failure => JobStatus::Failure,
            // Outside of an action only the job itself is cancelled.
            StepResult::Cancelled if !self.nested.is_empty() => JobStatus::Cancelled,
            _ => return,
        };
        match self.nested.last_mut() {
            Some(nested) => nested.status = nested.status.merge(status),
            None => self.fail(),
        }
    }

    /// What the step reached last saved for its action's post step.
    pub fn saved(&self) -> Option<&Values> {
        self.steps().last().map(|step| &step.saved)
    }

    /// Whether a command or an environment file failed the step reached last.
    pub fn failed_by_command(&self) -> bool {
        self.steps().last().is_some_and(|step| step.failed_by_command)
    }

    /// Applies what the step reached last asked for. Masks, annotations and summaries change nothing here.
    ///
    /// # Errors
    /// [`StateFull`]; the effect is not applied and the step counts as failed.
    pub fn apply(&mut self, effect: &Effect) -> Result<(), StateFull> {
        let added = match effect {
            Effect::SetOutput { name, value }
            | Effect::SaveState { name, value }
            | Effect::SetEnv { name, value } => name.len() + value.len(),
            Effect::AddPath(path) => path.len(),
            Effect::FailStep => {
                self.fail_step();
                return Ok(());
            }
            Effect::AddMask(_)
            | Effect::Annotate(_)
            | Effect::Summary(_)
            | Effect::AddMatchers(_)
            | Effect::RemoveMatcher(_)
            | Effect::RemoveMatchers(_) => return Ok(()),
        };
        // Replaced values count again, so this bounds what was ever set; that keeps it simple and still bounded.
        if self.size_bytes + added > MAX_STATE_BYTES {
            self.fail_step();
            return Err(StateFull);
        }
        self.size_bytes += added;
        match effect {
            Effect::SetEnv { name, value } => self.env.set(name, value),
            Effect::AddPath(path) => {
                self.path.retain(|known| known != path);
                self.path.push(path.clone());
            }
            Effect::SetOutput { name, value } => {
                if let Some(step) = self.steps_mut().last_mut() {
                    step.outputs.set(name, value);
                }
            }
            Effect::SaveState { name, value } => {
                if let Some(step) = self.steps_mut().last_mut() {
                    step.saved.set(name, value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fail_step(&mut self) {
        if let Some(step) = self.steps_mut().last_mut() {
            step.failed_by_command = true;
        }
    }
}

#[cfg(test)]
mod tests;
