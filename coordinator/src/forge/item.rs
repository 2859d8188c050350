//! A report on its way to what it should be: what of it was told, and when it is its turn.

use std::time::Duration;

use slipway_kit::backoff::Backoff;
use tokio::time::Instant;

use super::desired::{Mark, Wanted};
use super::details::Details;

/// The first wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(120));

/// A report that is not settled.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) wanted: Wanted,
    pub(super) id: Option<u64>,
    /// Something may have been told that nobody remembers.
    pub(super) uncertain: bool,
    /// What was told last.
    pub(super) told: Option<Mark>,
    pub(super) told_at: Instant,
    pub(super) not_before: Instant,
    pub(super) backoff: Backoff,
    pub(super) busy: bool,
    pub(super) details: Option<Details>,
}

impl Item {
    pub(super) fn new(wanted: Wanted, uncertain: bool, now: Instant) -> Self {
        let id = wanted.told.map(|told| told.id);
        Self {
            wanted,
            id,
            uncertain,
            told: None,
            told_at: now,
            not_before: now,
            backoff: Backoff::new(WAITS.0, WAITS.1),
            busy: false,
            details: None,
        }
    }

    /// How urgent it is, less first; `None`: there is nothing to tell now, or not yet.
    pub(super) fn urgency(&self, now: Instant, live_every: Duration, has_room: bool) -> Option<u8> {
        if self.busy || self.not_before > now {
            return None;
        }
        if self.told.as_ref() != Some(&self.wanted.mark()) {
            return Some(match (self.wanted.stage.is_done(), self.id) {
                (true, _) => 0,
                (false, None) => 1,
                (false, Some(_)) => 2,
            });
        }
        let live = self.wanted.source.is_some_and(|source| !source.over);
        (live && has_room && now >= self.told_at + live_every).then_some(3)
    }
}
