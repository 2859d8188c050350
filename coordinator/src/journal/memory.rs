//! A journal in memory, for tests and measurements: durable for as long as one of its clones lives.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::GENESIS;
use super::{
    Address, Entry, Journal, JournalError, KEPT_SNAPSHOTS, LEADER_GRACE, LEADER_SILENT, Leader,
    MAX_PAYLOAD_BYTES, MAX_READ, Record, Snapshot,
};

#[derive(Debug, Default)]
struct Shelf {
    epoch: u64,
    address: Address,
    /// The leader's last sign of life.
    beat: Option<Instant>,
    /// Whether the leader's handle still exists.
    held: bool,
    records: Vec<Record>,
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, Default)]
struct Shared {
    shelf: Mutex<Shelf>,
    changed: Condvar,
}

/// Clones share the same records, as processes share a server.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    shared: Arc<Shared>,
    /// The epoch under which this handle leads, or led.
    epoch: u64,
}

impl Clone for MemoryJournal {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), epoch: 0 }
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        let mut shelf = self.shelf();
        if shelf.epoch == self.epoch {
            shelf.held = false;
        }
    }
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shared.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn leader(&mut self) -> Result<Leader, JournalError> {
        let shelf = self.shelf();
        let silent = shelf.beat.map_or(Duration::MAX, |beat| beat.elapsed());
        let alive = silent < if shelf.held { LEADER_SILENT } else { LEADER_GRACE };
        Ok(Leader { epoch: shelf.epoch, address: shelf.address.clone(), alive })
    }

    fn take_over(&mut self, seen: u64, address: &Address) -> Result<Option<u64>, JournalError> {
        let mut shelf = self.shelf();
        if shelf.epoch != seen {
            return Ok(None);
        }
        shelf.epoch += 1;
        shelf.address = address.clone();
        (shelf.beat, shelf.held) = (Some(Instant::now()), true);
        let epoch = shelf.epoch;
        drop(shelf);
        self.epoch = epoch;
        self.shared.changed.notify_all();
        Ok(Some(epoch))
    }

    fn wait(&mut self, position: u64, patience: Duration) -> Result<(), JournalError> {
        let shelf = self.shelf();
        let seen = shelf.epoch;
        let still = |shelf: &mut Shelf| shelf.records.len() as u64 <= position && shelf.epoch == seen;
        drop(self.shared.changed.wait_timeout_while(shelf, patience, still));
        Ok(())
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
        shelf.beat = Some(Instant::now());
        let end = shelf.records.len() as u64;
        drop(shelf);
        self.shared.changed.notify_all();
        Ok(end)
    }

    fn end(&self) -> u64 {
        self.shelf().records.len() as u64
    }

    fn read(&mut self, position: u64) -> Result<Vec<Record>, JournalError> {
        let shelf = self.shelf();
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        Ok(shelf.records.iter().skip(start).take(MAX_READ).cloned().collect())
    }

    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        let mut shelf = self.shelf();
        let (mut position, mut previous) =
            shelf.records.last().map_or((0, GENESIS), |last| (last.position, last.hash()));
        for record in records {
            position += 1;
            record.check(position, &previous)?;
            previous = record.hash();
        }
        shelf.records.extend_from_slice(records);
        shelf.epoch = shelf.epoch.max(epoch);
        Ok(())
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let mut shelf = self.shelf();
        shelf.snapshots.retain(|kept| kept.position != snapshot.position);
        shelf.snapshots.push(snapshot.clone());
        shelf.snapshots.sort_by_key(|kept| std::cmp::Reverse(kept.position));
        shelf.snapshots.truncate(KEPT_SNAPSHOTS);
        Ok(())
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        Ok(self.shelf().snapshots.clone())
    }
}
