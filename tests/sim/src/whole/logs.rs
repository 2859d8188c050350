//! What jobs say, on its way to the store: uploads of agents, what a coordinator holds that is not durable, the store itself.

use std::collections::BTreeMap;

use slipway_cas::Digest;
use slipway_coordinator::driver::message::RunLease;
use slipway_scheduler::InstanceId;
use slipway_wire::record_digest::RecordDigest;

use super::site::Role;
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::sabotage::Sabotage;

/// An attempt.
pub(crate) type Key = (InstanceId, u32);

/// Most lines of one upload.
pub(crate) const UPLOAD_LINES_MAX: u64 = 4;

/// Some lines of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    agent: usize,
    lease: RunLease,
    /// Number of the first, from 1.
    first: u64,
    lines: Vec<u64>,
}

/// The object store, which all coordinators share: what is in it is durable.
#[derive(Debug, Default)]
pub(crate) struct Store {
    durable: BTreeMap<Key, Vec<u64>>,
    /// Up to where each was acknowledged.
    acknowledged: BTreeMap<Key, u64>,
}

/// What a process holds that is not durable yet, and after how many durable lines it comes.
pub(crate) type Waiting = BTreeMap<Key, (u64, Vec<u64>)>;

/// The n-th line of an attempt, from 1.
fn line(key: Key, number: u64) -> u64 {
    let (high, low) = key.0.0.as_u64_pair();
    Random::word(high, &[low, u64::from(key.1), number])
}

/// The digest that an agent counts of its first so many lines.
pub(crate) fn digest_of(key: Key, count: u64) -> Digest {
    let mut digest = RecordDigest::new();
    (1..=count).for_each(|number| digest.push(&line(key, number).to_be_bytes()));
    digest.digest()
}

impl Store {
    pub(crate) fn count(&self, key: Key) -> u64 {
        self.durable.get(&key).map_or(0, |lines| lines.len() as u64)
    }

    /// Puts lines behind the first so many, unless somebody else did.
    fn put(&mut self, key: Key, after: u64, lines: &[u64]) {
        let durable = self.durable.entry(key).or_default();
        if durable.len() as u64 == after {
            durable.extend_from_slice(lines);
        }
    }

    /// Whether all lines that were acknowledged are there.
    pub(crate) fn check_acknowledged(&self) -> Result<(), Broken> {
        let lost = self.acknowledged.iter().find(|(key, count)| self.count(**key) < **count);
        lost.map_or(Ok(()), |(key, _)| Err(Broken::LineLost(key.0)))
    }

    /// Whether the log of an attempt that was reported is whole.
    pub(crate) fn check_reported(&self, key: Key, count: u64, digest: Option<Digest>) -> Result<(), Broken> {
        let lines = self.durable.get(&key).map(Vec::as_slice).unwrap_or_default();
        let expected = (1..=count).map(|number| line(key, number));
        if lines.iter().copied().eq(expected) && digest.is_none_or(|it| it == digest_of(key, count)) {
            Ok(())
        } else {
            Err(Broken::LogBroken(key.0))
        }
    }
}

impl World {
    /// An agent sends what it has not sent, a piece at a time.
    pub(crate) fn upload(&mut self, at: usize, lease: RunLease, sent: u64, there_are: u64) {
        let until = there_are.min(sent + UPLOAD_LINES_MAX);
        if until <= sent || self.strike(Fault::RequestLost).is_some() {
            return;
        }
        let key = (lease.lease.instance, lease.lease.attempt);
        let lines = (sent + 1..=until).map(|number| line(key, number)).collect();
        let upload = Upload { agent: at, lease, first: sent + 1, lines };
        if let Some(mut random) = self.strike(Fault::RequestRepeated) {
            self.schedule(random.between(10, 30_000), Action::Upload(upload.clone()));
        }
        let transit_ms = self.random.between(1, 20);
        self.schedule(transit_ms, Action::Upload(upload));
    }

    pub(crate) fn upload_arrives(&mut self, upload: Upload) {
        let Upload { agent, lease, first, lines } = upload;
        if self.agents[agent].cut_up_until > self.now {
            return;
        }
        let Some(site) = self.leading() else { return };
        let early = self.script.sabotage == Some(Sabotage::LogsEarly);
        let takes_gaps = self.script.sabotage == Some(Sabotage::LogGap);
        let key = (lease.lease.instance, lease.lease.attempt);
        let durable = self.store.count(key);
        let Role::Leading(driver) = &self.sites[site].role else { return };
        if !driver.leases().is_live(&lease) {
            return;
        }
        let (after, waiting) = self.sites[site].waiting.entry(key).or_insert((durable, Vec::new()));
        let next = *after + waiting.len() as u64 + 1;
        if first > next && !takes_gaps {
            self.acknowledge(agent, lease, durable);
            return;
        }
        waiting.extend(lines.iter().skip(next.saturating_sub(first) as usize));
        let written = *after + waiting.len() as u64;
        if early {
            self.acknowledge(agent, lease, written);
        }
        let flush_ms = self.random.between(5, 300);
        let process = self.sites[site].process;
        self.schedule(flush_ms, Action::Flush(site, process, agent, lease));
    }

    /// A coordinator makes durable what waits of an attempt, and says so.
    pub(crate) fn flush(&mut self, site: usize, process: u64, agent: usize, lease: RunLease) {
        if self.sites[site].process != process || !self.sites[site].runs(self.now) {
            return;
        }
        let key = (lease.lease.instance, lease.lease.attempt);
        if let Some((after, lines)) = self.sites[site].waiting.remove(&key) {
            self.store.put(key, after, &lines);
            let durable = self.store.count(key);
            self.acknowledge(agent, lease, durable);
        }
    }

    fn acknowledge(&mut self, agent: usize, lease: RunLease, count: u64) {
        let key = (lease.lease.instance, lease.lease.attempt);
        let told = self.store.acknowledged.entry(key).or_default();
        *told = count.max(*told);
        if self.strike(Fault::AnswerLost).is_none() {
            let transit_ms = self.random.between(1, 20);
            self.schedule(transit_ms, Action::Acknowledged(agent, lease, count));
        }
    }
}
