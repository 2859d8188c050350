//! The record streams of attempts: their log lines and what happened to their steps, durable and in order.
//!
//! Invariants: an attempt's records are numbered from 1 without a gap; a number that was acknowledged is durable, and
//! stays readable after any crash; a record that comes twice counts once. Readers see only what is durable, straight
//! from the files (which the kernel still has in memory), so that a slow reader costs nobody anything and no buffer can
//! overflow.
//!
//! The format is in docs/RECORDS.md. Who may append is not decided here: [`crate::grpc`] asks the lease table first.

mod attempt;
mod chunk;
mod reader;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use slipway_scheduler::ids::{InstanceId, RunId};

pub use attempt::{AttemptLog, Progress};
pub use reader::Reader;

/// The longest record, encoded, in bytes. A log line is at most 256 KiB, a summary piece too.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// The most bytes of records in one batch, encoded.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// A chunk that has this many bytes is closed and a new one begun.
pub const CHUNK_BYTES: u64 = 8 << 20;
/// The most bytes of records one attempt may have: a job that writes more fails rather than fill the disk.
pub const MAX_ATTEMPT_BYTES: u64 = 64 << 30;

/// One try at one instance, as the store names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptKey {
    /// Its run.
    pub run: RunId,
    /// Its instance.
    pub instance: InstanceId,
    /// From 1.
    pub attempt: u32,
}

/// Why records could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The batch begins after the next record: whoever sends goes on after `durable`.
    #[error("record {first} came, but {next} is next")]
    Gap {
        /// The first record that came.
        first: u64,
        /// The one that was due.
        next: u64,
    },
    /// Numbers start from 1.
    #[error("records are numbered from 1")]
    Zero,
    /// A record or batch over its limit.
    #[error("{what} of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLong {
        /// A record, a batch or an attempt.
        what: &'static str,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file is not what was written.
    #[error("{place} is damaged at byte {offset}; what follows in this attempt cannot be read")]
    Damaged {
        /// Which file.
        place: String,
        /// Where.
        offset: u64,
    },
    /// The disk failed.
    #[error("records {place}: {source}")]
    Io {
        /// Which file or folder.
        place: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An earlier write of this attempt failed; opening it again finds out what is durable.
    #[error("an earlier write of this attempt failed")]
    Broken,
}

fn io_at(place: &Path) -> impl FnOnce(io::Error) -> RecordsError {
    let place = place.display().to_string();
    move |source| RecordsError::Io { place, source }
}

/// All attempts' records, in a folder.
#[derive(Debug)]
pub struct Records {
    root: PathBuf,
    /// Attempts in use; one that nobody holds any more is forgotten and opened again when needed.
    open: Mutex<HashMap<AttemptKey, Weak<AttemptLog>>>,
}

impl Records {
    /// Opens the folder, making it if need be.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RecordsError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(io_at(&root))?;
        Ok(Self { root, open: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, HashMap<AttemptKey, Weak<AttemptLog>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_folder(&self, run: RunId) -> PathBuf {
        self.root.join(run.to_string())
    }

    fn folder(&self, key: AttemptKey) -> PathBuf {
        self.run_folder(key.run).join(format!("{}-{}", key.instance, key.attempt))
    }

    /// The log of this attempt, for appending or reading; empty if nothing was appended yet.
    ///
    /// # Errors
    /// [`RecordsError::Io`]. A torn tail is cut, not an error.
    pub async fn attempt(self: &Arc<Self>, key: AttemptKey) -> Result<Arc<AttemptLog>, RecordsError> {
        if let Some(log) = self.live(key) {
            return Ok(log);
        }
        let records = Arc::clone(self);
        blocking(move || {
            let mut table = records.table();
            // Opened by somebody else meanwhile? Two writers of one attempt must not be.
            if let Some(log) = table.get(&key).and_then(Weak::upgrade).filter(|log| !log.is_broken()) {
                return Ok(log);
            }
            let log = Arc::new(AttemptLog::open(records.folder(key))?);
            table.retain(|_, log| log.strong_count() > 0);
            table.insert(key, Arc::downgrade(&log));
            Ok(log)
        })
        .await
    }

    fn live(&self, key: AttemptKey) -> Option<Arc<AttemptLog>> {
        self.table().get(&key).and_then(Weak::upgrade).filter(|log| !log.is_broken())
    }

    /// Deletes the records of all runs but these: left by a crash between a run's retirement and its clean-up.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub async fn keep_only(&self, runs: BTreeSet<RunId>) -> Result<(), RecordsError> {
        let root = self.root.clone();
        blocking(move || {
            for entry in fs::read_dir(&root).map_err(io_at(&root))? {
                let path = entry.map_err(io_at(&root))?.path();
                let run = path.file_name().and_then(|name| name.to_str()?.parse().ok());
                if run.is_some_and(|run| !runs.contains(&run)) {
                    fs::remove_dir_all(&path).map_err(io_at(&path))?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Deletes all records of a run.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub async fn delete_run(&self, run: RunId) -> Result<(), RecordsError> {
        let folder = self.run_folder(run);
        blocking(move || match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(&folder)(error)),
            _ => Ok(()),
        })
        .await
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordsError> + Send + 'static,
) -> Result<T, RecordsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(RecordsError::Io { place: "worker thread".to_owned(), source: io::Error::other(error) })
        }
    }
}
