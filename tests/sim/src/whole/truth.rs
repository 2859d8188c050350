//! What is durable, read back from the journal's own bytes, beside what any coordinator believes.
//!
//! Every record that became durable is decoded and applied here, once, with every invariant checked: this is the replay of the
//! journal, and the state of whoever leads must equal it after each of its batches.

use slipway_coordinator::driver::payload::Payload;
use slipway_coordinator::journal::record::Hash;
use slipway_coordinator::journal::{Mark, Record};
use slipway_scheduler::invariant::{self, Monitor};
use slipway_scheduler::{Event, State};

use super::handle::known_form;
use crate::broken::Broken;
use crate::report::Counts;

/// After how many batches the whole state is checked.
const CHECK_WHOLE_EVERY: u64 = 16;

#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) state: State,
    pub(crate) counts: Counts,
    /// Events since the world looked last.
    pub(crate) news: Vec<Event>,
    /// The first thing that broke.
    pub(crate) broken: Option<Broken>,
    monitor: Monitor,
    batches: u64,
    /// The newest epoch that anybody began.
    epoch: u64,
    /// Hashes of all durable records.
    hashes: Vec<Hash>,
}

impl Truth {
    pub(crate) fn position(&self) -> u64 {
        self.hashes.len() as u64
    }

    pub(crate) fn epoch_began(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    pub(crate) fn broke(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// A batch became durable.
    pub(crate) fn appended(&mut self, records: &[Record]) {
        if let Err(broken) = self.take(records) {
            self.broke(broken);
        }
    }

    fn take(&mut self, records: &[Record]) -> Result<(), Broken> {
        let from = self.news.len();
        for record in records {
            if record.epoch < self.epoch {
                return Err(Broken::StaleAppend(record.epoch));
            }
            let last = self.hashes.last().copied().unwrap_or(Mark::BEGINNING.hash);
            record.check(self.position() + 1, &last).map_err(|_| Broken::EntryLost(self.position()))?;
            self.hashes.push(record.hash());
            let payload = serde_json::from_slice(&known_form(&record.payload))
                .map_err(|error| Broken::Journal(error.to_string()))?;
            let Payload::Scheduler(event) = payload else { continue };
            self.monitor.before(&self.state, &event)?;
            self.state.apply(&event);
            self.monitor.after(&self.state, &event)?;
            self.news.push(event);
        }
        let batch = &self.news[from..];
        self.counts.events(batch);
        invariant::check_touched(&self.state, batch)?;
        self.batches += 1;
        if self.batches.is_multiple_of(CHECK_WHOLE_EVERY) {
            invariant::check(&self.state)?;
        }
        Ok(())
    }

    /// Whether these are all the durable records, unchanged.
    pub(crate) fn compare(&mut self, records: &[Record]) {
        let same = |(at, hash): (usize, &Hash)| records.get(at).is_some_and(|record| record.hash() == *hash);
        if let Some(lost) = self.hashes.iter().enumerate().position(|known| !same(known)) {
            self.broke(Broken::EntryLost(lost as u64 + 1));
        } else if records.len() > self.hashes.len() {
            self.broke(Broken::BatchTorn(self.position() + 1));
        }
    }
}
