//! Which agent gets the next lease, and which instance.

use std::collections::BTreeMap;

use crate::command::{AgentView, Grant};
use crate::fleet::{Fleet, Offer};
use crate::ids::{AgentId, InstanceId};
use crate::limits::{AGENT_SCAN_MAX, TURN_LANES_MAX, TURNS_MAX};
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
    /// Agents that offer least choose first, so that special machines stay free; of these the one with most free slots.
    /// What a call costs depends on how many different label sets are offered by free agents for which nothing waits, and
    /// on how many sets fit the one for which something does; not on how many instances or agents there are.
    #[must_use]
    pub fn next_grant(&mut self, state: &State, now: Timestamp) -> Option<Grant> {
        self.turns.chosen = None;
        if state.epoch() == 0 || state.waiting_len() == 0 {
            return None;
        }
        let choices = self.free.iter().filter_map(|(offer, agents)| {
            let (agent, choice) = self.choose(state, offer, agents.iter().map(|(_, id)| *id), now)?;
            Some((offer, agent, choice))
        });
        let (offer, id, choice) = { choices }.next()?;
        let (labels, accepts_untrusted) = (offer.labels.clone(), offer.accepts_untrusted);
        self.turns.chosen = choice.turn.then(|| (choice, offer.clone()));
        Some(Grant { agent: AgentView { id, labels, accepts_untrusted }, instance: choice.instance })
    }

    /// The first of these agents that gets something, and what.
    fn choose(
        &self,
        state: &State,
        offer: &Offer,
        mut agents: impl Iterator<Item = AgentId>,
        now: Timestamp,
    ) -> Option<(AgentId, Choice)> {
        let queues = state.queues.fitting(&offer.labels, offer.accepts_untrusted);
        let first = agents.next().filter(|_| !queues.is_empty())?;
        let turn = self.turns.of(offer);
        let mut free = std::iter::once(first).chain(agents).take(AGENT_SCAN_MAX);
        free.find_map(|agent| Some((agent, choose(&queues, turn, agent, now)?)))
    }
}
