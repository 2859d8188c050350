//! Which values were used lately, until the index is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Uses that are held back at most.
const HELD_USES: usize = 4096;

/// Times of use by value, in milliseconds since 1970, each later than the one before.
#[derive(Debug)]
pub(super) struct Uses {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    last: u64,
    by_id: HashMap<i64, u64>,
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

impl Uses {
    /// None yet; `last` is the latest time that the index knows.
    pub(super) fn after(last: u64) -> Self {
        Self { held: Mutex::new(Held { last, by_id: HashMap::new() }) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere can at worst lose a use.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time later than every one before, also when the clock was set back.
    pub(super) fn next(&self) -> u64 {
        self.held().next(now_ms())
    }

    /// Notes a use of each of these values.
    pub(super) fn note(&self, ids: impl Iterator<Item = i64>) {
        let now = now_ms();
        let mut held = self.held();
        for id in ids {
            let at = held.next(now);
            held.by_id.insert(id, at);
        }
    }

    /// Whether it is time to tell the index.
    pub(super) fn are_many(&self) -> bool {
        self.held().by_id.len() >= HELD_USES
    }

    /// All that were noted, and none are any more.
    pub(super) fn take(&self) -> HashMap<i64, u64> {
        std::mem::take(&mut self.held().by_id)
    }
}

impl Held {
    fn next(&mut self, now: u64) -> u64 {
        self.last = now.max(self.last + 1);
        self.last
    }
}
