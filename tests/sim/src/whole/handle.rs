//! A coordinator's connection to the journal: the engine's promises, kept over the model of a server.

use std::borrow::Cow;
use std::time::Duration;

use slipway_coordinator::journal::record::{Hash, Mark, Record};
use slipway_coordinator::journal::{
    Address, Entry, Journal, JournalError, KEPT_SNAPSHOTS, LEADER_GRACE, LEADER_SILENT, Leader, MAX_READ,
    Snapshot,
};

use super::disk::{Shared, locked};
use crate::sabotage::Sabotage;

/// How this build begins an event that an older one does not know, and how that one would have begun it.
const NEW_FORM: &[u8] = br#"{"scheduler_next":{"type":"step_began""#;
const OLD_FORM: &[u8] = br#"{"scheduler":{"type":"step_began""#;

/// One coordinator's handle.
pub(crate) struct Handle {
    disk: Shared,
    head: Mark,
    /// The epoch under which it leads.
    epoch: u64,
    /// Whether its build writes and reads the new form.
    newer: bool,
}

impl Handle {
    pub(crate) fn new(disk: &Shared, newer: bool) -> Self {
        let mut handle = Self { disk: disk.clone(), head: Mark::BEGINNING, epoch: 0, newer };
        let mut server = locked(disk);
        server.reopen();
        handle.head = server.head();
        drop(server);
        handle
    }

    fn lost(&self, found: u64) -> JournalError {
        JournalError::Lost { place: "journal".to_owned(), known: self.head.position, found }
    }

    /// Whether the journal still has what this handle saw last.
    fn has_head(&self, records: &[Record]) -> bool {
        match self.head.position {
            0 => true,
            position => records.get(position as usize - 1).is_some_and(|it| it.hash() == self.head.hash),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut disk = locked(&self.disk);
        if disk.epoch == self.epoch {
            disk.held = false;
        }
    }
}

impl Journal for Handle {
    fn leader(&mut self) -> Result<Leader, JournalError> {
        let mut disk = locked(&self.disk);
        disk.reopen();
        let silent = Duration::from_millis(disk.now.since(disk.beat));
        let patience = if disk.held { LEADER_SILENT } else { LEADER_GRACE };
        Ok(Leader {
            epoch: disk.epoch,
            address: Address::default(),
            alive: disk.epoch > 0 && silent < patience,
        })
    }

    fn take_over(&mut self, seen: u64, _: &Address) -> Result<Option<u64>, JournalError> {
        let mut disk = locked(&self.disk);
        disk.reopen();
        if disk.epoch != seen {
            return Ok(None);
        }
        disk.epoch += 1;
        (disk.beat, disk.held) = (disk.now, true);
        let epoch = disk.epoch;
        disk.truth.epoch_began(epoch);
        drop(disk);
        self.epoch = epoch;
        Ok(Some(epoch))
    }

    fn wait(&mut self, _: u64, _: Duration) -> Result<(), JournalError> {
        Ok(())
    }

    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        let mut disk = locked(&self.disk);
        disk.reopen();
        let unfenced = match disk.sabotage {
            Some(Sabotage::UnfencedAppend) => epoch != disk.epoch,
            Some(Sabotage::StaleRenewal) => entries.is_empty() && epoch != disk.epoch,
            _ => false,
        };
        if epoch != disk.epoch && !unfenced {
            return Err(JournalError::Fenced { ours: epoch, current: disk.epoch });
        }
        if unfenced && entries.is_empty() {
            return Ok(self.head.position);
        }
        let papers_over = disk.sabotage == Some(Sabotage::PaperOverLoss);
        if !self.has_head(&disk.records) && !papers_over && !unfenced {
            return Err(self.lost(disk.head().position));
        }
        if self.newer {
            let translated: Vec<Entry> = entries.iter().map(in_new_form).collect();
            disk.append(epoch, &translated)?;
        } else {
            disk.append(epoch, entries)?;
        }
        self.head = disk.head();
        Ok(self.head.position)
    }

    fn head(&self) -> Mark {
        self.head
    }

    fn anchor(&self) -> Mark {
        Mark::BEGINNING
    }

    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        let disk = locked(&self.disk);
        Ok(match position {
            0 => Some(Mark::BEGINNING.hash),
            position => disk.records.get(position as usize - 1).map(Record::hash),
        })
    }

    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        let mut disk = locked(&self.disk);
        disk.reopen();
        if !self.has_head(&disk.records) && disk.sabotage != Some(Sabotage::PaperOverLoss) {
            return Err(self.lost(disk.head().position));
        }
        let from = position as usize;
        let mut previous = match from {
            0 => Mark::BEGINNING.hash,
            _ => disk.records.get(from - 1).map_or(Mark::BEGINNING.hash, Record::hash),
        };
        let mut read = Vec::new();
        for (at, record) in disk.records.iter().enumerate().skip(from).take(most.min(MAX_READ)) {
            if let Err(error) = record.check(at as u64 + 1, &previous) {
                if disk.sabotage == Some(Sabotage::SkipDamaged) {
                    previous = disk.records.get(at + 1).map_or(previous, |next| next.previous);
                    continue;
                }
                return Err(error);
            }
            previous = record.hash();
            let mut record = record.clone();
            if self.newer {
                record.payload = known_form(&record.payload).into_owned();
            } else if record.payload.starts_with(NEW_FORM) && disk.sabotage == Some(Sabotage::IgnoreUnknown) {
                continue;
            }
            read.push(record);
        }
        self.head = disk.head();
        Ok(read)
    }

    fn import(&mut self, _: &[Record], _: u64) -> Result<(), JournalError> {
        Err(JournalError::Engine {
            place: "journal".to_owned(),
            reason: "nothing is imported here".to_owned(),
        })
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let mut disk = locked(&self.disk);
        let mut snapshot = snapshot.clone();
        if disk.sabotage == Some(Sabotage::SnapshotAhead) {
            snapshot.position += 1;
        }
        disk.snapshots.retain(|kept| kept.position != snapshot.position);
        disk.snapshots.insert(0, snapshot);
        disk.snapshots.truncate(KEPT_SNAPSHOTS);
        Ok(())
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        Ok(locked(&self.disk).snapshots.clone())
    }

    fn prune(&mut self, _: u64, _: u64) -> Result<u64, JournalError> {
        Ok(0)
    }
}

fn in_new_form(entry: &Entry) -> Entry {
    let payload = match entry.payload.strip_prefix(OLD_FORM) {
        Some(rest) => [NEW_FORM, rest].concat(),
        None => entry.payload.clone(),
    };
    Entry { time_ms: entry.time_ms, payload }
}

/// A payload as every build knows it.
pub(crate) fn known_form(payload: &[u8]) -> Cow<'_, [u8]> {
    match payload.strip_prefix(NEW_FORM) {
        Some(rest) => Cow::Owned([OLD_FORM, rest].concat()),
        None => Cow::Borrowed(payload),
    }
}
