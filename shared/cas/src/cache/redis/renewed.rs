//! Which values this process made young a moment ago.
//!
//! A "yes" about a value renews its time to live, which is one command for each; that a thousand values are there is one command
//! for all. So who asks about the same values again, as each build does, has the time renewed only now and then. A value that
//! was told to be there is still there for three quarters of the shorter of the two times to live, at least, unless Redis
//! needs its room.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::key::Key;

/// The longest that a value counts as renewed.
const LONGEST: Duration = Duration::from_secs(600);

/// Values remembered at most, twice: some four megabytes.
const VALUES_MAX: usize = 1 << 17;

/// Values renewed lately. Those of the last period and of the one before count.
pub(super) struct Renewed {
    hashes: RandomState,
    period: Duration,
    values: Mutex<Values>,
}

struct Values {
    since: Instant,
    current: HashSet<u64>,
    before: HashSet<u64>,
}

impl Renewed {
    /// For values with this time to live, the shorter one if there are two.
    pub(super) fn new(ttl: Duration) -> Self {
        let values =
            Values { since: Instant::now(), current: HashSet::default(), before: HashSet::default() };
        Self { hashes: RandomState::new(), period: (ttl / 4).min(LONGEST) / 2, values: Mutex::new(values) }
    }

    /// The values, without those whose time is over.
    fn values(&self) -> MutexGuard<'_, Values> {
        // Nothing here panics.
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let (age, full) = (values.since.elapsed(), values.current.len() >= VALUES_MAX);
        if age >= self.period || full {
            values.before = match age >= self.period * 2 {
                true => HashSet::default(),
                false => std::mem::take(&mut values.current),
            };
            values.current.clear();
            values.since = Instant::now();
        }
        values
    }

    /// Whether all of these were.
    pub(super) fn all(&self, keys: &[Key]) -> bool {
        let values = self.values();
        keys.iter().map(|key| self.hashes.hash_one(key)).all(|hash| values.has(hash))
    }

    /// These are renewed.
    pub(super) fn note<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let mut values = self.values();
        values.current.extend(keys.map(|key| self.hashes.hash_one(key)));
    }

    /// These may be gone, or live for a short time only.
    pub(super) fn forget<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let mut values = self.values();
        for hash in keys.map(|key| self.hashes.hash_one(key)) {
            values.current.remove(&hash);
            values.before.remove(&hash);
        }
    }
}

impl Values {
    fn has(&self, hash: u64) -> bool {
        self.current.contains(&hash) || self.before.contains(&hash)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::cache::key::{Kind, Namespace};

    fn keys(count: u64) -> Vec<Key> {
        let key = |number: u64| Key {
            kind: Kind::Chunk,
            namespace: Namespace::new("main").unwrap(),
            id: Digest::of(&number.to_le_bytes()),
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn what_was_renewed_is_remembered_for_a_while() {
        let (keys, renewed) = (keys(10), Renewed::new(Duration::from_secs(3600)));
        assert!(!renewed.all(&keys));
        renewed.note(keys.iter());
        assert!(renewed.all(&keys));
        renewed.forget(keys[3..4].iter());
        assert!(!renewed.all(&keys) && renewed.all(&keys[..3]));
        // A period later they are those of the period before, and two later they are none.
        let later = |renewed: &Renewed, periods: u32| {
            let mut values = renewed.values.lock().unwrap();
            values.since = values.since.checked_sub(renewed.period * periods).unwrap();
        };
        later(&renewed, 1);
        assert!(renewed.all(&keys[..3]));
        later(&renewed, 1);
        assert!(!renewed.all(&keys[..1]));
        renewed.note(keys.iter());
        later(&renewed, 3);
        assert!(!renewed.all(&keys[..1]));
    }

    #[test]
    fn it_is_bounded() {
        let renewed = Renewed::new(Duration::from_secs(3600));
        for part in keys(3 * VALUES_MAX as u64).chunks(1000) {
            renewed.note(part.iter());
        }
        let values = renewed.values();
        assert!(values.current.len() + values.before.len() <= 2 * (VALUES_MAX + 1000));
    }
}
