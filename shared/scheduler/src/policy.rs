//! The rules by which the scheduler judges: which fleet failures are tried again and when, and how results merge.

use crate::limits::{ATTEMPTS_DEFAULT, ATTEMPTS_MAX, BACKOFF_MS_MAX, LEASE_MS};
use crate::outcome::{FleetCause, JobResult, Outcome};

/// How a fleet failure is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    /// Attempts that may fail for this cause, from 1; with the last the instance fails.
    pub attempts: u32,
    /// Wait before the second attempt, in milliseconds; it doubles with each further one, up to [`BACKOFF_MS_MAX`].
    pub backoff_ms: u64,
}

/// The rules that may differ from one coordinator to another. They are given to [`crate::decide`], and what they lead to
/// is journaled: replay does not ask for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// By cause, in the order of [`FleetCause::ALL`].
    retry: [RetryRule; FleetCause::ALL.len()],
    /// Attempts of one instance, whatever the causes: 1 to [`crate::limits::ATTEMPTS_MAX`].
    pub attempts: u32,
    /// The full time of new leases, in milliseconds: [`crate::limits::LEASE_MS_MIN`] to [`crate::limits::LEASE_MS_MAX`].
    pub lease_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { retry: FleetCause::ALL.map(default_retry), attempts: ATTEMPTS_DEFAULT, lease_ms: LEASE_MS }
    }
}

impl Rules {
    /// The rule for a cause.
    #[must_use]
    pub fn retry(&self, cause: FleetCause) -> RetryRule {
        self.retry.get(cause as usize).copied().unwrap_or(default_retry(cause))
    }

    /// Sets the rule for a cause.
    pub fn set_retry(&mut self, cause: FleetCause, rule: RetryRule) {
        if let Some(place) = self.retry.get_mut(cause as usize) {
            *place = rule;
        }
    }

    /// The back-off after the `failed`-th failure (from 1) for this cause, or `None` when there is no further attempt.
    /// `attempts` counts all attempts so far, whatever their causes.
    #[must_use]
    pub fn backoff_ms(&self, cause: FleetCause, failed: u32, attempts: u32) -> Option<u64> {
        let rule = self.retry(cause);
        if failed >= rule.attempts || attempts >= self.attempts.min(ATTEMPTS_MAX) {
            return None;
        }
        let doublings = failed.saturating_sub(1).min(20);
        Some(rule.backoff_ms.saturating_mul(1 << doublings).min(BACKOFF_MS_MAX))
    }
}

/// The rule for each cause where nothing else is configured.
const fn default_retry(cause: FleetCause) -> RetryRule {
    let (attempts, backoff_ms) = match cause {
        // The machine is gone; another can start at once.
        FleetCause::AgentLost | FleetCause::LeaseExpired => (4, 0),
        FleetCause::InitLost | FleetCause::ContainerStart | FleetCause::Internal => (3, 1_000),
        // A registry that doesn't know the image may be one that doesn't yet.
        FleetCause::ImageNotFound => (2, 2_000),
        FleetCause::OutOfMemory => (3, 5_000),
        // Outside services: give them time.
        FleetCause::ImagePull | FleetCause::CheckoutUnavailable | FleetCause::ActionUnavailable => (5, 2_000),
        FleetCause::EngineUnavailable | FleetCause::DiskFull => (5, 5_000),
    };
    RetryRule { attempts, backoff_ms }
}

/// The result of an instance whose attempt ended so, when no further attempt is made.
///
/// A job that passes its `timeout-minutes` is *cancelled*, as on GitHub ("the maximum number of minutes to let a job run
/// before GitHub automatically cancels it"), so a dependant's `failure()` is false and its `cancelled()`-less condition
/// is not met.
#[must_use]
pub const fn result_of(outcome: &Outcome) -> JobResult {
    match outcome {
        Outcome::Success { .. } => JobResult::Success,
        Outcome::Failure { .. } | Outcome::Fleet { .. } => JobResult::Failure,
        Outcome::Cancelled | Outcome::TimedOut => JobResult::Cancelled,
    }
}

/// What an instance's result counts as for its run and for the jobs that need it: under `continue-on-error` a failure
/// counts as success.
#[must_use]
pub const fn effective(result: JobResult, continue_on_error: bool) -> JobResult {
    match result {
        JobResult::Failure if continue_on_error => JobResult::Success,
        other => other,
    }
}

/// The result of a whole from its parts: a failure outweighs a cancelled part, that one a success; only when every part is
/// skipped the whole is. No parts make a success.
#[must_use]
pub fn merge<I: IntoIterator<Item = JobResult>>(parts: I) -> JobResult {
    let rank = |result: &JobResult| match result {
        JobResult::Failure => 3,
        JobResult::Cancelled => 2,
        JobResult::Success => 1,
        JobResult::Skipped => 0,
    };
    parts.into_iter().max_by_key(rank).unwrap_or(JobResult::Success)
}

/// The result of a run: as [`merge`], but one that somebody cancelled is cancelled unless all its jobs succeeded or one
/// failed.
#[must_use]
pub fn run_result<I: IntoIterator<Item = JobResult>>(jobs: I, cancelled: bool) -> JobResult {
    let mut skipped = false;
    let result = merge(jobs.into_iter().inspect(|result| skipped |= *result == JobResult::Skipped));
    if cancelled && skipped && result != JobResult::Failure { JobResult::Cancelled } else { result }
}
