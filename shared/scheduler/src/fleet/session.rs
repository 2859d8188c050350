//! Agents coming, renewing and going.

use crate::command::{Command, Expire, LeaseRef};
use crate::fleet::{Fleet, Resources, Sizing};
use crate::ids::AgentId;
use crate::label::LabelSet;
use crate::limits::{AGENTS_MAX, LABELS_MAX, LEASES_PRESENTED_MAX, SLOTS_PER_AGENT_MAX};
use crate::outcome::FleetCause;
use crate::state::{Instance, State};
use crate::time::Uptime;

/// Who an agent is and what it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentProfile {
    /// Its id, over all its sessions.
    pub id: AgentId,
    /// What people call it.
    pub name: String,
    /// What it offers, its architecture included.
    pub labels: LabelSet,
    /// How many jobs it runs at a time; more than [`SLOTS_PER_AGENT_MAX`] counts as that.
    pub slots: u32,
    /// Whether it runs untrusted runs too.
    pub accepts_untrusted: bool,
    /// Its processors and memory, where it counts them: then a job needs room there beside a slot. More sizes than [`LABELS_MAX`] are
    /// not looked at.
    pub sizing: Option<Sizing>,
}

impl AgentProfile {
    /// How many slots' worth of the agent a job with these labels takes: one, or more where it takes more than a slot's share of its
    /// processors or memory.
    #[must_use]
    pub fn slots_worth(&self, labels: &LabelSet) -> u32 {
        self.sizing.as_ref().map_or(1, |sizing| sizing.slots_worth(sizing.request(labels), self.slots))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub(super) profile: AgentProfile,
    /// The number of its session, while it has one.
    pub(super) session: Option<u64>,
    pub(super) draining: bool,
    /// Why it takes no new jobs for now, where it said so.
    pub(super) paused: Option<String>,
    /// It declined a lease and has not been heard of since, nor has one of its leases ended.
    pub(super) full: bool,
}

/// An agent as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentStatus<'a> {
    /// Who it is.
    pub profile: &'a AgentProfile,
    /// Whether it has a session.
    pub connected: bool,
    /// Whether it takes no new jobs.
    pub draining: bool,
    /// Why it takes no new jobs for now, by its own account: a full disk.
    pub paused: Option<&'a str>,
    /// How many leases it has.
    pub leases: u32,
    /// How many more it would take now, of no particular size.
    pub free_slots: u32,
    /// What its jobs take of its processors and memory; nothing where it does not count them.
    pub used: Resources,
}

impl AgentStatus<'_> {
    /// Whether it would take a job with these labels, all of which it has.
    #[must_use]
    pub fn would_take(&self, labels: &LabelSet) -> bool {
        let room = self
            .profile
            .sizing
            .as_ref()
            .is_none_or(|sizing| sizing.request(labels).fits(sizing.total.minus(self.used)));
        self.has_slot() && room && self.free_slots > 0
    }

    /// How many slots' worth of it its jobs take.
    #[must_use]
    pub fn slots_taken(&self) -> u32 {
        let worth =
            self.profile.sizing.as_ref().map(|sizing| sizing.slots_worth(self.used, self.profile.slots));
        worth.unwrap_or_default().max(self.leases)
    }

    /// Whether a slot of it has no job.
    #[must_use]
    pub const fn has_slot(&self) -> bool {
        self.leases < self.profile.slots
    }
}

/// What to tell an agent that says hello, and what to do about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hello {
    /// The number of its new session: later calls for it carry this.
    pub session: u64,
    /// Goes on: the lease is live and was renewed.
    pub keep: Vec<Renewed>,
    /// Is to stop: the lease is not live, or not this agent's.
    pub stop: Vec<LeaseRef>,
    /// Is to be assigned (again): the lease is live, but it seems the agent was never told of it.
    pub assign: Vec<LeaseRef>,
    /// To be decided: the agent had these jobs and lost them.
    pub lost: Vec<Command>,
}

/// A lease that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The lease.
    pub lease: LeaseRef,
    /// Its full time in milliseconds. Here it counts from when the check began; at the agent, from when it sent the
    /// request.
    pub lease_ms: u64,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Renewed, each for its full time.
    pub renewed: Vec<Renewed>,
    /// Not this agent's (any more): it stops them.
    pub stop: Vec<LeaseRef>,
}

/// There are [`AGENTS_MAX`] agents, and none can be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator knows {AGENTS_MAX} agents, its limit: remove some")]
pub struct FleetFull;

impl Fleet {
    /// An agent opens a session and presents the leases that it holds. A session it had before is over.
    ///
    /// `checked_at` is when the check against the journal, that this leader's epoch stands, began.
    ///
    /// # Errors
    /// [`FleetFull`] when there is no room for another agent.
    pub fn hello(
        &mut self,
        state: &State,
        mut profile: AgentProfile,
        presented: &[LeaseRef],
        checked_at: Uptime,
    ) -> Result<Hello, FleetFull> {
        let id = profile.id;
        self.make_room(id)?;
        profile.slots = profile.slots.min(SLOTS_PER_AGENT_MAX);
        if let Some(sizing) = &mut profile.sizing {
            while sizing.sizes.len() > LABELS_MAX {
                sizing.sizes.pop_last();
            }
        }
        self.last_session += 1;
        let session = self.last_session;
        self.reindex(id, |fleet| {
            let (session, draining, paused, full) = (Some(session), false, None, false);
            fleet.agents.insert(id, Agent { profile, session, draining, paused, full });
        });
        let Renewal { renewed: keep, stop } = self.renew_leases(id, presented, checked_at);
        let mut hello = Hello { session, keep, stop, ..Hello::default() };
        for instance in self.held.get(&id).into_iter().flatten() {
            let Some(watch) = self.watches.get(instance) else { continue };
            if presented.contains(&watch.lease) {
                continue;
            }
            let instance = state.leased(&watch.lease);
            if !watch.confirmed && !instance.is_some_and(step_began) {
                hello.assign.push(watch.lease);
            } else if !instance.is_some_and(|instance| instance.definition().strict) {
                let expire = Expire { lease: watch.lease, cause: FleetCause::AgentLost };
                hello.lost.push(Command::Expire(expire));
            }
            // A strict one runs to its end: this hello may be an old one that came late, and the job may be running.
        }
        Ok(hello)
    }

    /// An agent renews the leases that it holds. `None`: this is not its current session; it is to say hello again.
    ///
    /// `checked_at` is when the check against the journal, that this leader's epoch stands, began: the renewed time
    /// counts from there.
    pub fn renew(
        &mut self,
        agent: AgentId,
        session: u64,
        presented: &[LeaseRef],
        checked_at: Uptime,
    ) -> Option<Renewal> {
        if !self.is_current(agent, session) {
            return None;
        }
        self.set_full(agent, false);
        Some(self.renew_leases(agent, presented, checked_at))
    }

    fn renew_leases(&mut self, agent: AgentId, presented: &[LeaseRef], checked_at: Uptime) -> Renewal {
        let mut answer = Renewal::default();
        for lease in presented.iter().take(LEASES_PRESENTED_MAX) {
            let live = self.watches.get_mut(&lease.instance).filter(|watch| watch.is(lease, agent));
            if let Some(watch) = live {
                watch.confirmed = true;
                let lease_ms = watch.lease_ms;
                let end = watch.deadline.max(checked_at.after(lease_ms));
                self.set_deadline(lease.instance, end);
                answer.renewed.push(Renewed { lease: *lease, lease_ms });
            } else {
                answer.stop.push(*lease);
            }
        }
        answer
    }

    /// An agent's session ended. Its leases run on to their ends. A session that is not its current one is no news.
    pub fn disconnect(&mut self, agent: AgentId, session: u64) {
        self.reindex(agent, |fleet| {
            if let Some(agent) = fleet.agents.get_mut(&agent).filter(|agent| agent.session == Some(session)) {
                agent.session = None;
            }
        });
    }

    /// An agent takes no new jobs (until its next hello), or takes them again.
    pub fn set_draining(&mut self, agent: AgentId, draining: bool) {
        self.reindex(agent, |fleet| {
            if let Some(agent) = fleet.agents.get_mut(&agent) {
                agent.draining = draining;
            }
        });
    }

    /// An agent takes no new jobs for now, for this reason (until its next hello), or takes them again.
    pub fn set_paused(&mut self, agent: AgentId, paused: Option<String>) {
        self.reindex(agent, |fleet| {
            if let Some(agent) = fleet.agents.get_mut(&agent) {
                agent.paused = paused;
            }
        });
    }

    /// Whether the agent gets no lease for now because it declined one.
    pub(super) fn set_full(&mut self, agent: AgentId, full: bool) {
        if self.agents.get(&agent).is_none_or(|agent| agent.full == full) {
            return;
        }
        self.reindex(agent, |fleet| {
            if let Some(agent) = fleet.agents.get_mut(&agent) {
                agent.full = full;
            }
        });
    }

    /// Whether this is the agent's current session.
    #[must_use]
    pub fn is_current(&self, agent: AgentId, session: u64) -> bool {
        self.agents.get(&agent).is_some_and(|agent| agent.session == Some(session))
    }

    /// Forgets an agent without session and leases; says whether it did.
    pub fn remove(&mut self, agent: AgentId) -> bool {
        let gone = self.agents.get(&agent).is_some_and(|agent| agent.session.is_none());
        let forget = gone && self.held_by(agent) == 0;
        if forget {
            self.agents.remove(&agent);
        }
        forget
    }

    fn make_room(&mut self, newcomer: AgentId) -> Result<(), FleetFull> {
        if self.agents.len() < AGENTS_MAX || self.agents.contains_key(&newcomer) {
            return Ok(());
        }
        let held = &self.held;
        self.agents.retain(|id, agent| agent.session.is_some() || held.contains_key(id));
        if self.agents.len() < AGENTS_MAX { Ok(()) } else { Err(FleetFull) }
    }
}

fn step_began(instance: &Instance) -> bool {
    instance.attempts().last().is_some_and(|attempt| attempt.step_began)
}
