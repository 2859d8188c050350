//! Entries of the Actions cache, in pieces, on the agent's disk.
//!
//! An entry never changes. Its name here is what the coordinator calls its bytes (the header [`ENTRY`]), which no other entry's are
//! called, at no coordinator. So a piece once seen is good for ever; whether a job may have it is for the coordinator to say.

use bytes::Bytes;
use slipway_cas::Digest;
use slipway_cas::cache::engine::{Codec, Engine as _, Keep, Put, Value};
use slipway_cas::cache::{DiskEngine, Key, Kind, Namespace};

/// The header in which a coordinator names the bytes of an entry.
pub(crate) const ENTRY: &str = "x-slipway-entry";

/// Bytes of a piece, but for an entry's last.
pub(crate) const PIECE_BYTES: u64 = slipway_cas::cache::limits::CHUNK_MAX_BYTES as u64;

/// Where pieces lie: no coordinator names a place for build tools like that.
const PLACE: &str = "actions-cache";

/// The longest name that is taken from a coordinator, in bytes.
const NAME_MAX_BYTES: usize = 128;

/// Pieces of all entries; clones share them.
#[derive(Clone)]
pub(crate) struct Pieces {
    disk: DiskEngine,
}

/// An entry, by its name and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    name: String,
    size_bytes: u64,
}

impl Entry {
    /// `None`: that is no name.
    pub(crate) fn new(name: &str, size_bytes: u64) -> Option<Self> {
        let is_name =
            (1..=NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        is_name.then(|| Self { name: name.to_owned(), size_bytes })
    }

    /// The length of a piece; 0: there is none of this number.
    pub(crate) const fn length(&self, number: u64) -> u64 {
        let rest = self.size_bytes.saturating_sub(number.saturating_mul(PIECE_BYTES));
        if rest < PIECE_BYTES { rest } else { PIECE_BYTES }
    }

    fn key(&self, number: u64) -> Option<Key> {
        let id = Digest::of(format!("{} {} {number}", self.name, self.size_bytes).as_bytes());
        Some(Key { kind: Kind::Chunk, namespace: Namespace::new(PLACE).ok()?, id })
    }
}

impl Pieces {
    pub(super) const fn new(disk: DiskEngine) -> Self {
        Self { disk }
    }

    /// A piece, if it is here; what is damaged is not.
    pub(crate) async fn get(&self, entry: &Entry, number: u64) -> Option<Bytes> {
        let found = self.disk.get_many(&[entry.key(number)?]).await.ok()?.pop()?;
        let bytes = found.value()?.data;
        (bytes.len() as u64 == entry.length(number)).then_some(bytes)
    }

    /// Keeps a piece; one that cannot be kept is fetched again another time.
    pub(crate) async fn put(&self, entry: &Entry, number: u64, bytes: Bytes) {
        let (Some(key), Ok(plain_bytes)) = (entry.key(number), u32::try_from(bytes.len())) else { return };
        if bytes.len() as u64 != entry.length(number) {
            return;
        }
        let value = Value { codec: Codec::Plain, plain_bytes, data: bytes };
        let _ = self.disk.put_many(vec![Put { key, value, keep: Keep::Normal }]).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_cas::cache::{DiskOptions, Quotas};

    use super::*;

    #[tokio::test]
    async fn a_piece_comes_back_for_its_own_entry_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let disk = DiskEngine::open(&DiskOptions { root, max_bytes: 64 << 20, quotas: Quotas::default() });
        let pieces = Pieces::new(disk.unwrap());
        let entry = Entry::new("one", PIECE_BYTES + 5).unwrap();
        assert_eq!([0, 1, 2].map(|number| entry.length(number)), [PIECE_BYTES, 5, 0]);
        pieces.put(&entry, 1, Bytes::from_static(b"bytes")).await;
        assert_eq!(pieces.get(&entry, 1).await.unwrap(), "bytes");
        assert_eq!(pieces.get(&entry, 0).await, None);
        for other in [Entry::new("other", PIECE_BYTES + 5), Entry::new("one", PIECE_BYTES + 6)] {
            assert_eq!(pieces.get(&other.unwrap(), 1).await, None);
        }
        // A piece of another length is none.
        pieces.put(&entry, 0, Bytes::from_static(b"short")).await;
        assert_eq!(pieces.get(&entry, 0).await, None);
        for wrong in ["", "a b", "ä", &"x".repeat(NAME_MAX_BYTES + 1)] {
            assert_eq!(Entry::new(wrong, 1), None, "{wrong}");
        }
    }
}
