//! The clocks of live leases.

use crate::command::{Command, Expire, LeaseRef};
use crate::event::Event;
use crate::fleet::{Clock, Fleet};
use crate::ids::{AgentId, InstanceId};
use crate::label::LabelSet;
use crate::limits::{CANCEL_MS, LEASE_MS, RENEW_MS, TIMEOUT_MARGIN_MS};
use crate::outcome::FleetCause;
use crate::state::{Instance, State};
use crate::time::{Timestamp, Uptime};

#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) lease: LeaseRef,
    pub(super) agent: AgentId,
    /// What its job asks for.
    pub(super) labels: LabelSet,
    pub(super) lease_ms: u64,
    /// When the lease ends.
    pub(super) deadline: Uptime,
    /// When the coordinator ends the job itself.
    pub(super) limit: Uptime,
    /// Whether the agent has shown that it knows of the lease.
    pub(super) confirmed: bool,
}

impl Watch {
    pub(super) fn is(&self, lease: &LeaseRef, agent: AgentId) -> bool {
        self.lease == *lease && self.agent == agent
    }
}

impl Fleet {
    /// The fleet of a leader that begins: it knows no agent yet, and every open lease counts as renewed.
    #[must_use]
    pub fn recover(state: &State, uptime: Uptime, now: Timestamp) -> Self {
        let mut fleet = Self::new();
        let leased = state.leases().filter_map(|(lease, agent)| Some((lease, agent, state.leased(&lease)?)));
        for (lease, agent, instance) in leased {
            let started_at = instance.attempts().last().map_or(now, |attempt| attempt.started_at);
            let total_ms = instance.definition().timeout_ms.saturating_add(TIMEOUT_MARGIN_MS);
            // The wall clock may have jumped meanwhile: never less than the margin.
            let left_ms = total_ms.saturating_sub(now.since(started_at)).max(TIMEOUT_MARGIN_MS);
            let labels = instance.labels().clone();
            fleet.watch(lease, agent, labels, instance.lease_ms().unwrap_or(LEASE_MS), left_ms, uptime);
            if instance.cancel().is_some() {
                fleet.limit(lease.instance, uptime.after(CANCEL_MS));
            }
        }
        fleet
    }

    /// Takes note of an event, after it was applied to `state`.
    pub fn observe(&mut self, state: &State, event: &Event, uptime: Uptime) {
        match event {
            Event::Leased { instance, attempt, agent, token, lease_ms, .. } => {
                let lease = LeaseRef { instance: *instance, attempt: *attempt, token: *token };
                let leased = state.instance(*instance);
                let timeout_ms = leased.map(Instance::definition).map_or(0, |it| it.timeout_ms);
                let labels = leased.map(|leased| leased.labels().clone()).unwrap_or_default();
                let limit_ms = timeout_ms.saturating_add(TIMEOUT_MARGIN_MS);
                self.watch(lease, *agent, labels, *lease_ms, limit_ms, uptime);
                self.turns.leased(state, *instance);
            }
            Event::LeaseExtended { lease, lease_ms } => {
                if let Some(watch) = self.watches.get_mut(&lease.instance) {
                    watch.lease_ms = *lease_ms;
                    let end = watch.deadline.max(uptime.after(*lease_ms));
                    self.set_deadline(lease.instance, end);
                }
            }
            Event::CancelRequested { lease, .. } => self.limit(lease.instance, uptime.after(CANCEL_MS)),
            Event::AttemptFinished { lease, outcome, at, .. } => {
                if let Some(instance) = state.instance(lease.instance) {
                    self.durations.ended(instance, lease.token, outcome, *at);
                }
                let agent = self.watches.get(&lease.instance).map(|watch| watch.agent);
                self.unwatch(lease.instance);
                if let Some(agent) = agent {
                    self.set_full(agent, false);
                }
            }
            Event::LeaseDeclined { lease, .. } => {
                let agent = self.watches.get(&lease.instance).map(|watch| watch.agent);
                self.unwatch(lease.instance);
                if let Some(agent) = agent {
                    self.set_full(agent, true);
                }
            }
            Event::EpochBegan { .. } => self.renew_all(uptime),
            _ => {}
        }
    }

    /// What is to be decided because a time has come: leases that ended, jobs far beyond their time limit. Each is named
    /// again a little later, should the decision not come about.
    pub fn due(&mut self, uptime: Uptime) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(&(at, clock, instance)) = self.deadlines.first() {
            if at > uptime {
                break;
            }
            let Some(watch) = self.watches.get(&instance) else {
                self.deadlines.pop_first();
                continue;
            };
            let again = uptime.after(RENEW_MS);
            match clock {
                Clock::Lease => {
                    let connected =
                        self.agents.get(&watch.agent).is_some_and(|agent| agent.session.is_some());
                    let cause = if connected { FleetCause::LeaseExpired } else { FleetCause::AgentLost };
                    commands.push(Command::Expire(Expire { lease: watch.lease, cause }));
                    self.set_deadline(instance, again);
                }
                Clock::Limit => {
                    commands.push(Command::TimeOutInstance(watch.lease));
                    self.set_limit(instance, again);
                }
            }
        }
        commands
    }

    /// When [`Fleet::due`] has something to say next.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Uptime> {
        self.deadlines.first().map(|(at, _, _)| *at)
    }

    /// When a live lease ends, unless it is renewed.
    #[must_use]
    pub fn deadline(&self, lease: &LeaseRef) -> Option<Uptime> {
        self.watches.get(&lease.instance).filter(|watch| watch.lease == *lease).map(|watch| watch.deadline)
    }

    /// The live leases that are watched, and who has them.
    pub fn watched(&self) -> impl Iterator<Item = (LeaseRef, AgentId)> {
        self.watches.values().map(|watch| (watch.lease, watch.agent))
    }

    fn watch(
        &mut self,
        lease: LeaseRef,
        agent: AgentId,
        labels: LabelSet,
        lease_ms: u64,
        limit_ms: u64,
        uptime: Uptime,
    ) {
        self.unwatch(lease.instance);
        let (deadline, limit) = (uptime.after(lease_ms), uptime.after(limit_ms));
        let watch = Watch { lease, agent, labels, lease_ms, deadline, limit, confirmed: false };
        self.reindex(agent, |fleet| {
            fleet.watches.insert(lease.instance, watch);
            fleet.held.entry(agent).or_default().insert(lease.instance);
        });
        self.deadlines.insert((deadline, Clock::Lease, lease.instance));
        self.deadlines.insert((limit, Clock::Limit, lease.instance));
    }

    fn unwatch(&mut self, instance: InstanceId) {
        let Some(agent) = self.watches.get(&instance).map(|watch| watch.agent) else { return };
        self.reindex(agent, |fleet| {
            if let Some(watch) = fleet.watches.remove(&instance) {
                fleet.deadlines.remove(&(watch.deadline, Clock::Lease, instance));
                fleet.deadlines.remove(&(watch.limit, Clock::Limit, instance));
            }
            if let Some(held) = fleet.held.get_mut(&agent) {
                held.remove(&instance);
                if held.is_empty() {
                    fleet.held.remove(&agent);
                }
            }
        });
    }

    fn renew_all(&mut self, uptime: Uptime) {
        let ends: Vec<_> = self
            .watches
            .iter()
            .map(|(instance, watch)| (*instance, watch.deadline.max(uptime.after(watch.lease_ms))))
            .collect();
        for (instance, end) in ends {
            self.set_deadline(instance, end);
        }
    }

    pub(super) fn set_deadline(&mut self, instance: InstanceId, end: Uptime) {
        if let Some(watch) = self.watches.get_mut(&instance) {
            self.deadlines.remove(&(watch.deadline, Clock::Lease, instance));
            watch.deadline = end;
            self.deadlines.insert((end, Clock::Lease, instance));
        }
    }

    fn set_limit(&mut self, instance: InstanceId, end: Uptime) {
        if let Some(watch) = self.watches.get_mut(&instance) {
            self.deadlines.remove(&(watch.limit, Clock::Limit, instance));
            watch.limit = end;
            self.deadlines.insert((end, Clock::Limit, instance));
        }
    }

    /// Brings the end of a job forward.
    fn limit(&mut self, instance: InstanceId, end: Uptime) {
        if self.watches.get(&instance).is_some_and(|watch| end < watch.limit) {
            self.set_limit(instance, end);
        }
    }
}
