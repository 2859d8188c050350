//! What a place for records does: the trait that the engines implement.
//!
//! An engine keeps **parts** of an attempt: chunks, each named by the number of its first record, and at the end one sealed
//! log in their place. It knows nothing of what a record says, who may append, or when an attempt is over. All engines
//! pass one suite ([`super::conformance`]).

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use slipway_scheduler::{InstanceId, RunId};

use super::chunk::Frame;
use super::{AttemptKey, RecordsError};

/// An engine's answer, later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, RecordsError>> + Send + 'a>>;

/// Name of the sealed log in an attempt's folder.
pub(super) const SEALED_NAME: &str = "sealed.zst";

/// Name of the note in a run's folder that its logs were removed.
pub(super) const REMOVED_NAME: &str = "removed";

/// A file or object of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartName {
    /// Records from this number on, as they came.
    Chunk(u64),
    /// All of them, compressed.
    Sealed,
}

impl PartName {
    /// The part of this file name, if it is one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name == SEALED_NAME {
            return Some(Self::Sealed);
        }
        let number = name.strip_suffix(".rec").filter(|number| number.len() == 20)?;
        number.parse().ok().filter(|first| *first > 0).map(Self::Chunk)
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Names sort as numbers do.
            Self::Chunk(first) => write!(f, "{first:020}.rec"),
            Self::Sealed => f.write_str(SEALED_NAME),
        }
    }
}

/// A part and its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its name.
    pub name: PartName,
    /// Its size, which grows while a chunk file is written.
    pub size_bytes: u64,
}

/// When what was appended is made durable.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// When it is about this many bytes, and at most that many at once.
    pub bytes: usize,
    /// When the oldest of it has waited this long.
    pub age: Duration,
}

/// Where an attempt's records go on.
pub struct Opened {
    /// Makes more of them durable.
    pub appender: Box<dyn Appender>,
    /// Number of the next record.
    pub next: u64,
    /// Bytes of all chunks.
    pub total_bytes: u64,
}

/// The writing end of an attempt's chunks.
pub trait Appender: Send {
    /// Makes frames durable, which follow what is there without a gap. Gives the number of the last durable record: that
    /// of the last frame, or another one if somebody else wrote here meanwhile (a leader that was replaced): then what it
    /// wrote are the same records, and the caller goes on after them.
    ///
    /// # Errors
    /// [`RecordsError::Io`]; then the appender must not be used again.
    fn append<'a>(&'a mut self, frames: &'a [Frame]) -> Pending<'a, u64>;
}

/// A sealed log on its way in. Dropped before [`SealWriter::finish`] returned, it leaves nothing that anybody reads.
pub trait SealWriter: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()>;

    /// Makes it durable and visible as a whole.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn finish(self: Box<Self>) -> Pending<'static, ()>;
}

/// What of an attempt there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// Chunks.
    pub chunks: bool,
    /// A sealed log.
    pub sealed: bool,
}

/// What of a run there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunPresence {
    /// Its logs were removed.
    pub removed: bool,
    /// Its attempts that have something.
    pub attempts: BTreeMap<(InstanceId, u32), Presence>,
}

/// A place for records.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// When what was appended is to be made durable.
    fn pace(&self) -> Pace;

    /// What people call the attempt's folder.
    fn place(&self, key: AttemptKey) -> String;

    /// The parts of an attempt, in order; none if there is nothing. Changes nothing, also while another process writes.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn parts(&self, key: AttemptKey) -> Pending<'_, Vec<Part>>;

    /// Bytes of a part from `offset` on; fewer than `length` only at its end.
    ///
    /// # Errors
    /// [`RecordsError::Vanished`] when it is not there, [`RecordsError::Io`].
    fn read(&self, key: AttemptKey, part: PartName, offset: u64, length: usize) -> Pending<'_, Bytes>;

    /// Goes on with an attempt after the contiguous records that are durable; cuts a torn tail. Makes nothing before the
    /// first record comes.
    ///
    /// # Errors
    /// [`RecordsError::Io`], [`RecordsError::Damaged`].
    fn open(&self, key: AttemptKey) -> Pending<'_, Opened>;

    /// Begins the sealed log.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn seal(&self, key: AttemptKey) -> Pending<'_, Box<dyn SealWriter>>;

    /// Removes all chunks of an attempt. It is sealed by now, so what a crash leaves of them is nothing that anybody reads.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn remove_chunks(&self, key: AttemptKey) -> Pending<'_, ()>;

    /// What there is of all runs.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn survey(&self) -> Pending<'_, BTreeMap<RunId, RunPresence>>;

    /// Whether the run's logs were removed.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn is_removed(&self, run: RunId) -> Pending<'_, bool>;

    /// Notes that the run's logs were removed, and then removes them.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn remove_logs(&self, run: RunId) -> Pending<'_, ()>;

    /// Removes all there is of a run.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    fn delete_run(&self, run: RunId) -> Pending<'_, ()>;
}
