//! Which values there are, in memory: a build asks about thousands at once, and each look into the index's tree costs more
//! than all that is done here for it.
//!
//! It is read from the index at the start, beside the first calls if there are many values, and follows each transaction
//! once that is committed, before the next answer about presence. Until it is read, and when there are too many values for
//! it, the index is asked instead.
//!
//! A value is known by 128 bits of its key: 64 by a hash whose key nobody outside knows, and 64 of its digest. So nobody can
//! make up a name that is taken for another, and two names that are alike by chance are not to be expected.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{PoisonError, RwLock};

use crate::cache::key::Key;

/// Values that are known at most; some 100 MB.
const VALUES_MAX: usize = 3 << 20;
/// Changes that wait until the index is read.
const CHANGES_MAX: usize = 1 << 18;

/// What stands for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    hash: u64,
    digest: u64,
}

impl Hash for Mark {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes the hash that a mark has already.
#[derive(Debug, Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Marks do not come here; whatever does is mixed in.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Ids = HashMap<Mark, i64, BuildHasherDefault<Taken>>;

/// A value that came or went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Entered(Mark, i64),
    Removed(Mark, i64),
}

enum State {
    /// The index is being read, and this has changed since.
    Reading(Vec<Change>),
    Read(Ids),
    /// There are too many, or the index could not be read.
    Off,
}

/// The values by their marks.
pub(super) struct Known {
    hashes: RandomState,
    state: RwLock<State>,
}

impl Known {
    /// Nothing is read yet.
    pub(super) fn unread() -> Self {
        Self { hashes: RandomState::new(), state: RwLock::new(State::Reading(Vec::new())) }
    }

    /// What stands for this key.
    pub(super) fn mark(&self, key: &Key) -> Mark {
        let mut hasher = self.hashes.build_hasher();
        hasher.write_u8(key.kind.letter() as u8);
        hasher.write(key.namespace.as_str().as_bytes());
        hasher.write_u64(key.id.size_bytes());
        hasher.write(key.id.hash());
        let [first, ..] = key.id.hash().as_chunks::<8>().0 else {
            return Mark { hash: hasher.finish(), digest: 0 };
        };
        Mark { hash: hasher.finish(), digest: u64::from_le_bytes(*first) }
    }

    /// The values under these keys; `None`: the index is to be asked.
    pub(super) fn find(&self, keys: &[Key]) -> Option<Vec<Option<i64>>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let State::Read(ids) = &*state else { return None };
        Some(keys.iter().map(|key| ids.get(&self.mark(key)).copied()).collect())
    }

    /// Follows a transaction that is committed.
    pub(super) fn follow(&self, changes: Vec<Change>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let fits = match &mut *state {
            State::Reading(waiting) => {
                waiting.extend(changes);
                waiting.len() <= CHANGES_MAX
            }
            State::Read(ids) => {
                changes.into_iter().for_each(|change| make(ids, change));
                ids.len() <= VALUES_MAX
            }
            State::Off => true,
        };
        if !fits {
            *state = State::Off;
        }
    }

    /// All that the index had when nothing had changed yet; `None`: it could not be read.
    pub(super) fn read(&self, values: impl Iterator<Item = Option<(Key, i64)>>) {
        let mut ids = Ids::default();
        for value in values {
            match value {
                Some((key, id)) if ids.len() < VALUES_MAX => ids.insert(self.mark(&key), id),
                _ => return *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Off,
            };
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Reading(waiting) = &mut *state {
            std::mem::take(waiting).into_iter().for_each(|change| make(&mut ids, change));
            *state = State::Read(ids);
        }
    }
}

fn make(ids: &mut Ids, change: Change) {
    match change {
        Change::Entered(mark, id) => {
            ids.insert(mark, id);
        }
        Change::Removed(mark, id) => {
            // Another may be in its place already.
            if ids.get(&mark) == Some(&id) {
                ids.remove(&mark);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::cache::key::{Kind, Namespace};

    fn key(namespace: &str, id: Digest) -> Key {
        Key { kind: Kind::Chunk, namespace: Namespace::new(namespace).unwrap(), id }
    }

    #[test]
    fn what_changes_while_the_index_is_read_counts() {
        let known = Known::unread();
        let [a, b, c] = [b"a", b"b", b"c"].map(|name| key("main", Digest::of(name)));
        assert_eq!(known.find(std::slice::from_ref(&a)), None, "the index is to be asked");
        known.follow(vec![Change::Removed(known.mark(&a), 1), Change::Entered(known.mark(&c), 3)]);
        known.read([(a.clone(), 1), (b.clone(), 2)].into_iter().map(Some));
        assert_eq!(known.find(&[a.clone(), b.clone(), c.clone()]).unwrap(), [None, Some(2), Some(3)]);
        // Exchanged: the old one's end comes after the new one's beginning.
        known.follow(vec![Change::Entered(known.mark(&b), 4), Change::Removed(known.mark(&b), 2)]);
        assert_eq!(known.find(&[b]).unwrap(), [Some(4)]);
    }

    #[test]
    fn names_that_differ_in_anything_are_others() {
        let known = Known::unread();
        let one = key("main", Digest::of(b"one"));
        known.read([Some((one.clone(), 1))].into_iter());
        let others = [
            key("other", one.id),
            Key { kind: Kind::Manifest, ..one.clone() },
            key("main", Digest::from_parts(*one.id.hash(), 4)),
        ];
        assert_eq!(known.find(&others).unwrap(), [None; 3]);
        // All bits but one: those that are taken over as they are too.
        for bit in 0..256 {
            let mut hash = *one.id.hash();
            hash[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(known.find(&[key("main", Digest::from_parts(hash, 3))]).unwrap(), [None], "bit {bit}");
        }
        assert_eq!(known.find(&[one]).unwrap(), [Some(1)]);
    }

    #[test]
    fn an_index_that_cannot_be_read_is_asked_itself() {
        let known = Known::unread();
        let one = key("main", Digest::of(b"one"));
        known.read([Some((one.clone(), 1)), None].into_iter());
        assert_eq!(known.find(std::slice::from_ref(&one)), None);
        known.follow(vec![Change::Entered(known.mark(&one), 1)]);
        assert_eq!(known.find(&[one]), None);
    }
}
