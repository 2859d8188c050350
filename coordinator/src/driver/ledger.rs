//! What the coordinator remembers beside the scheduler's state, from the same journal: run numbers, webhook deliveries,
//! agents' words about attempts and orders to drain.
//!
//! Invariant: like the scheduler's state, it is a function of the journal; [`Ledger::apply`] cannot fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;
use slipway_scheduler::{AgentId, Event, InstanceId, RunId};

use super::holds::Holds;
use super::payload::{AttemptNote, DeliveryEvent, DrainOrder, Payload};
use crate::forge::Place;
use crate::forge::told::Told;
use crate::house::{House, HouseEvent};
use crate::scaler::Scaling;

/// How many deliveries are remembered after they were dealt with, so that a repeated one does nothing. GitHub repeats only
/// by hand and within days.
pub const DELIVERIES_MAX: usize = 50_000;

/// How many agents stay drained at a time; the oldest order is forgotten first. Agents that are drained and never come
/// back leave theirs behind.
pub const DRAINED_MAX: usize = 10_000;

/// The coordinator's own memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The last run number of each workflow: repository, then file.
    run_numbers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Deliveries that are not dealt with yet.
    pending: BTreeMap<String, PendingDelivery>,
    /// Deliveries that were dealt with, oldest first.
    done: VecDeque<String>,
    /// Words about attempts, by run, so that they go with it.
    notes: BTreeMap<RunId, Vec<AttemptNote>>,
    /// Agents that a person drains, oldest order first; they stay drained when they come back.
    #[serde(default)]
    drained: VecDeque<AgentId>,
    /// What admins decided about the fleet.
    #[serde(default)]
    house: House,
    /// What a forge was told.
    #[serde(default)]
    told: Told,
    /// Runs that wait as a whole.
    #[serde(default)]
    holds: Holds,
    /// Agents that the scaler asked for.
    #[serde(default)]
    scaling: Scaling,
    #[serde(skip)]
    done_index: BTreeSet<String>,
}

/// A delivery that is to be dealt with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingDelivery {
    /// `push`, `pull_request`, …
    pub event: String,
    /// Its body.
    pub body: Digest,
}

impl Ledger {
    /// Makes what is derived again; after it was read from a snapshot.
    pub(super) fn reindex(&mut self) {
        self.done_index = self.done.iter().cloned().collect();
    }

    /// The commit whose sum is another because of this entry, if that is told.
    #[must_use]
    pub(super) fn touched<'a>(&'a self, payload: &'a Payload) -> Option<&'a Place> {
        match payload {
            Payload::Delivery(DeliveryEvent::Done { id, .. }) => self.told.is_about(id),
            Payload::Report(event) => event.touches(),
            _ => None,
        }
    }

    /// Takes note of an entry of the journal.
    pub fn apply(&mut self, payload: &Payload) {
        match payload {
            Payload::Scheduler(Event::RunSubmitted { meta, .. }) => {
                let numbers = self.run_numbers.entry(meta.repository.clone()).or_default();
                let last = numbers.entry(meta.workflow_file.clone()).or_default();
                *last = meta.run_number.max(*last);
            }
            Payload::Scheduler(Event::RunRetired { run }) => {
                self.notes.remove(run);
                self.told.retired(*run);
                self.holds.retired(*run);
            }
            Payload::Scheduler(_) | Payload::Audit(_) => {}
            Payload::Delivery(DeliveryEvent::Accepted { id, event, body, .. }) => {
                self.pending.insert(id.clone(), PendingDelivery { event: event.clone(), body: *body });
            }
            Payload::Delivery(DeliveryEvent::Done { id, .. }) => {
                self.pending.remove(id);
                self.told.dealt_with(id);
                if self.done_index.insert(id.clone()) {
                    self.done.push_back(id.clone());
                }
                if self.done.len() > DELIVERIES_MAX
                    && let Some(oldest) = self.done.pop_front()
                {
                    self.done_index.remove(&oldest);
                }
            }
            Payload::House(event) => {
                self.house.apply(event);
                if let HouseEvent::AgentRemoved { agent, .. } = event {
                    self.drained.retain(|drained| drained != agent);
                }
            }
            Payload::Report(event) => self.told.apply(event),
            Payload::Hold(event) => self.holds.apply(event),
            Payload::Scale(event) => self.scaling.apply(event),
            Payload::AttemptNote(note) => self.notes.entry(note.run).or_default().push(note.clone()),
            Payload::DrainOrder(DrainOrder { agent, on, .. }) => {
                self.drained.retain(|drained| drained != agent);
                if *on {
                    self.drained.push_back(*agent);
                }
                if self.drained.len() > DRAINED_MAX {
                    self.drained.pop_front();
                }
            }
        }
    }

    /// What admins decided about the fleet.
    #[must_use]
    pub fn house(&self) -> &House {
        &self.house
    }

    /// What a forge was told.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Runs that wait as a whole, or did.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Agents that the scaler asked for.
    #[must_use]
    pub fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// The number of the next run of this workflow, from 1.
    #[must_use]
    pub fn next_run_number(&self, repository: &str, workflow_file: &str) -> u64 {
        self.run_numbers.get(repository).and_then(|files| files.get(workflow_file)).map_or(1, |last| last + 1)
    }

    /// Whether this delivery came before.
    #[must_use]
    pub fn knows_delivery(&self, id: &str) -> bool {
        self.pending.contains_key(id) || self.done_index.contains(id)
    }

    /// Deliveries to deal with.
    pub fn pending(&self) -> impl Iterator<Item = (&str, &PendingDelivery)> {
        self.pending.iter().map(|(id, delivery)| (id.as_str(), delivery))
    }

    /// Whether a person ordered this agent to take nothing new.
    #[must_use]
    pub fn is_drained(&self, agent: AgentId) -> bool {
        self.drained.contains(&agent)
    }

    /// What the agent said about an attempt's end; empty if nothing.
    #[must_use]
    pub fn note(&self, run: RunId, instance: InstanceId, attempt: u32) -> &str {
        let notes = self.notes.get(&run).map(Vec::as_slice).unwrap_or_default();
        let found = notes.iter().rev().find(|note| note.instance == instance && note.attempt == attempt);
        found.map(|note| note.message.as_str()).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_scheduler::Timestamp;

    use super::*;

    fn accepted(id: &str) -> Payload {
        let (id, event, body) = (id.to_owned(), "push".to_owned(), Digest::of(b"{}"));
        Payload::Delivery(DeliveryEvent::Accepted { id, event, body, at: Timestamp(1) })
    }

    fn done(id: &str) -> Payload {
        Payload::Delivery(DeliveryEvent::Done { id: id.to_owned(), outcome: String::new() })
    }

    #[test]
    fn a_delivery_is_pending_until_done_and_known_after() {
        let mut ledger = Ledger::default();
        assert!(!ledger.knows_delivery("a"));
        ledger.apply(&accepted("a"));
        assert_eq!(ledger.pending().count(), 1);
        assert!(ledger.knows_delivery("a"));
        ledger.apply(&done("a"));
        assert_eq!(ledger.pending().count(), 0);
        assert!(ledger.knows_delivery("a"));

        let mut again: Ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
        again.reindex();
        assert_eq!(again, ledger);
    }

    #[test]
    fn the_last_order_to_an_agent_counts_and_the_oldest_is_forgotten_first() {
        let mut ledger = Ledger::default();
        let mut order = |number: usize, on| {
            let agent = AgentId::from_u128(number as u128);
            ledger.apply(&Payload::DrainOrder(DrainOrder { agent, on, at: Timestamp(1) }));
            ledger.clone()
        };
        assert!(order(1, true).is_drained(AgentId::from_u128(1)));
        assert!(!order(1, false).is_drained(AgentId::from_u128(1)));
        for number in 1..=DRAINED_MAX {
            order(number, true);
        }
        assert!(order(1, true).is_drained(AgentId::from_u128(2)), "ordered again, still one order each");
        let after = order(DRAINED_MAX + 1, true);
        assert!(!after.is_drained(AgentId::from_u128(2)));
        assert!(after.is_drained(AgentId::from_u128(1)));
    }

    #[test]
    fn a_snapshot_of_before_drain_orders_is_read() {
        let mut json = serde_json::to_value(Ledger::default()).unwrap();
        json.as_object_mut().unwrap().remove("drained");
        assert_eq!(serde_json::from_value::<Ledger>(json).unwrap(), Ledger::default());
    }

    #[test]
    fn the_oldest_delivery_is_forgotten_first() {
        let mut ledger = Ledger::default();
        for n in 0..=DELIVERIES_MAX {
            ledger.apply(&done(&n.to_string()));
        }
        assert!(!ledger.knows_delivery("0"));
        assert!(ledger.knows_delivery("1"));
        assert!(ledger.knows_delivery(&DELIVERIES_MAX.to_string()));
    }
}
