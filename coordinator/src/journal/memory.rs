//! A journal in memory, for tests and measurements: durable for as long as one of its clones lives.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::import;
use super::{
    Address, Entry, Hash, Journal, JournalError, KEPT_SNAPSHOTS, LEADER_GRACE, LEADER_SILENT, Leader,
    MAX_PAYLOAD_BYTES, MAX_READ, MAX_READ_BYTES, Mark, PRUNE_BATCH, Record, Snapshot,
};

#[derive(Debug, Default)]
struct Shelf {
    epoch: u64,
    address: Address,
    /// The leader's last sign of life.
    beat: Option<Instant>,
    /// Whether the leader's handle still exists.
    held: bool,
    /// What was pruned ends here.
    anchor: Option<Mark>,
    records: Vec<Record>,
    snapshots: Vec<Snapshot>,
}

impl Shelf {
    fn anchor(&self) -> Mark {
        self.anchor.unwrap_or(Mark::BEGINNING)
    }

    fn head(&self) -> Mark {
        self.records.last().map_or(self.anchor(), Record::mark)
    }

    /// How many records there are up to a position.
    fn count_to(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.anchor().position)).unwrap_or(usize::MAX)
    }
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
        let still = |shelf: &mut Shelf| shelf.head().position <= position && shelf.epoch == seen;
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
            let head = shelf.head();
            let payload = entry.payload.clone();
            shelf.records.push(Record::new(head.position + 1, epoch, entry.time_ms, head.hash, payload));
        }
        shelf.beat = Some(Instant::now());
        let end = shelf.head().position;
        drop(shelf);
        self.shared.changed.notify_all();
        Ok(end)
    }

    fn head(&self) -> Mark {
        self.shelf().head()
    }

    fn anchor(&self) -> Mark {
        self.shelf().anchor()
    }

    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        let shelf = self.shelf();
        if position <= shelf.anchor().position {
            return Ok((position == shelf.anchor().position).then_some(shelf.anchor().hash));
        }
        Ok(shelf.records.get(shelf.count_to(position) - 1).map(Record::hash))
    }

    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        let shelf = self.shelf();
        if position < shelf.anchor().position {
            return Err(JournalError::Pruned { position: shelf.anchor().position });
        }
        let mut room = MAX_READ_BYTES;
        let records = shelf.records.iter().skip(shelf.count_to(position)).take(most.min(MAX_READ));
        let read = records.take_while(|record| {
            let fits = room > 0;
            room = room.saturating_sub(record.payload.len());
            fits
        });
        Ok(read.cloned().collect())
    }

    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        let mut shelf = self.shelf();
        let (anchor, _) = import::follow(shelf.head(), records)?;
        if let Some(anchor) = anchor {
            shelf.anchor = Some(anchor);
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

    fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError> {
        let mut shelf = self.shelf();
        let kept = match shelf.snapshots.last() {
            Some(oldest) if shelf.snapshots.len() == KEPT_SNAPSHOTS => oldest.position,
            _ => return Ok(0),
        };
        let old = |record: &&Record| {
            record.position <= kept && record.position < before && record.time_ms < older_than_ms
        };
        let candidates = shelf.records.iter().take(shelf.records.len().saturating_sub(1)).take(PRUNE_BATCH);
        let count = candidates.take_while(old).count();
        let pruned = shelf.records.drain(..count).next_back();
        if let Some(last) = pruned {
            shelf.anchor = Some(last.mark());
        }
        Ok(count as u64)
    }
}
