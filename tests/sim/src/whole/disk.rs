//! The journal's server: what is written, what of it survives, and which copy is in use.
//!
//! A batch is written as frames, each a record's head, payload and checksum, and a trailer that makes it whole. When the host
//! dies in the middle, any part of those bytes is left; opening it again keeps the batch only if all of it is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_coordinator::journal::{Entry, JournalError, Mark, Record, Snapshot};
use slipway_scheduler::Uptime;

use super::truth::Truth;
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::sabotage::Sabotage;

/// What ends a batch.
const TRAILER: &[u8; 8] = b"complete";

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) sabotage: Option<Sabotage>,
    /// The server's clock.
    pub(crate) now: Uptime,
    pub(crate) epoch: u64,
    /// The leader's last sign of life.
    pub(crate) beat: Uptime,
    /// Whether the leader's connection stands.
    pub(crate) held: bool,
    pub(crate) records: Vec<Record>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) truth: Truth,
    /// What happens to the next batch.
    pub(crate) plan: Option<(Fault, Random)>,
    /// The good copy, while the one in use is not.
    pub(crate) aside: Option<Vec<Record>>,
    /// What is left of a batch in whose middle the host died.
    tail: Vec<u8>,
    /// Entries that were answered for and not written: a planted fault.
    unwritten: Vec<Entry>,
}

/// The server, as its clients share it.
pub(crate) type Shared = Arc<Mutex<Disk>>;

pub(crate) fn locked(disk: &Shared) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    pub(crate) fn head(&self) -> Mark {
        self.records.last().map_or(Mark::BEGINNING, Record::mark)
    }

    /// Appends a batch, unless what is planned for it says otherwise.
    pub(crate) fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<(), JournalError> {
        self.beat = self.now;
        if entries.is_empty() {
            return Ok(());
        }
        if self.sabotage == Some(Sabotage::AnswerBeforeAppend) && has_lease(entries) {
            self.unwritten.extend_from_slice(entries);
            return Ok(());
        }
        let entries = [&std::mem::take(&mut self.unwritten)[..], entries].concat();
        let records = self.chain(epoch, &entries);
        let Some((fault, mut random)) = self.plan.take() else {
            self.write(records);
            return Ok(());
        };
        match fault {
            Fault::TailTorn => {
                let mut bytes = encode(&records);
                bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
                if random.chance(300) {
                    bytes.resize(bytes.len() + 512, 0);
                }
                self.tail = bytes;
            }
            Fault::AppendUnheard => self.write(records),
            _ => {}
        }
        self.held = false;
        Err(JournalError::Engine { place: "journal".to_owned(), reason: fault.name().to_owned() })
    }

    fn chain(&self, epoch: u64, entries: &[Entry]) -> Vec<Record> {
        let mut head = self.head();
        let records = entries.iter().map(|entry| {
            let payload = entry.payload.clone();
            let record = Record::new(head.position + 1, epoch, entry.time_ms, head.hash, payload);
            head = record.mark();
            record
        });
        records.collect()
    }

    fn write(&mut self, records: Vec<Record>) {
        if self.aside.is_some() {
            self.truth.broke(Broken::WentOn("a journal that is damaged or lost entries"));
        }
        self.truth.appended(&records);
        self.records.extend(records);
    }

    /// Opens what a crash left: a batch that is not whole is cut off.
    pub(crate) fn reopen(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        let keeps_part = self.sabotage == Some(Sabotage::KeepTornTail);
        let (records, whole) = decode(&tail, self.head());
        if whole {
            self.write(records);
        } else if keeps_part {
            self.records.extend(records);
        }
        self.compare();
    }

    /// Compares what is there with what is durable.
    pub(crate) fn compare(&mut self) {
        if self.aside.is_none() {
            self.truth.compare(&self.records);
        }
    }

    /// Puts the good copy back.
    pub(crate) fn repair(&mut self) {
        if let Some(records) = self.aside.take() {
            self.records = records;
            self.compare();
        }
    }
}

/// Whether a lease is granted in this batch.
fn has_lease(entries: &[Entry]) -> bool {
    let leased: &[u8] = br#"{"scheduler":{"type":"leased""#;
    entries.iter().any(|entry| entry.payload.starts_with(leased))
}

fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(&record.head());
        bytes.extend_from_slice(&record.payload);
        bytes.extend_from_slice(&record.checksum.to_be_bytes());
    }
    bytes.extend_from_slice(TRAILER);
    bytes
}

/// The good records at the beginning of these bytes that follow `head`, and whether a trailer ends them.
fn decode(mut bytes: &[u8], mut head: Mark) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    loop {
        if bytes.strip_prefix(TRAILER).is_some() {
            return (records, true);
        }
        let Some((first, rest)) = bytes.split_first_chunk::<{ Record::HEAD_BYTES }>() else { break };
        let (mut record, length) = Record::from_head(first);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        let Some((checksum, rest)) = rest.split_first_chunk::<4>() else { break };
        record.payload = payload.to_vec();
        record.checksum = u32::from_be_bytes(*checksum);
        if record.check(head.position + 1, &head.hash).is_err() {
            break;
        }
        (head, bytes) = (record.mark(), rest);
        records.push(record);
    }
    (records, false)
}
