//! Cached values on a disk.
//!
//! In the folder are `index.sqlite`, which knows every value and holds the small ones, `files/`, where the large ones
//! are, `incoming/`, where they are written, and `lock`, which one process holds at a time. A start reads none of the
//! values: the index says what there is.
//!
//! Nothing is synced for a single value, so that a power cut may lose some; a checksum over key and bytes makes sure
//! that none is ever wrong. For a file the order is: written in `incoming/`, its row committed, moved to `files/`. For
//! its removal: its row exchanged for one in the list of the doomed, then the file, then the list. Wherever a process is
//! killed, the next start finds in `incoming/` and in that list what is to be finished.
//!
//! Which values there are is in memory too ([`known`]): what is asked about most needs no look into the index.
//!
//! The total of bytes is kept in the index with every change, and the least recently used values make room. Uses are
//! noted in memory and written in batches: a crash makes some values look older than they are. An owner that has more than
//! its quota makes room among its own.

mod files;
mod index;
mod known;
mod open;
mod uses;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::counters::{Counters, add};
use crate::cache::engine::{
    Engine, EngineError, Found, Holding, Keep, Later, Page, Put, Stats, Value, check_sizes, checksum,
};
use crate::cache::key::Key;

use crate::cache::quotas::Quotas;
pub use open::DiskError;

use files::Files;
use index::{Index, Place, Row};
use writer::NewRow;

/// Values up to this long are kept in the index: a file each would cost more than it holds.
const PACKED_BYTES: usize = 16 << 10;
/// What a value is said to cost beside its bytes: rows, indexes, a file's last block.
const VALUE_OVERHEAD_BYTES: u64 = 512;
/// The smallest bound: below it a few chunks would push each other out.
const MIN_BOUND_BYTES: u64 = 1 << 20;
/// Looks at a value that is exchanged again and again while it is read.
const READ_TRIES: usize = 3;

/// Where values are kept and how many.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// The folder; made if it is not there.
    pub root: PathBuf,
    /// Bytes that may be used, at least 1 MiB. The index's file does not shrink when values go.
    pub max_bytes: u64,
    /// How many of those an owner may use.
    pub quotas: Quotas,
}

/// Values in a folder. Clones share it; the last one dropped gives the folder up.
#[derive(Clone)]
pub struct DiskEngine {
    disk: Arc<Disk>,
}

struct Disk {
    index: Index,
    files: Files,
    counters: Counters,
    place: Arc<str>,
    /// Held as long as the folder is used.
    _lock: std::fs::File,
}

impl DiskEngine {
    /// Opens the folder, finishing what an earlier process left undone. One whose index is unreadable is emptied.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn open(options: &DiskOptions) -> Result<Self, DiskError> {
        open::open(options).map(|disk| Self { disk: Arc::new(disk) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let disk = Arc::clone(&self.disk);
        match tokio::task::spawn_blocking(move || work(&disk)).await {
            Ok(result) => result,
            Err(error) => Err(EngineError::unavailable(&self.disk.place, error)),
        }
    }

    /// Removes files that no value refers to: what a power cut may leave. Says how many. Reads every file's name, so
    /// it is for `doctor`, not for each start.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn sweep(&self) -> Result<u64, EngineError> {
        self.blocking(|disk| disk.files.sweep(|name| disk.index.refers_to(name)).map_err(|e| disk.failed(e)))
            .await
    }
}

impl Disk {
    fn failed(&self, why: impl std::fmt::Display) -> EngineError {
        EngineError::unavailable(&self.place, why)
    }

    fn read(&self, key: &str) -> Result<Found, EngineError> {
        for _ in 0..READ_TRIES {
            let Some(row) = self.index.row(key).map_err(|e| self.failed(e))? else {
                return Ok(Found::Missing);
            };
            self.index.note_use(&row);
            let data = match &row.place {
                Place::Packed(data) => Some(data.clone()),
                Place::File(name) => self.files.read(name, row.data_bytes).map_err(|e| self.failed(e))?,
            };
            if let Some(value) = data.and_then(|data| intact(key, &row, data)) {
                return Ok(Found::Value(value));
            }
            // Exchanged or evicted since its row was read, or damaged: the row itself tells.
            if self.index.remove_row(&row).map_err(|e| self.failed(e))? {
                self.clear();
                return Ok(Found::Damaged);
            }
        }
        Ok(Found::Missing)
    }

    fn get(&self, keys: &[String]) -> Result<Vec<Found>, EngineError> {
        let found: Vec<_> = keys.iter().map(|key| self.read(key)).collect::<Result<_, _>>()?;
        self.counters.found(&found);
        self.index.write_many_uses().map_err(|e| self.failed(e))?;
        Ok(found)
    }

    fn put(&self, puts: Vec<Put>) -> Result<(), EngineError> {
        add(&self.counters.puts, puts.len());
        let mut rows = Vec::with_capacity(puts.len());
        for Put { key, value, keep } in puts {
            let (mark, owner) = (self.index.known().mark(&key), key.namespace.owner().to_owned());
            let key = key.to_text();
            if keep == Keep::Temporary && self.index.row(&key).map_err(|e| self.failed(e))?.is_some() {
                continue;
            }
            let place = match value.data.len() <= PACKED_BYTES {
                true => Place::Packed(value.data.clone()),
                false => Place::File(self.files.write(&value.data).map_err(|e| self.failed(e))?),
            };
            rows.push(NewRow { checksum: checksum(&key, &value), key, mark, owner, value, keep, place });
        }
        let written: Vec<_> = rows.iter().filter_map(|row| row.place.file()).map(str::to_owned).collect();
        let done = self.index.insert(&rows).map_err(|error| {
            self.files.give_up(&written);
            self.failed(error)
        })?;
        add(&self.counters.evicted, done.evicted);
        self.files.give_up(&done.unwanted);
        let wanted: Vec<_> = written.into_iter().filter(|name| !done.unwanted.contains(name)).collect();
        self.files.settle(&wanted).map_err(|e| self.failed(e))?;
        self.clear();
        Ok(())
    }

    /// Removes the files of rows that are gone. What fails now is done at the next start.
    fn clear(&self) {
        let doomed = self.index.take_doomed();
        if !doomed.is_empty() {
            let removed = self.files.remove(doomed);
            self.index.forget_doomed(removed);
        }
    }
}

/// The value of this row, if these are its bytes.
fn intact(key: &str, row: &Row, data: Bytes) -> Option<Value> {
    let value = Value { codec: row.codec?, plain_bytes: row.plain_bytes, data };
    (value.data.len() == row.data_bytes && checksum(key, &value) == row.checksum).then_some(value)
}

fn texts(keys: &[Key]) -> Vec<String> {
    keys.iter().map(Key::to_text).collect()
}

impl Engine for DiskEngine {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        let keys = texts(keys);
        Box::pin(self.blocking(move |disk| disk.get(&keys)))
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            check_sizes(&puts)?;
            self.blocking(move |disk| disk.put(puts)).await
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(async move {
            let there = match self.disk.index.have_at_once(keys) {
                Some(there) => there,
                None => {
                    let keys = keys.to_vec();
                    self.blocking(move |disk| disk.index.have(&keys).map_err(|e| disk.failed(e))).await?
                }
            };
            if self.disk.index.has_many_uses() {
                // Nobody waits for it; what cannot be written looks older than it is.
                let disk = Arc::clone(&self.disk);
                drop(tokio::task::spawn_blocking(move || disk.index.write_many_uses()));
            }
            Ok(there)
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        let keys = texts(keys);
        Box::pin(self.blocking(move |disk| {
            let removed = disk.index.remove(&keys).map_err(|e| disk.failed(e))?;
            disk.clear();
            Ok(removed)
        }))
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        Box::pin(self.blocking(move |disk| disk.index.page(from).map_err(|e| disk.failed(e))))
    }

    fn stats(&self) -> Later<'_, Stats> {
        Box::pin(self.blocking(|disk| {
            let (values, bytes) = disk.index.totals();
            Ok(Stats { values: Some(values), stored_bytes: Some(bytes), ..disk.counters.stats() })
        }))
    }

    fn owners(&self) -> Later<'_, Vec<Holding>> {
        Box::pin(self.blocking(|disk| disk.index.owners().map_err(|e| disk.failed(e))))
    }
}
