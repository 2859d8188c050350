//! The append-only, totally ordered log of events: the only source of truth.
//!
//! Invariants: positions rise by one from 1; a batch is appended whole or not at all; what [`Journal::append`]
//! returned for is durable; only the holder of the current epoch appends (checked in the transaction that appends);
//! a record is never changed or removed, and one that was shows, because each carries the hash of the one before
//! (docs/JOURNAL.md).
//!
//! Payloads are opaque here: what they mean is [`crate::driver`]'s business. Engines are [`sqlite`], [`postgres`] and, for
//! tests and measurements, [`memory`]; each passes [`conformance`].

pub mod conformance;
mod import;
mod leader;
pub mod memory;
mod place;
pub mod postgres;
pub mod record;
mod snapshot;
pub mod sqlite;
mod watched;
pub mod watermark;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use leader::{Address, BEAT_EVERY, LEADER_GRACE, LEADER_SILENT, Leader};
pub use place::{JournalPlace, JournalUrl, SQLITE_FILE, accept_loss, cut_journal, loss, open};
pub use record::{Hash, Mark, Record};
pub use snapshot::Snapshot;

/// The longest payload of a record, in bytes. Events hold digests of what is large, so none comes near.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// The newest form of the tables that this build writes and reads, of every engine: each brings older ones to it.
pub const FORMAT: u32 = 2;

/// How many records [`Journal::read`] returns at most.
pub const MAX_READ: usize = 4_096;

/// How many bytes of payload [`Journal::read`] returns at most, but for the last record, which may pass them.
pub const MAX_READ_BYTES: usize = 64 << 20;

/// How many records [`Journal::prune`] removes at most.
pub const PRUNE_BATCH: usize = 4_096;

/// How many snapshots are kept: the newest, and one before it in case the newest cannot be read.
pub const KEPT_SNAPSHOTS: usize = 2;

/// What is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was decided, Unix milliseconds.
    pub time_ms: u64,
    /// The event.
    pub payload: Vec<u8>,
}

/// Why the journal could not do what it was asked. All but `Fenced` and `TooLong` mean that a person has to look.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another coordinator took over: this one must stop.
    #[error("this coordinator's epoch {ours} is over, epoch {current} has taken over; it must stop")]
    Fenced {
        /// The epoch that tried to append.
        ours: u64,
        /// The journal's epoch.
        current: u64,
    },
    /// Written by a later version of Slipway.
    #[error(
        "data directory was written by a newer version (format {found}, this build reads ≤ {supported}); start the \
         newer version, or restore a backup that this one made"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The newest this build reads.
        supported: u32,
    },
    /// An entry that only a later version of Slipway knows.
    #[error(
        "journal has an entry that this build does not know, at position {position}: {reason}; start the newer version \
         that wrote it, or restore a backup that this one made"
    )]
    Unknown {
        /// Where.
        position: u64,
        /// What is not known.
        reason: String,
    },
    /// The file is another program's.
    #[error("{place} is not a Slipway journal; choose another data directory")]
    Foreign {
        /// Which file.
        place: String,
    },
    /// A record is damaged, missing or changed.
    #[error(
        "journal is damaged at position {position}: {reason}; restore it from a backup, or keep what is good before it \
         with `slipway admin cut-journal` (SQLite)"
    )]
    Damaged {
        /// The first position that is wrong.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The journal lost what it had made durable: a stand-by that was behind was promoted, or an older backup was put in
    /// its place.
    #[error(
        "journal {place} has lost acknowledged entries: it should reach position {known}, and ends at {found} or goes on \
         differently; put back a copy that has them, or accept the loss with `slipway admin accept-loss`"
    )]
    Lost {
        /// Which file or server.
        place: String,
        /// The last position that was durable.
        known: u64,
        /// Where the journal ends.
        found: u64,
    },
    /// What was asked for was removed by retention.
    #[error(
        "journal begins after position {position}: what was before is past its retention, and no snapshot that this \
         build reads reaches there; start the version that made the newest one"
    )]
    Pruned {
        /// The last position that was removed.
        position: u64,
    },
    /// A payload over [`MAX_PAYLOAD_BYTES`].
    #[error("a record of {size_bytes} bytes is over the limit of {MAX_PAYLOAD_BYTES} bytes")]
    TooLong {
        /// Its size.
        size_bytes: usize,
    },
    /// The engine failed.
    #[error("journal {place}: {reason}")]
    Engine {
        /// Which file or server.
        place: String,
        /// What it said.
        reason: String,
    },
}

/// A journal engine. Used by one thread, the driver's.
///
/// Of all that open the same journal, one leads and appends; the others follow: they read, wait for more, and take over
/// when the leader is dead.
pub trait Journal: Send + 'static {
    /// Who leads.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn leader(&mut self) -> Result<Leader, JournalError>;

    /// Begins a new epoch, `seen` + 1, and fences every earlier one; whoever leads from now on is at `address`. `None` when
    /// `seen` is not the current epoch any more: somebody else was quicker.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn take_over(&mut self, seen: u64, address: &Address) -> Result<Option<u64>, JournalError>;

    /// Waits until there is a record after `position`, another leader, or `patience` is over; may come back earlier.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn wait(&mut self, position: u64, patience: Duration) -> Result<(), JournalError>;

    /// Appends all entries in one transaction and makes them durable. Returns the last position, which is
    /// [`Journal::end`] unchanged when there are none; then it is a sign of life and a check that `epoch` stands.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when `epoch` is not the current one, [`JournalError::Lost`], [`JournalError::TooLong`], and
    /// [`JournalError::Engine`], after which nobody knows whether the batch is durable: the process must stop.
    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError>;

    /// The last record that this handle knows of. Reading and appending bring it up to date.
    fn head(&self) -> Mark;

    /// The position of [`Journal::head`]; 0 when there is no record.
    fn end(&self) -> u64 {
        self.head().position
    }

    /// The last record that was removed by [`Journal::prune`], as far as this handle knows: the journal begins after it.
    fn anchor(&self) -> Mark;

    /// The hash of the record at `position`, or of the one that the journal begins after; `None` when neither is there.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError>;

    /// Up to [`MAX_READ`] records and [`MAX_READ_BYTES`] after `position`, in order, each checked against its checksum and its
    /// predecessor.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Newer`], [`JournalError::Engine`], [`JournalError::Pruned`] when the journal
    /// begins after `position`, and [`JournalError::Lost`] when it does not have [`Journal::head`] any more.
    fn read(&mut self, position: u64) -> Result<Vec<Record>, JournalError> {
        self.read_few(position, MAX_READ)
    }

    /// The same, of at most `most` records; more than [`MAX_READ`] count as so many.
    ///
    /// # Errors
    /// As [`Journal::read`].
    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError>;

    /// Takes over records of another journal as they are; they go on where this one ends, and an empty one takes them from any
    /// position on. `epoch` becomes the current one, unless that is later already. For a new journal that nobody leads.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for records that do not follow, [`JournalError::Engine`].
    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError>;

    /// Keeps a snapshot and forgets all but the newest [`KEPT_SNAPSHOTS`].
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError>;

    /// The snapshots that are whole, newest first. A damaged one is left out: replay does without it.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError>;

    /// Removes the oldest records, at most [`PRUNE_BATCH`], that are before `before` and were decided before
    /// `older_than_ms` (Unix milliseconds). Whatever it is told, it keeps all that comes after the older of
    /// [`KEPT_SNAPSHOTS`] snapshots, everything when there are fewer, and the last record. Returns how many it removed.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError>;
}

/// Reads the whole journal and checks the chain from its first record to its head. Returns how many records it has.
///
/// # Errors
/// As [`Journal::read`].
pub fn verify(journal: &mut dyn Journal) -> Result<u64, JournalError> {
    let begin = journal.anchor().position;
    let mut position = begin;
    loop {
        match journal.read(position)?.last() {
            Some(record) => position = record.position,
            None if position == journal.end() => return Ok(position - begin),
            None => {
                return Err(JournalError::Damaged {
                    position: position + 1,
                    reason: format!("the journal should go on to {}", journal.end()),
                });
            }
        }
    }
}

/// Takes over at once from whoever leads: for journals of one process.
///
/// # Errors
/// As [`Journal::take_over`].
pub fn lead(journal: &mut dyn Journal, address: &Address) -> Result<u64, JournalError> {
    loop {
        let seen = journal.leader()?.epoch;
        if let Some(epoch) = journal.take_over(seen, address)? {
            return Ok(epoch);
        }
    }
}
