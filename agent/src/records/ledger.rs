//! What the lanes of a job have in common: one journal, and in it the latest state of each.
//!
//! A **lane** is a row of steps that run one after the other: the job's own is number 0, and each step of the background has
//! one to itself. A lane knows only its own state; what goes into the journal is always the state of all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use slipway_cas::Digest;
use slipway_wire::record_digest::RecordDigest;
use slipway_wire::records::Records;

use crate::failure::{Cause, Failure};
use crate::journal::{Journal, Progress};

/// The job's own lane.
pub const MAIN: u32 = 0;

/// A state, encoded.
pub type State = Box<RawValue>;

/// What a lane commits of itself.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The lane's state.
    pub lane: State,
    /// What all lanes share.
    pub common: State,
}

impl Snapshot {
    /// Encodes both.
    ///
    /// # Errors
    /// `internal`.
    pub fn new(lane: &impl Serialize, common: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { lane: encode(lane)?, common: encode(common)? })
    }
}

/// The states of a job, as the journal keeps them.
#[derive(Debug, Serialize, Deserialize)]
pub struct JobStates {
    /// What all lanes share.
    pub common: State,
    /// By the number of the lane.
    pub lanes: BTreeMap<u32, State>,
}

/// The states of the job's log, likewise.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LogStates {
    /// Values that steps asked to mask. They stand in the same steps' spool, and this file is as closed as that one.
    pub(super) masks: Vec<String>,
    /// Where each lane's log stands.
    pub(super) lanes: BTreeMap<u32, State>,
    /// How far the digest of all records is ([`RecordDigest::save`]); none in a journal that an agent began which did not
    /// count it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records_digest: Option<String>,
}

impl LogStates {
    /// Of a job that begins.
    pub(super) fn new(lanes: BTreeMap<u32, State>) -> Self {
        Self { masks: Vec::new(), lanes, records_digest: Some(RecordDigest::new().save()) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    journal: Journal,
    job: JobStates,
    pub(super) log: LogStates,
    /// Of all records in the journal, those that were released among them.
    digest: Option<RecordDigest>,
    /// Lanes were closed since the last commit.
    closed: bool,
}

impl Ledger {
    pub(super) fn new(journal: Journal, job: &[u8], log: &[u8]) -> Result<Self, Failure> {
        let log: LogStates = decode(log)?;
        let digest = log.records_digest.as_deref().and_then(RecordDigest::restore);
        Ok(Self { journal, job: decode(job)?, log, digest, closed: false })
    }

    pub(super) fn progress(&self) -> Progress {
        self.journal.progress()
    }

    pub(super) fn last_record(&self) -> u64 {
        self.journal.last_record()
    }

    /// Digest of all records; none if they were not counted from the first one on.
    pub(super) fn records_digest(&self) -> Option<Digest> {
        self.digest.as_ref().map(RecordDigest::digest)
    }

    pub(super) fn lanes(&self) -> &BTreeMap<u32, State> {
        &self.job.lanes
    }

    /// A lane is over; the next commit leaves it out.
    pub(super) fn close(&mut self, lane: u32) {
        self.job.lanes.remove(&lane);
        self.log.lanes.remove(&lane);
        self.closed = true;
    }

    /// A lane begins in this state; the next commit keeps it.
    pub(super) fn open(&mut self, lane: u32, state: State) {
        self.job.lanes.insert(lane, state);
    }

    /// Writes records, and the states that changed with them.
    pub(super) fn append(
        &mut self,
        lane: u32,
        records: &Records,
        job: Option<Snapshot>,
        position: Option<State>,
        sync: bool,
    ) -> Result<(), Failure> {
        let job_changed = job.is_some() || self.closed;
        let log_changed = position.is_some() || self.closed || !records.is_empty();
        if let Some(Snapshot { lane: state, common }) = job {
            self.job.lanes.insert(lane, state);
            self.job.common = common;
        }
        if let Some(position) = position {
            self.log.lanes.insert(lane, position);
        }
        // What could not be written does not count: a report must never speak of records that nobody has.
        let mut digest = self.digest.clone();
        if let Some(digest) = &mut digest {
            digest.push_delimited(records.bytes());
        }
        let before = std::mem::replace(&mut self.log.records_digest, digest.as_ref().map(RecordDigest::save));
        let written = self.write(records, job_changed, log_changed, sync);
        match &written {
            Ok(()) => (self.digest, self.closed) = (digest, false),
            Err(_) => self.log.records_digest = before,
        }
        written
    }

    fn write(&mut self, records: &Records, job: bool, log: bool, sync: bool) -> Result<(), Failure> {
        let job = job.then(|| bytes(&self.job)).transpose()?;
        let log = log.then(|| bytes(&self.log)).transpose()?;
        self.journal
            .append(records, job, log, sync)
            .map(drop)
            .map_err(|error| Failure::io("cannot write the job's journal", &error))
    }
}

/// Encodes a state.
///
/// # Errors
/// `internal`.
pub fn encode(state: &impl Serialize) -> Result<State, Failure> {
    to_raw_value(state).map_err(|error| Failure::new(Cause::Internal, error.to_string()))
}

pub(super) fn bytes(state: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(state).map_err(|error| Failure::new(Cause::Internal, error.to_string()))
}

pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(Cause::Internal, format!("the job's journal is damaged: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const JOB: &[u8] = br#"{"common":null,"lanes":{"0":null}}"#;

    fn row(records: Vec<Vec<u8>>) -> Records {
        records.into_iter().map(bytes::Bytes::from).collect::<Vec<_>>().into()
    }

    fn reopened(folder: &std::path::Path) -> Ledger {
        let recovered = Journal::open(folder).unwrap().unwrap();
        Ledger::new(recovered.journal, &recovered.job, &recovered.stream).unwrap()
    }

    #[test]
    fn the_digest_of_all_records_survives_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let log = bytes(&LogStates::new(BTreeMap::new())).unwrap();
        let journal = Journal::create(folder.path(), JOB.to_vec(), log.clone()).unwrap();
        let mut ledger = Ledger::new(journal, JOB, &log).unwrap();
        let mut counted = RecordDigest::new();
        for number in 0..40_u8 {
            let records = vec![vec![number; usize::from(number)]; 3];
            records.iter().for_each(|record| counted.push(record));
            ledger.append(MAIN, &row(records), None, None, false).unwrap();
            // What is durable at the coordinator may be gone here.
            ledger.progress().release(ledger.last_record());
            if number % 7 == 0 {
                drop(ledger);
                ledger = reopened(folder.path());
            }
            assert_eq!(ledger.records_digest(), Some(counted.digest()));
        }
    }

    #[test]
    fn what_could_not_be_written_is_not_in_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let log = bytes(&LogStates::new(BTreeMap::new())).unwrap();
        let journal = Journal::create(folder.path(), JOB.to_vec(), log.clone()).unwrap();
        let mut ledger = Ledger::new(journal, JOB, &log).unwrap();
        let mut counted = RecordDigest::new();
        for record in [b"first".to_vec(), b"second".to_vec()] {
            ledger.append(MAIN, &row(vec![record.clone()]), None, None, false).unwrap();
            counted.push(&record);
            let too_large = row(vec![vec![0; crate::limits::JOURNAL_ENTRY_MAX_BYTES + 1]]);
            ledger.append(MAIN, &too_large, None, None, false).unwrap_err();
            assert_eq!(ledger.records_digest(), Some(counted.digest()));
        }
        drop(ledger);
        assert_eq!(reopened(folder.path()).records_digest(), Some(counted.digest()));
    }

    #[test]
    fn a_journal_of_an_agent_that_did_not_count_gives_none() {
        let folder = tempfile::tempdir().unwrap();
        let log = br#"{"masks":[],"lanes":{}}"#;
        let journal = Journal::create(folder.path(), JOB.to_vec(), log.to_vec()).unwrap();
        let mut ledger = Ledger::new(journal, JOB, log).unwrap();
        ledger.append(MAIN, &row(vec![vec![1]]), None, None, false).unwrap();
        drop(ledger);
        assert_eq!(reopened(folder.path()).records_digest(), None);
    }
}
