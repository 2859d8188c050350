//! A journal in memory, for tests and measurements: durable for as long as one of its clones lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::GENESIS;
use super::{Entry, Journal, JournalError, KEPT_SNAPSHOTS, MAX_PAYLOAD_BYTES, MAX_READ, Record, Snapshot};

#[derive(Debug, Default)]
struct Shelf {
    epoch: u64,
    records: Vec<Record>,
    snapshots: Vec<Snapshot>,
}

/// Clones share the same records, as two processes would share a server.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    shelf: Arc<Mutex<Shelf>>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn take_over(&mut self) -> Result<u64, JournalError> {
        let mut shelf = self.shelf();
        shelf.epoch += 1;
        Ok(shelf.epoch)
    }

    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        let mut shelf = self.shelf();
        if epoch != shelf.epoch {
            return Err(JournalError::Fenced { ours: epoch, current: shelf.epoch });
        }
        if let Some(entry) = entries.iter().find(|entry| entry.payload.len() > MAX_PAYLOAD_BYTES) {
            return Err(JournalError::TooLong { size_bytes: entry.payload.len() });
        }
        for entry in entries {
            let previous = shelf.records.last().map_or(GENESIS, Record::hash);
            let position = shelf.records.len() as u64 + 1;
            shelf.records.push(Record::new(position, epoch, entry.time_ms, previous, entry.payload.clone()));
        }
        Ok(shelf.records.len() as u64)
    }

    fn end(&self) -> u64 {
        self.shelf().records.len() as u64
    }

    fn read(&self, position: u64) -> Result<Vec<Record>, JournalError> {
        let shelf = self.shelf();
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        Ok(shelf.records.iter().skip(start).take(MAX_READ).cloned().collect())
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let mut shelf = self.shelf();
        shelf.snapshots.retain(|kept| kept.position != snapshot.position);
        shelf.snapshots.push(snapshot.clone());
        shelf.snapshots.sort_by_key(|kept| std::cmp::Reverse(kept.position));
        shelf.snapshots.truncate(KEPT_SNAPSHOTS);
        Ok(())
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>, JournalError> {
        Ok(self.shelf().snapshots.clone())
    }
}
