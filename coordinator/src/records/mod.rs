//! The record streams of attempts: their log lines and what happened to their steps, durable and in order.
//!
//! Invariants: an attempt's records are numbered from 1 without a gap; a number that was acknowledged is durable, and
//! stays readable after any crash; a record that comes twice counts once. Readers see what came at once, and read for
//! themselves, so that a slow reader costs nobody anything.
//!
//! Where records are is an [`Engine`]'s business: files in a folder, or objects. When an attempt has ended its records are
//! **sealed** into one compressed log. The format is in docs/RECORDS.md. Who may append, and when an attempt is over, is not
//! decided here: [`crate::grpc`] asks the lease table, and [`crate::log_keeper`] follows the driver.

mod attempt;
mod chunk;
#[cfg(test)]
mod conformance;
mod cursor;
mod engine;
mod error;
mod folder;
pub mod limits;
mod object;
mod reader;
mod seal;
mod seekable;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use slipway_cas::Digest;
use slipway_scheduler::ids::{InstanceId, RunId};
use tokio::sync::Semaphore;

pub use attempt::{AttemptLog, Progress};
pub use chunk::Frame;
pub use engine::{
    Appender, Engine, Opened, Pace, Part, PartName, Pending, Presence, RunPresence, SealWriter,
};
pub use error::RecordsError;
pub use folder::FolderRecords;
pub use object::ObjectRecords;
pub use reader::Reader;
pub use verify::Verdict;

use attempt::{MEMORY_UNIT_BYTES, Shared};
use limits::PENDING_TOTAL_BYTES;

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

impl AttemptKey {
    /// Name of its folder in its run's.
    fn folder_name(&self) -> String {
        format!("{}-{}", self.instance, self.attempt)
    }

    /// Instance and attempt of such a name.
    fn parse_folder(name: &str) -> Option<(InstanceId, u32)> {
        let (instance, attempt) = name.rsplit_once('-')?;
        Some((instance.parse().ok()?, attempt.parse().ok()?))
    }
}

/// That an attempt is over, and what its agent said of its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many there are, and their digest if the agent counted it; none when nobody reported.
    pub reported: Option<(u64, Option<Digest>)>,
}

/// Opened streams before those that nobody uses are looked for.
const PRUNE_FIRST: usize = 64;

/// The stream of one attempt in this process, if there is one; locked while it is being opened.
type Slot = Arc<tokio::sync::Mutex<Weak<Shared>>>;

#[derive(Debug)]
struct Table {
    slots: HashMap<AttemptKey, Slot>,
    /// At how many entries those that nobody uses are looked for.
    prune_at: usize,
}

/// All attempts' records.
#[derive(Debug)]
pub struct Records {
    engine: Arc<dyn Engine>,
    /// Attempts in use; one that nobody holds any more is forgotten and opened again when needed.
    open: Mutex<Table>,
    /// For what is not durable yet.
    memory: Arc<Semaphore>,
}

impl Records {
    /// Records in this place.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            open: Mutex::new(Table { slots: HashMap::new(), prune_at: PRUNE_FIRST }),
            memory: Arc::new(Semaphore::new(PENDING_TOTAL_BYTES / MEMORY_UNIT_BYTES)),
        }
    }

    fn slot(&self, key: AttemptKey) -> Slot {
        let mut table = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if table.slots.len() >= table.prune_at {
            table.slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|shared| shared.strong_count() > 0)
            });
            table.prune_at = (2 * table.slots.len()).max(PRUNE_FIRST);
        }
        Arc::clone(table.slots.entry(key).or_default())
    }

    /// The stream of this attempt, for appending and for following; empty if nothing came yet. One of an attempt that is
    /// sealed takes nothing more.
    ///
    /// # Errors
    /// [`RecordsError::Io`], [`RecordsError::Damaged`]. A torn tail is cut, not an error.
    pub async fn attempt(&self, key: AttemptKey) -> Result<AttemptLog, RecordsError> {
        let slot = self.slot(key);
        // Opened by somebody else meanwhile? Two writers of one attempt must not be.
        let mut open = slot.lock().await;
        if let Some(shared) = open.upgrade().filter(|shared| !shared.is_broken()) {
            return Ok(AttemptLog { shared });
        }
        let sealed = cursor::Cursor::new(Arc::clone(&self.engine), key).sealed().await?;
        let mut opened = self.engine.open(key).await?;
        if let Some(index) = &sealed {
            opened.next = index.records + 1;
        }
        let memory = Arc::clone(&self.memory);
        let log = AttemptLog::new(Arc::clone(&self.engine), key, memory, opened, sealed.is_some());
        *open = Arc::downgrade(&log.shared);
        Ok(log)
    }

    /// The stream of this attempt, if it is in use in this process.
    async fn live(&self, key: AttemptKey) -> Option<AttemptLog> {
        let shared = self.slot(key).lock().await.upgrade();
        shared.filter(|shared| !shared.is_broken()).map(|shared| AttemptLog { shared })
    }

    /// Reads the records of an attempt from number `from` on. With `over`, it is known to have ended: what is stored is
    /// read, and nothing is opened for writing.
    ///
    /// # Errors
    /// As [`Records::attempt`]; [`RecordsError::Removed`] when the run's logs were removed.
    pub async fn reader(&self, key: AttemptKey, from: u64, over: bool) -> Result<Reader, RecordsError> {
        let live = match over {
            true => self.live(key).await,
            false => Some(self.attempt(key).await?),
        };
        if let Some(log) = live {
            return Ok(Reader::new(log, from));
        }
        self.stored(key, from).await
    }

    /// Reads the stored records of an attempt, also while another process writes them: later calls of the reader find
    /// more. Changes nothing.
    ///
    /// # Errors
    /// [`RecordsError::Removed`] when the run's logs were removed, [`RecordsError::Io`].
    pub async fn stored(&self, key: AttemptKey, from: u64) -> Result<Reader, RecordsError> {
        if self.engine.parts(key).await?.is_empty() && self.engine.is_removed(key.run).await? {
            return Err(RecordsError::Removed { run: key.run });
        }
        Ok(Reader::stored(Arc::clone(&self.engine), key, from))
    }

    /// The error of a record that should be there.
    #[must_use]
    pub fn missing(&self, key: AttemptKey, record: u64) -> RecordsError {
        RecordsError::Missing { record, place: self.engine.place(key) }
    }

    /// Digest of all durable records of an attempt that runs, counted again from storage where this process did not see
    /// all of them come.
    ///
    /// # Errors
    /// [`RecordsError`], when they cannot be read.
    pub async fn digest(&self, log: &AttemptLog) -> Result<Digest, RecordsError> {
        match log.digest() {
            Some(digest) => Ok(digest),
            None => {
                let verdict = verify::verify(&self.engine, log.shared.key, None).await?;
                match verdict.problem {
                    None => Ok(verdict.digest),
                    Some(_) => Err(RecordsError::Missing {
                        record: verdict.records + 1,
                        place: self.engine.place(log.shared.key),
                    }),
                }
            }
        }
    }

    /// Seals an attempt that has ended; nothing can be appended to it from now on.
    ///
    /// # Errors
    /// [`RecordsError::Differs`] when the records are not those that were reported: then they stay as they are.
    /// [`RecordsError::Damaged`], [`RecordsError::Missing`], [`RecordsError::Io`].
    pub async fn seal(&self, key: AttemptKey, ended: Ended) -> Result<(), RecordsError> {
        if let Some(log) = self.live(key).await {
            log.close().await;
        }
        seal::seal(&self.engine, key, ended).await
    }

    /// Whether an attempt's records are complete and unchanged.
    ///
    /// # Errors
    /// [`RecordsError::Removed`] when the run's logs were removed, [`RecordsError::Io`].
    pub async fn verify(&self, key: AttemptKey, ended: Option<Ended>) -> Result<Verdict, RecordsError> {
        let nothing = self.engine.parts(key).await?.is_empty();
        if nothing && self.engine.is_removed(key.run).await? {
            return Err(RecordsError::Removed { run: key.run });
        }
        verify::verify(&self.engine, key, ended).await
    }

    /// What there is of all runs.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub async fn survey(&self) -> Result<BTreeMap<RunId, RunPresence>, RecordsError> {
        self.engine.survey().await
    }

    /// Whether the logs of a run were removed.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub async fn is_removed(&self, run: RunId) -> Result<bool, RecordsError> {
        self.engine.is_removed(run).await
    }

    /// Removes the logs of a run, and notes that.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub async fn remove_logs(&self, run: RunId) -> Result<(), RecordsError> {
        self.engine.remove_logs(run).await
    }

    /// Deletes all there is of a run.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub async fn delete_run(&self, run: RunId) -> Result<(), RecordsError> {
        self.engine.delete_run(run).await
    }
}
