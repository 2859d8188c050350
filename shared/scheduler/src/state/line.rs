//! Where an instance waits among others: its priority, its share, and its lane within the share.
//!
//! Derived from the run and, where a job has a concurrency group of its own, from the instance. Nothing here is looked up when
//! agents are free: a run's standing was journaled with it.

use std::sync::Arc;

use crate::command::Concurrency;
use crate::limits::PRIORITY_POINT_MS;
use crate::time::Timestamp;

use super::Run;

/// Where an instance waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// The greater goes first.
    pub(crate) priority: i8,
    /// Shares of one priority take turns.
    pub(crate) share: Arc<str>,
    /// How many leases the share gets in one turn.
    pub(crate) weight: u32,
    /// Lanes of one share take turns of one lease: a repository's concurrency groups, and the rest of the repository.
    pub(crate) lane: Arc<str>,
}

impl Line {
    /// The line of a run's instances, or of one with a concurrency group of its own.
    pub(crate) fn of(run: &Run, own_group: Option<&Concurrency>) -> Self {
        let meta = run.meta();
        let repository = format!("{}/{}", meta.forge, meta.repository).to_lowercase();
        let standing = run.standing();
        let share = standing.share.as_ref().map_or_else(|| repository.clone(), |share| share.to_lowercase());
        let lane = match own_group.or(run.concurrency()) {
            // No repository's name has a space.
            Some(concurrency) => format!("{repository} {}", concurrency.group.to_lowercase()),
            None => repository,
        };
        Self {
            priority: standing.priority,
            share: share.into(),
            weight: standing.weight.max(1),
            lane: lane.into(),
        }
    }

    /// Its run's priority.
    #[must_use]
    pub fn priority(&self) -> i8 {
        self.priority
    }

    /// The share's name; a repository's own is `forge/owner/name`.
    #[must_use]
    pub fn share(&self) -> &str {
        &self.share
    }

    /// The share's weight.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// When it would have had to begin to wait to be as urgent with priority 0, in Unix milliseconds: its *virtual enqueue
    /// time*. It never changes while something waits, so waiting makes everything urgent in the end.
    pub(crate) fn urgency(&self, since: Timestamp) -> i64 {
        let bonus_ms = i64::from(self.priority) * PRIORITY_POINT_MS as i64;
        i64::try_from(since.0).unwrap_or(i64::MAX).saturating_sub(bonus_ms)
    }
}
