//! That nobody is passed over for good: checks that follow the leases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::AgentView;
use crate::ids::InstanceId;
use crate::invariant::Violation;
use crate::label::LabelSet;
use crate::limits::AGED_TURN_EVERY;
use crate::state::queue::Queue;
use crate::state::{Instance, Phase, State};

/// Follows the leases of one leader, from its first. Turns are soft: the next leader begins a new round.
///
/// It knows nothing of how turns are kept. For each kind of agents it checks that
/// - of [`AGED_TURN_EVERY`] first attempts in a row one has the priority of whoever is most urgent when its waiting counts, so
///   that every priority comes to something;
/// - while a share waits, no other of its priority gets more than two turns, so that every share of it comes to something.
///
/// Lanes take turns within a share, and whoever waits longest of a lane goes first, so nothing that waits for agents that go on
/// taking jobs waits for ever.
#[derive(Debug, Clone, Default)]
pub struct Fairness {
    kinds: BTreeMap<(LabelSet, bool), Kind>,
}

#[derive(Debug, Clone, Default)]
struct Kind {
    /// First attempts in a row that went to another priority than that of the most urgent.
    passed: u32,
    /// For each priority and share that waits: how many the others got since it was served.
    waiting: BTreeMap<(i8, Arc<str>), BTreeMap<Arc<str>, u32>>,
}

impl Fairness {
    /// Checks a lease that is about to be applied to `state`.
    ///
    /// # Errors
    /// [`Violation::Starved`] or [`Violation::Unfair`].
    pub fn leased(&mut self, state: &State, agent: &AgentView, id: InstanceId) -> Result<(), Violation> {
        let instance = state.instance(id).ok_or(Violation::Unknown)?;
        if instance.phase != (Phase::Waiting { backoff: None }) {
            return Ok(());
        }
        let queues = state.queues.fitting(&agent.labels, agent.accepts_untrusted);
        let kind = self.kinds.entry((agent.labels.clone(), agent.accepts_untrusted)).or_default();
        kind.age(&queues, instance)?;
        kind.turns(&queues, instance)
    }
}

impl Kind {
    fn age(&mut self, queues: &[&Queue], instance: &Instance) -> Result<(), Violation> {
        let most_urgent = queues.iter().filter_map(|queue| queue.aged.first()).min();
        let Some((_, order, priority)) = most_urgent else { return Ok(()) };
        self.passed = if *priority == instance.line().priority { 0 } else { self.passed + 1 };
        if self.passed < AGED_TURN_EVERY {
            return Ok(());
        }
        let lanes =
            queues.iter().flat_map(|queue| queue.levels.values()).flatten().flat_map(|(_, lanes)| lanes);
        let starved = lanes.filter_map(|(_, lane)| lane.get(order)).next();
        Err(Violation::Starved(starved.copied().unwrap_or(instance.id())))
    }

    fn turns(&mut self, queues: &[&Queue], instance: &Instance) -> Result<(), Violation> {
        let line = instance.line();
        let level = std::cmp::Reverse(line.priority);
        let shares = queues.iter().filter_map(|queue| queue.levels.get(&level));
        let waiting: BTreeSet<&Arc<str>> = shares.flat_map(BTreeMap::keys).collect();
        self.waiting.retain(|(priority, share), _| *priority != line.priority || waiting.contains(share));
        for share in waiting.into_iter().filter(|share| **share != line.share) {
            let others = self.waiting.entry((line.priority, Arc::clone(share))).or_default();
            let got = others.entry(Arc::clone(&line.share)).or_default();
            *got += 1;
            if *got > 2 * line.weight {
                return Err(Violation::Unfair { share: share.to_string() });
            }
        }
        self.waiting.remove(&(line.priority, Arc::clone(&line.share)));
        Ok(())
    }
}
