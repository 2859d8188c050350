//! How steps and jobs end.

use serde::{Deserialize, Serialize};

/// A step's `outcome` or `conclusion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// It ended well.
    Success,
    /// It failed, or its time ran out.
    Failure,
    /// The job was cancelled while it ran.
    Cancelled,
    /// Its condition was false.
    Skipped,
}

impl StepResult {
    /// As the `steps` context shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// How a job stands: `job.status`, and its result when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// No step failed so far.
    #[default]
    Success,
    /// A step failed.
    Failure,
    /// It was cancelled.
    Cancelled,
}

impl JobStatus {
    /// As `job.status` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// The worse of the two: cancelled, then failed (GitHub's `MergeTaskResults`).
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Cancelled, _) | (_, Self::Cancelled) => Self::Cancelled,
            (Self::Failure, _) | (_, Self::Failure) => Self::Failure,
            (Self::Success, Self::Success) => Self::Success,
        }
    }
}

/// What happened to a step's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited; 128 + n for signal n.
    Exited(i32),
    /// Its time ran out and it was stopped.
    TimedOut,
    /// The job was cancelled and it was stopped.
    Cancelled,
    /// It could not be started, or something about it could not be evaluated.
    Failed,
    /// Its condition was false.
    Skipped,
}

/// How a step ended, before and after `continue-on-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepEnd {
    /// Before.
    pub outcome: StepResult,
    /// After.
    pub conclusion: StepResult,
}

impl StepEnd {
    /// Outcome and conclusion. `failed_by_command`: a command or an environment file failed the step, whatever its
    /// exit code. Only a failure is turned into a success by `continue-on-error`.
    pub fn new(ended: Ended, failed_by_command: bool, continue_on_error: bool) -> Self {
        let outcome = match ended {
            Ended::Skipped => StepResult::Skipped,
            Ended::Cancelled => StepResult::Cancelled,
            Ended::Exited(0) if !failed_by_command => StepResult::Success,
            Ended::Exited(_) | Ended::TimedOut | Ended::Failed => StepResult::Failure,
        };
        let rescued = outcome == StepResult::Failure && continue_on_error;
        Self { outcome, conclusion: if rescued { StepResult::Success } else { outcome } }
    }
}

#[cfg(test)]
mod tests;
