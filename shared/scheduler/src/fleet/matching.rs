//! Which agent gets the next lease, and which instance.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{AgentView, Grant};
use crate::fleet::{Class, Fleet, Offer, Resources};
use crate::ids::{AgentId, InstanceId};
use crate::limits::{AGENT_SCAN_MAX, ROOM_PATIENCE_MS, TURN_LANES_MAX, TURNS_MAX};
use crate::state::State;
use crate::state::queue::{Choice, Turn, choose};
use crate::time::Timestamp;

/// Whose turn it is at each kind of agents. Soft: a new leader begins a new round.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    by_offer: BTreeMap<Offer, Turn>,
    /// The shares' turns where they last changed: there a kind of agents begins that nothing is remembered of. If each began
    /// anew, a fleet of agents that are all different would serve one share first of all.
    last: Turn,
    /// How many lanes all of them remember.
    lanes: usize,
    /// What was chosen, until its lease is observed.
    chosen: Option<(Choice, Offer)>,
}

impl Turns {
    pub(super) fn of(&self, offer: &Offer) -> &Turn {
        self.by_offer.get(offer).unwrap_or(&self.last)
    }

    /// An instance was leased.
    pub(super) fn leased(&mut self, state: &State, id: InstanceId) {
        let Some((chosen, offer)) = self.chosen.take() else { return };
        let Some(instance) = state.instance(id).filter(|_| chosen.instance == id) else { return };
        let known = self.by_offer.contains_key(&offer);
        if (!known && self.by_offer.len() >= TURNS_MAX) || self.lanes >= TURN_LANES_MAX {
            self.by_offer.clear();
            self.lanes = 0;
        }
        let turn = self.by_offer.entry(offer).or_insert_with(|| self.last.clone());
        let before = turn.lanes_len();
        turn.served(instance.line(), chosen.lanes);
        self.lanes = self.lanes + turn.lanes_len() - before;
        self.last = turn.begin();
    }
}

impl Fleet {
    /// The next lease to grant, while an agent is free for which something waits: decide it, apply and observe its events,
    /// and ask again.
    ///
    /// Agents that offer least choose first, so that special machines stay free; of these the one with most free slots. A job for
    /// which no agent has room lets others pass, but for so long only: then one agent takes nothing until it has room for it.
    /// What a call costs depends on how many different label sets are offered by free agents for which nothing waits, and
    /// on how many sets fit the one for which something does; not on how many instances or agents there are.
    #[must_use]
    pub fn next_grant(&mut self, state: &State, now: Timestamp) -> Option<Grant> {
        self.turns.chosen = None;
        if state.epoch() == 0 || state.waiting_len() == 0 {
            return None;
        }
        let kept = self.kept_free(state, now);
        let choices = self.free.iter().filter_map(|(class, agents)| {
            let agents = agents.iter().map(|(_, id)| *id).filter(|id| !kept.contains(id));
            let (agent, choice) = self.choose(state, class, agents, now)?;
            Some((class, agent, choice))
        });
        let (class, id, choice) = { choices }.next()?;
        let now_offered = class.now_offered();
        let (labels, accepts_untrusted) = (now_offered.labels.clone(), now_offered.accepts_untrusted);
        self.turns.chosen = choice.turn.then_some((choice, now_offered));
        Some(Grant { agent: AgentView { id, labels, accepts_untrusted }, instance: choice.instance })
    }

    /// The first of these agents that gets something, and what.
    fn choose(
        &self,
        state: &State,
        class: &Class,
        mut agents: impl Iterator<Item = AgentId>,
        now: Timestamp,
    ) -> Option<(AgentId, Choice)> {
        let queues = state.queues.fitting(&class.open, class.offer.accepts_untrusted);
        let first = agents.next().filter(|_| !queues.is_empty())?;
        let turn = self.turns.of(&class.now_offered());
        let mut free = std::iter::once(first).chain(agents).take(AGENT_SCAN_MAX);
        free.find_map(|agent| Some((agent, choose(&queues, turn, agent, now)?)))
    }
    /// Agents that take nothing for now: for each job whose turn it is, which has waited for room for long and has none, the one that
    /// comes closest. Which that is does not change by what it does not take, so that the room grows until it is enough. Others go on:
    /// without that rule a stream of small jobs would keep a large one waiting for good, with more agents held it would cost the rest dear.
    fn kept_free(&self, state: &State, now: Timestamp) -> BTreeSet<AgentId> {
        let mut closest: BTreeMap<InstanceId, (Resources, AgentId)> = BTreeMap::new();
        for (Class { offer, open }, agents) in &self.free {
            if open.len() == offer.labels.len() {
                continue;
            }
            let Some((_, id)) = agents.first() else { continue };
            let queues = state.queues.fitting(&offer.labels, offer.accepts_untrusted);
            let next = choose(&queues, self.turns.of(offer), *id, now);
            let Some(instance) = next.and_then(|next| state.instance(next.instance)) else { continue };
            if instance.labels().fits(open) || now.since(instance.since) < ROOM_PATIENCE_MS {
                continue;
            }
            let Some(agent) = self.agent(*id) else { continue };
            let Some(sizing) = &agent.profile.sizing else { continue };
            let candidate = (sizing.total.minus(agent.used), *id);
            let best = closest.entry(instance.id()).or_insert(candidate);
            if candidate.0 > best.0 {
                *best = candidate;
            }
        }
        closest.into_values().map(|(_, id)| id).collect()
    }
}
