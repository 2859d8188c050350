//! Generations: how values of an object store grow old without anybody asking when each was used.
//!
//! Time is cut into generations of half a time to live. Values are written into the present one; who uses a value of the
//! one before copies it into the present one. So what nobody used for two generations is in neither, and whole older ones
//! can be removed: nobody writes there any more, so that no removal ever meets a use of the same value.

use std::time::Duration;

use object_store::path::Path;

use crate::cache::key::Key;

/// Below this lies all of the cache in a bucket.
const TOP: &str = "cache";

/// Generations before the present one that are kept: the one that is read, and one for coordinators whose clocks differ.
const KEPT: u64 = 2;

/// What stands for the colons of a key's text, which some stores would write in another way; no key has it.
const COLON: &str = "!";

/// How many first digits of a hash make a folder: stores spread their load by the beginning of names, and a walk lists one
/// folder after the other.
const FOLDER_DIGITS: usize = 2;

/// A part of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

impl Generation {
    /// The present one at so many seconds of Unix time, where values live so long without a use.
    pub(super) fn at(now_s: u64, ttl: Duration) -> Self {
        Self(now_s / (ttl.as_secs() / 2).max(1))
    }

    /// The one before, whose values are found too.
    pub(super) fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether nothing of it is found any more, now that `present` is, by nobody's clock that is less than a generation late.
    pub(super) fn is_over(self, present: Self) -> bool {
        self.0.saturating_add(KEPT) < present.0
    }

    /// Where all of its values lie.
    #[cfg(test)]
    pub(super) fn folder(self) -> Path {
        Path::from_iter([TOP, &self.0.to_string()])
    }

    /// Where those of its values lie whose hashes begin with this byte.
    pub(super) fn part(self, folder: u8) -> Path {
        Path::from_iter([TOP, &self.0.to_string(), &format!("{folder:02x}")])
    }

    /// Where all generations lie.
    pub(super) fn all() -> Path {
        Path::from(TOP)
    }

    /// The generation of this folder.
    pub(super) fn of_folder(folder: &Path) -> Option<Self> {
        folder.filename()?.parse().ok().map(Self)
    }

    /// Where the value of a key lies.
    pub(super) fn place(self, key: &Key) -> Path {
        let mut folder = key.id.hash_hex();
        folder.truncate(FOLDER_DIGITS);
        Path::from_iter([TOP, &self.0.to_string(), &folder, &key.to_text().replace(':', COLON)])
    }

    /// The key of the value that lies here.
    pub(super) fn key(place: &Path) -> Option<Key> {
        Key::from_text(&place.filename()?.replace(COLON, ":"))
    }
}

/// Where a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) generation: Generation,
    pub(super) folder: u8,
}

impl Step {
    /// What comes after it: the next folder, or after the last one the first of the generation before the present one.
    pub(super) fn next(self, present: Generation) -> Option<Self> {
        match self.folder.checked_add(1) {
            Some(folder) => Some(Self { folder, ..self }),
            None if self.generation == present && present != present.before() => {
                Some(Self { generation: present.before(), folder: 0 })
            }
            None => None,
        }
    }

    pub(super) fn to_text(self) -> String {
        format!("{} {}", self.generation.0, self.folder)
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (generation, folder) = text.split_once(' ')?;
        Some(Self { generation: Generation(generation.parse().ok()?), folder: folder.parse().ok()? })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::cache::key::{Kind, Namespace};

    #[test]
    fn a_key_is_told_from_its_place() {
        for (kind, namespace) in [(Kind::Chunk, "main"), (Kind::Named, ".."), (Kind::Action, "r-0.e_1-2")] {
            let key = Key { kind, namespace: Namespace::new(namespace).unwrap(), id: Digest::of(b"x") };
            let place = Generation(7).place(&key);
            assert_eq!(Generation::key(&place), Some(key));
            assert!(place.as_ref().starts_with("cache/7/2d/"), "{place}");
            assert!(
                place.prefix_matches(&Generation(7).folder())
                    && !place.prefix_matches(&Generation(70).folder())
            );
        }
        assert_eq!(Generation::key(&Path::from("cache/7/2d/other")), None);
    }

    #[test]
    fn a_walk_goes_through_the_folders_of_two_generations_and_ends() {
        let present = Generation(7);
        let mut at = Some(Step { generation: present, folder: 0 });
        let mut seen = Vec::new();
        while let Some(step) = at {
            assert_eq!(Step::from_text(&step.to_text()), Some(step));
            seen.push(step.generation.part(step.folder));
            at = step.next(present);
        }
        assert_eq!(seen.len(), 512);
        let key = Key { kind: Kind::Chunk, namespace: Namespace::new("a").unwrap(), id: Digest::of(b"x") };
        for generation in [present, present.before()] {
            assert_eq!(seen.iter().filter(|part| generation.place(&key).prefix_matches(part)).count(), 1);
        }
        // The present one became the one before while a walk was in it.
        assert_eq!(Step { generation: present, folder: 255 }.next(Generation(8)), None);
        assert_eq!(Step::from_text("7"), None);
    }

    #[test]
    fn two_generations_are_a_time_to_live() {
        let at = |now_s| Generation::at(now_s, Duration::from_secs(100));
        assert_eq!(at(0), at(49));
        assert_eq!(at(50).before(), at(49));
        assert_eq!(at(0).before(), at(0), "nothing is before the first");
        // Written at its very beginning, used last at its very end.
        for (written, now, over) in [(0, 149, false), (0, 150, true), (49, 149, false), (49, 150, true)] {
            assert_eq!(at(written).is_over(at(now)), over, "written at {written}, now {now}");
        }
        assert_eq!(Generation::of_folder(&at(120).folder()), Some(at(120)));
        assert_eq!(Generation::of_folder(&Path::from("cache/x")), None);
        assert_eq!(Generation::at(9, Duration::ZERO), Generation(9), "no division by nothing");
    }
}
