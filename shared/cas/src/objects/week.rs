//! When a blob was put or renewed last, to the week: part of its object's name.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use object_store::path::Path;

use crate::Digest;

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For how many blobs it is remembered where they are.
const REMEMBERED_MAX: usize = 16 << 10;

/// A week, or the time before there were any: objects of that time are named `blobs/ab/cdef…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Week {
    /// Before blobs were put in weeks.
    Before,
    /// This many weeks after 1 January 1970.
    Number(u64),
}

impl Week {
    pub(super) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    pub(super) fn of(time: SystemTime) -> Self {
        Self::Number(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / WEEK.as_secs())
    }

    /// By the folder of a week in `blobs/`; none for other folders there.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let number = name.strip_prefix('w')?;
        let week = Self::Number(number.parse().ok()?);
        // One name each.
        (week.folder().filename() == Some(name)).then_some(week)
    }

    /// When the last blob of this week may have been put; none for the time before.
    pub(super) fn end(self) -> Option<SystemTime> {
        match self {
            Self::Before => None,
            Self::Number(number) => {
                let seconds = number.saturating_add(1).saturating_mul(WEEK.as_secs());
                // One so far off that no time can name it is not over.
                Some(UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or_else(SystemTime::now))
            }
        }
    }

    pub(super) fn folder(self) -> Path {
        match self {
            Self::Before => Path::from("blobs"),
            Self::Number(number) => Path::from(format!("blobs/w{number}")),
        }
    }

    pub(super) fn path(self, digest: Digest) -> Path {
        let hash = digest.hash_hex();
        let (shard, rest) = hash.split_at(2);
        Path::from(format!("{}/{shard}/{rest}", self.folder()))
    }
}

/// Where blobs were when they were last seen.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<Digest, Week>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Week>> {
        // A panic elsewhere leaves a map that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remembered(&self, digest: Digest) -> Option<Week> {
        self.lock().get(&digest).copied()
    }

    pub(super) fn remember(&self, digest: Digest, week: Week) {
        let mut places = self.lock();
        if places.len() >= REMEMBERED_MAX && !places.contains_key(&digest) {
            places.clear();
        }
        places.insert(digest, week);
    }

    pub(super) fn forget(&self, digest: Digest) {
        self.lock().remove(&digest);
    }

    /// Where to look first, each once.
    pub(super) fn likely(&self, digest: Digest, now: Week) -> impl Iterator<Item = Week> + use<> {
        let last = match now {
            Week::Number(number) => Week::Number(number.saturating_sub(1)),
            Week::Before => Week::Before,
        };
        let seen = self.remembered(digest);
        seen.into_iter().chain([now, last].into_iter().filter(move |week| Some(*week) != seen))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_week_has_one_name_and_an_end() {
        let time = UNIX_EPOCH + WEEK * 2_969 + Duration::from_secs(5);
        let week = Week::of(time);
        assert_eq!(week, Week::Number(2_969));
        assert_eq!(week.end().unwrap(), UNIX_EPOCH + WEEK * 2_970);
        let digest = Digest::EMPTY;
        assert!(week.path(digest).as_ref().starts_with("blobs/w2969/e3/b0c44298fc1c"));
        assert!(Week::Before.path(digest).as_ref().starts_with("blobs/e3/b0c44298fc1c"));
        assert_eq!(Week::parse("w2969"), Some(week));
        for name in ["", "w", "e3", "w02969", "w+2969", "w2969/", "W2969", "w99999999999999999999"] {
            assert_eq!(Week::parse(name), None, "{name}");
        }
        assert!(Week::Number(u64::MAX).end().is_some());
    }

    #[test]
    fn each_likely_week_is_named_once() {
        let (places, digest) = (Places::default(), Digest::EMPTY);
        let (last, now) = (Week::Number(6), Week::Number(7));
        assert!(places.likely(digest, now).eq([now, last]));
        places.remember(digest, last);
        assert!(places.likely(digest, now).eq([last, now]));
        places.remember(digest, Week::Before);
        assert!(places.likely(digest, now).eq([Week::Before, now, last]));
        places.forget(digest);
        assert_eq!(places.remembered(digest), None);
    }
}
