//! The soft side: agents, their sessions and free slots, and when leases end. Never journaled; pure like the rest.
//!
//! A driver feeds it what agents say ([`Fleet::hello`], [`Fleet::renew`], [`Fleet::disconnect`]) and each applied event
//! ([`Fleet::observe`]), and asks it what to do ([`Fleet::next_grant`], [`Fleet::due`]) and when ([`Fleet::next_wakeup`]).
//!
//! Invariant: it watches exactly the live leases of the state. A new or restarted leader begins with
//! [`Fleet::recover`]: every open lease counts as renewed then, for that lease's full time.
//! Deliberately absent: any authority. Losing all of it loses time, never a job: what counts is the state, and each
//! command that comes from here is decided there.

mod durations;
mod lease;
mod matching;
mod session;
mod sizing;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub use session::{AgentProfile, AgentStatus, FleetFull, Hello, Renewal, Renewed};
pub use sizing::{Resources, Sizing};

use crate::ids::{AgentId, InstanceId};
use crate::label::LabelSet;
use crate::state::queue::Order;
use crate::state::{Instance, State};
use crate::time::Timestamp;
use durations::Durations;
use lease::Watch;
use matching::Turns;
use session::Agent;

/// The agents that the leader knows, and the clocks of their leases.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    agents: BTreeMap<AgentId, Agent>,
    watches: BTreeMap<InstanceId, Watch>,
    /// Which leases each agent has; of agents not (yet) heard of, too.
    held: BTreeMap<AgentId, BTreeSet<InstanceId>>,
    /// Both clocks of each lease: its end, and the end of its job's time limit.
    deadlines: BTreeSet<(crate::Uptime, Clock, InstanceId)>,
    /// Agents that would take a job; most free slots first.
    free: BTreeMap<Class, BTreeSet<(Reverse<u32>, AgentId)>>,
    turns: Turns,
    durations: Durations,
    last_session: u64,
}

/// What a class of agents offers. Those that offer least come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    count: usize,
    labels: LabelSet,
    accepts_untrusted: bool,
}

/// Agents that offer the same, and the same of it now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    offer: Offer,
    /// The labels without those of sizes for which there is no room now.
    open: LabelSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    Lease,
    Limit,
}

impl Fleet {
    /// No agents, no leases.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every agent that is known, also those whose session has ended.
    pub fn agents(&self) -> impl Iterator<Item = AgentStatus<'_>> {
        self.agents.values().map(|agent| self.status(agent))
    }

    /// The agent of this id.
    #[must_use]
    pub fn agent(&self, id: AgentId) -> Option<AgentStatus<'_>> {
        self.agents.get(&id).map(|agent| self.status(agent))
    }

    /// Its place among all that wait for agents of this kind, from 1; see [`crate::limits::POSITION_MAX`].
    pub(crate) fn position(
        &self,
        state: &State,
        agent: &AgentProfile,
        instance: &Instance,
        now: Timestamp,
    ) -> usize {
        let queues = state.queues.fitting(&agent.labels, agent.accepts_untrusted);
        let weight = |id| state.instance(id).map_or(1, |instance| instance.line().weight());
        Order { queues, turn: self.turns.of(&Offer::of(agent)), weight }.position(instance, now)
    }

    /// An agent whose jobs take more than it has; there is none unless one came back with less. For tests.
    #[must_use]
    pub fn overcommitted(&self) -> Option<AgentId> {
        let over = |agent: &&Agent| {
            let total = agent.profile.sizing.as_ref().map(|sizing| sizing.total);
            total.is_some_and(|total| !self.used_of(&agent.profile).fits(total))
        };
        self.agents.values().find(over).map(|agent| agent.profile.id)
    }

    /// How long jobs with these labels take, in milliseconds, as far as it is known.
    #[must_use]
    pub fn usual_duration_ms(&self, labels: &LabelSet) -> Option<u64> {
        self.durations.usual_ms(labels)
    }

    fn held_by(&self, agent: AgentId) -> u32 {
        self.held.get(&agent).map_or(0, |held| held.len() as u32)
    }

    fn free_of(&self, agent: &Agent) -> u32 {
        let usable = agent.session.is_some() && !agent.draining && agent.paused.is_none() && !agent.full;
        if !usable {
            return 0;
        }
        let slots = agent.profile.slots.saturating_sub(self.held_by(agent.profile.id));
        let room = agent.profile.sizing.as_ref().map(|sizing| sizing.room(self.used_of(&agent.profile)));
        room.map_or(slots, |room| slots.min(room))
    }

    /// What the jobs of an agent take of its processors and memory; nothing where it has no sizes.
    fn used_of(&self, profile: &AgentProfile) -> Resources {
        let Some(sizing) = &profile.sizing else { return Resources::default() };
        let held = self.held.get(&profile.id).into_iter().flatten();
        let watches = held.filter_map(|instance| self.watches.get(instance));
        watches.fold(Resources::default(), |used, watch| used.plus(sizing.request(&watch.labels)))
    }

    fn class_of(&self, agent: &Agent) -> Class {
        let profile = &agent.profile;
        let open = match &profile.sizing {
            Some(sizing) => sizing.open(self.used_of(profile), &profile.labels),
            None => profile.labels.clone(),
        };
        Class { offer: Offer::of(profile), open }
    }

    fn status<'a>(&'a self, agent: &'a Agent) -> AgentStatus<'a> {
        AgentStatus {
            profile: &agent.profile,
            connected: agent.session.is_some(),
            draining: agent.draining,
            paused: agent.paused.as_deref(),
            leases: self.held_by(agent.profile.id),
            free_slots: self.free_of(agent),
            used: self.used_of(&agent.profile),
        }
    }

    /// Runs `change` on an agent or its leases and keeps the index of free agents in step.
    fn reindex<R>(&mut self, id: AgentId, change: impl FnOnce(&mut Self) -> R) -> R {
        self.unlist(id);
        let result = change(self);
        self.list(id);
        result
    }

    fn unlist(&mut self, id: AgentId) {
        let Some(agent) = self.agents.get(&id) else { return };
        let (class, entry) = (self.class_of(agent), (Reverse(self.free_of(agent)), id));
        if let Some(agents) = self.free.get_mut(&class) {
            agents.remove(&entry);
            if agents.is_empty() {
                self.free.remove(&class);
            }
        }
    }

    fn list(&mut self, id: AgentId) {
        let Some(agent) = self.agents.get(&id) else { return };
        let free = self.free_of(agent);
        if free > 0 {
            self.free.entry(self.class_of(agent)).or_default().insert((Reverse(free), id));
        }
    }
}

impl Class {
    /// What its agents offer now: a kind of its own when it comes to turns, for others wait for it.
    fn now_offered(&self) -> Offer {
        Offer { count: self.open.len(), labels: self.open.clone(), ..self.offer.clone() }
    }
}

impl Offer {
    fn of(profile: &AgentProfile) -> Self {
        Self {
            count: profile.labels.len(),
            labels: profile.labels.clone(),
            accepts_untrusted: profile.accepts_untrusted,
        }
    }
}
