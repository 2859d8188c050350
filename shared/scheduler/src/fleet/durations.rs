//! How long jobs take, so that whoever waits can be told how long. Soft: forgotten by a new leader.

use std::collections::BTreeMap;

use crate::ids::FencingToken;
use crate::label::LabelSet;
use crate::limits::DURATIONS_MAX;
use crate::outcome::Outcome;
use crate::state::Instance;
use crate::time::Timestamp;

/// How much the last one counts: a fifth. About ten of them make the average.
const LAST_COUNTS: u64 = 5;

/// An exponentially weighted moving average for each set of labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Durations {
    by_labels: BTreeMap<LabelSet, u64>,
}

impl Durations {
    /// An attempt ended. One that the fleet ended says nothing about how long the work takes.
    pub(super) fn ended(
        &mut self,
        instance: &Instance,
        token: FencingToken,
        outcome: &Outcome,
        at: Timestamp,
    ) {
        if matches!(outcome, Outcome::Fleet { .. } | Outcome::Cancelled) {
            return;
        }
        let Some(attempt) = instance.attempts().iter().rev().find(|attempt| attempt.token == token) else {
            return;
        };
        let last_ms = at.since(attempt.started_at);
        if let Some(usual_ms) = self.by_labels.get_mut(instance.labels()) {
            *usual_ms = (*usual_ms * (LAST_COUNTS - 1) + last_ms) / LAST_COUNTS;
            return;
        }
        if self.by_labels.len() >= DURATIONS_MAX {
            self.by_labels.clear();
        }
        self.by_labels.insert(instance.labels().clone(), last_ms);
    }

    pub(super) fn usual_ms(&self, labels: &LabelSet) -> Option<u64> {
        self.by_labels.get(labels).copied()
    }
}
