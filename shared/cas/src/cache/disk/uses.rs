//! Which values were used lately, until the index is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Uses that are held back at most.
const HELD_USES: usize = 4096;

/// Times of use by key, in milliseconds since 1970, each later than the one before.
#[derive(Debug)]
pub(super) struct Uses {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    last: u64,
    by_key: HashMap<String, u64>,
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
        Self { held: Mutex::new(Held { last, by_key: HashMap::new() }) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere can at worst lose a use.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time later than every one before, also when the clock was set back.
    pub(super) fn next(&self) -> u64 {
        self.held().next()
    }

    /// Notes a use of each key; says whether it is time to tell the index.
    pub(super) fn note(&self, keys: &[String]) -> bool {
        let mut held = self.held();
        for key in keys {
            let at = held.next();
            match held.by_key.get_mut(key) {
                Some(noted) => *noted = at,
                None => {
                    held.by_key.insert(key.clone(), at);
                }
            }
        }
        held.by_key.len() >= HELD_USES
    }

    /// All that were noted, and none are any more.
    pub(super) fn take(&self) -> HashMap<String, u64> {
        std::mem::take(&mut self.held().by_key)
    }
}

impl Held {
    fn next(&mut self) -> u64 {
        self.last = now_ms().max(self.last + 1);
        self.last
    }
}
