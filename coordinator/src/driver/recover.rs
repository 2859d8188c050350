//! From the journal to a state: the newest snapshot that can be read, and what came after it.

use std::io;

use serde::{Deserialize, Serialize};
use slipway_scheduler::State;
use slipway_scheduler::state::{FrozenState, SNAPSHOT_VERSION};

use super::ledger::Ledger;
use super::payload::Payload;
use crate::journal::{Journal, JournalError, Record, Snapshot};

/// What a snapshot holds.
#[derive(Serialize)]
struct SavedRef<'a> {
    state: &'a FrozenState,
    ledger: &'a Ledger,
}

#[derive(Deserialize)]
struct Saved {
    state: State,
    ledger: Ledger,
}

/// A state and the position it includes.
pub(super) struct Recovered {
    pub(super) state: State,
    pub(super) ledger: Ledger,
    /// The position of the snapshot it began with; 0: none.
    pub(super) snapshot: u64,
    /// The last position it includes.
    pub(super) position: u64,
}

impl Recovered {
    /// Takes in the records that follow; gives what they hold.
    ///
    /// # Errors
    /// [`JournalError::Unknown`], [`JournalError::Damaged`].
    pub(super) fn apply(&mut self, records: &[Record]) -> Result<Vec<Payload>, JournalError> {
        let mut payloads = Vec::with_capacity(records.len());
        for record in records {
            let payload = read(record)?;
            if let Payload::Scheduler(event) = &payload {
                self.state.apply(event);
            }
            self.ledger.apply(&payload);
            self.position = record.position;
            payloads.push(payload);
        }
        Ok(payloads)
    }

    /// Takes in all that is left of the journal.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn catch_up(&mut self, journal: &mut dyn Journal) -> Result<(), JournalError> {
        loop {
            let records = journal.read(self.position)?;
            if records.is_empty() {
                return Ok(());
            }
            self.apply(&records)?;
        }
    }
}

/// Replays the journal.
pub(super) fn recover(journal: &mut dyn Journal) -> Result<Recovered, JournalError> {
    let mut recovered =
        Recovered { state: State::new(), ledger: Ledger::default(), snapshot: 0, position: 0 };
    for snapshot in journal.snapshots()? {
        if snapshot.version != SNAPSHOT_VERSION {
            tracing::info!(version = snapshot.version, "a snapshot of another form is left out");
            continue;
        }
        match snapshot.unpack().and_then(|state| Ok(serde_json::from_slice::<Saved>(&state)?)) {
            Ok(mut saved) => {
                saved.ledger.reindex();
                let position = snapshot.position;
                let Saved { state, ledger } = saved;
                recovered = Recovered { state, ledger, snapshot: position, position };
                break;
            }
            Err(error) => {
                tracing::warn!(position = snapshot.position, %error, "a snapshot cannot be read");
            }
        }
    }
    recovered.catch_up(journal)?;
    Ok(recovered)
}

/// What a record holds. Its checksum is right by now, so what cannot be understood was written so.
fn read(record: &Record) -> Result<Payload, JournalError> {
    serde_json::from_slice(&record.payload).map_err(|error| {
        let (position, reason) = (record.position, error.to_string());
        if error.is_data() {
            JournalError::Unknown { position, reason }
        } else {
            JournalError::Damaged { position, reason }
        }
    })
}

/// The state as a snapshot.
pub(super) fn snapshot(position: u64, state: &FrozenState, ledger: &Ledger) -> io::Result<Snapshot> {
    Snapshot::pack_written(position, SNAPSHOT_VERSION, |out| {
        Ok(serde_json::to_writer(out, &SavedRef { state, ledger })?)
    })
}
