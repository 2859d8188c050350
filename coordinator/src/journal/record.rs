//! The form of a record, independent of the engine; docs/JOURNAL.md describes it for others.

use sha2::{Digest as _, Sha256};

use super::JournalError;

/// The newest record form this build writes and reads.
pub const RECORD_VERSION: u32 = 1;

/// SHA-256 of a record.
pub type Hash = [u8; 32];

/// What the first record has as the hash of its predecessor.
pub const GENESIS: Hash = [0; 32];

/// A place in the journal that says all that is before it: the position of a record and its hash. Position 0 with
/// [`GENESIS`] is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The record's position.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Mark {
    /// Before the first record.
    pub const BEGINNING: Self = Self { position: 0, hash: GENESIS };
}

/// One event as it lies in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Form of this record.
    pub version: u32,
    /// From 1, without gaps.
    pub position: u64,
    /// The epoch that appended it.
    pub epoch: u64,
    /// When it was decided, Unix milliseconds.
    pub time_ms: u64,
    /// Hash of the record before.
    pub previous: Hash,
    /// The event.
    pub payload: Vec<u8>,
    /// CRC-32 (IEEE) of all of the above, in the form of [`Record::head`] and then the payload.
    pub checksum: u32,
}

impl Record {
    /// A record of the current form, with its checksum.
    #[must_use]
    pub fn new(position: u64, epoch: u64, time_ms: u64, previous: Hash, payload: Vec<u8>) -> Self {
        let version = RECORD_VERSION;
        let mut record = Self { version, position, epoch, time_ms, previous, payload, checksum: 0 };
        record.checksum = record.compute_checksum();
        record
    }

    /// Everything before the payload, integers big-endian: version (4 bytes), position (8), epoch (8), time (8), hash
    /// of the record before (32), length of the payload (8).
    #[must_use]
    pub fn head(&self) -> [u8; Self::HEAD_BYTES] {
        let mut head = [0; Self::HEAD_BYTES];
        head[..4].copy_from_slice(&self.version.to_be_bytes());
        head[4..12].copy_from_slice(&self.position.to_be_bytes());
        head[12..20].copy_from_slice(&self.epoch.to_be_bytes());
        head[20..28].copy_from_slice(&self.time_ms.to_be_bytes());
        head[28..60].copy_from_slice(&self.previous);
        head[60..].copy_from_slice(&(self.payload.len() as u64).to_be_bytes());
        head
    }

    /// Length of [`Record::head`], in bytes.
    pub const HEAD_BYTES: usize = 68;

    /// The record of this head, still without payload and checksum, and how long its payload is. Nothing is checked yet.
    #[must_use]
    pub fn from_head(head: &[u8; Self::HEAD_BYTES]) -> (Self, u64) {
        let (version, rest) = part::<4>(head);
        let (position, rest) = part::<8>(rest);
        let (epoch, rest) = part::<8>(rest);
        let (time_ms, rest) = part::<8>(rest);
        let (previous, rest) = part::<32>(rest);
        let (length, _) = part::<8>(rest);
        let record = Self {
            version: u32::from_be_bytes(version),
            position: u64::from_be_bytes(position),
            epoch: u64::from_be_bytes(epoch),
            time_ms: u64::from_be_bytes(time_ms),
            previous,
            payload: Vec::new(),
            checksum: 0,
        };
        (record, u64::from_be_bytes(length))
    }

    /// SHA-256 of [`Record::head`] and the payload: what the next record carries.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Sha256::new().chain_update(self.head()).chain_update(&self.payload).finalize().into()
    }

    /// Where the journal is with this record.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { position: self.position, hash: self.hash() }
    }

    fn compute_checksum(&self) -> u32 {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&self.head());
        checksum.update(&self.payload);
        checksum.finalize()
    }

    /// Checks the record as it was read: its form, its place, its checksum and that it follows `previous`.
    ///
    /// # Errors
    /// [`JournalError::Newer`], [`JournalError::Damaged`].
    pub fn check(&self, position: u64, previous: &Hash) -> Result<(), JournalError> {
        if self.version > RECORD_VERSION {
            return Err(JournalError::Newer { found: self.version, supported: RECORD_VERSION });
        }
        let reason = if self.position != position {
            format!("found record {} instead", self.position)
        } else if self.checksum != self.compute_checksum() {
            "its checksum does not match".to_owned()
        } else if self.previous != *previous {
            "it does not follow the record before: one of them was changed".to_owned()
        } else {
            return Ok(());
        };
        Err(JournalError::Damaged { position, reason })
    }
}

/// The next bytes of a head, and the rest; zeros where there are none.
fn part<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    bytes.split_first_chunk().map_or(([0; N], &[]), |(part, rest)| (*part, rest))
}
