//! An agent's process: its session, its leases with the real guard, and what it does when it is told.

use std::collections::{BTreeMap, VecDeque};

use slipway_agent::session::guard::{Guard, LeaseTerms};
use slipway_coordinator::driver::message::{RunLease, ToAgent};
use slipway_coordinator::driver::{AgentHello, FromAgent};
use slipway_kit::clock::Clock as _;
use slipway_scheduler::fleet::AgentProfile;
use slipway_scheduler::{InstanceId, Uptime};

use super::host::HostClock;
use super::jobs::Job;
use super::link::{Down, Link, Up};
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::sabotage::Sabotage;

/// How often it looks at its jobs.
const TICK_MS: u64 = 1_000;
/// How long it waits for a Welcome.
const WELCOME_MS: u64 = 10_000;

/// A renewal that was sent: its number, when, and of what.
type Renewal = (u64, u64, Vec<RunLease>);

pub(crate) struct Agent {
    pub(crate) profile: AgentProfile,
    pub(crate) clock: HostClock,
    pub(crate) up: bool,
    pub(crate) paused_until: Uptime,
    pub(crate) cut_up_until: Uptime,
    pub(crate) cut_down_until: Uptime,
    pub(crate) terms: LeaseTerms,
    pub(crate) jobs: BTreeMap<InstanceId, Job>,
    /// Its connection, and when its hello was sent, by its own clock; `true` once it was welcomed.
    link: Option<(u64, u64, bool)>,
    opened_at: Uptime,
    dial_at: Uptime,
    next_site: usize,
    draining: bool,
    answered_ms: u64,
    renewals: VecDeque<Renewal>,
    next_renewal: u64,
    renewed_at_ms: u64,
    declined: bool,
}

impl Agent {
    pub(crate) fn new(profile: AgentProfile, clock: HostClock) -> Self {
        Self {
            profile,
            clock,
            up: true,
            paused_until: Uptime(0),
            cut_up_until: Uptime(0),
            cut_down_until: Uptime(0),
            terms: LeaseTerms::default(),
            jobs: BTreeMap::new(),
            link: None,
            opened_at: Uptime(0),
            dial_at: Uptime(0),
            next_site: 0,
            draining: false,
            answered_ms: 0,
            renewals: VecDeque::new(),
            next_renewal: 1,
            renewed_at_ms: 0,
            declined: false,
        }
    }

    /// Its connection, once it was welcomed over it.
    pub(crate) fn welcomed(&self) -> Option<u64> {
        self.link.filter(|(_, _, welcomed)| *welcomed && self.up).map(|(id, _, _)| id)
    }

    fn held(&self) -> Vec<RunLease> {
        self.jobs.values().map(|job| job.lease).collect()
    }

    /// The process is gone; its containers are not.
    pub(crate) fn die(&mut self) -> Option<u64> {
        self.up = false;
        self.renewals.clear();
        self.link.take().map(|(id, _, _)| id)
    }

    /// A new process finds the jobs of the one before.
    pub(crate) fn come_back(&mut self) {
        let now_ms = self.clock.boottime_ms();
        (self.up, self.draining, self.dial_at) = (true, false, Uptime(0));
        for job in self.jobs.values_mut() {
            job.guard = Guard::adopted(job.strict, now_ms);
            job.asked_at = None;
        }
    }
}

impl World {
    pub(crate) fn agent_tick(&mut self, at: usize) {
        self.schedule(TICK_MS, Action::AgentTick(at));
        if !self.agents[at].up || self.agents[at].paused_until > self.now {
            return;
        }
        self.watch_leases(at);
        match self.agents[at].link {
            None if self.agents[at].dial_at <= self.now => self.dial(at),
            Some((id, _, false)) if self.now.since(self.agents[at].opened_at) > WELCOME_MS => {
                self.hang_up(at, id)
            }
            Some((id, _, true)) => self.serve(at, id),
            _ => {}
        }
    }

    fn serve(&mut self, at: usize, id: u64) {
        let agent = &mut self.agents[at];
        let now_ms = agent.clock.boottime_ms();
        let (holds, unanswered) = (!agent.jobs.is_empty(), !agent.renewals.is_empty());
        let after_ms = agent.terms.renew_after_ms(holds, agent.declined, unanswered);
        if now_ms >= agent.renewed_at_ms + after_ms {
            let oldest = agent.renewals.front().map(|(_, sent_ms, _)| *sent_ms);
            if agent.terms.is_silent(oldest, now_ms) {
                return self.hang_up(at, id);
            }
            self.renew(at, id);
        }
        self.say_unanswered(at);
    }

    pub(crate) fn renew(&mut self, at: usize, id: u64) {
        let agent = &mut self.agents[at];
        let now_ms = agent.clock.boottime_ms();
        (agent.renewed_at_ms, agent.declined) = (now_ms, false);
        let (number, leases) = (agent.next_renewal, agent.held());
        agent.next_renewal += 1;
        agent.renewals.push_back((number, now_ms, leases.clone()));
        self.send_up(id, Up::Said(Box::new(FromAgent::Renew { number, leases, lease_ms: 0 })));
    }

    fn watch_leases(&mut self, at: usize) {
        let agent = &self.agents[at];
        let now_ms = agent.clock.boottime_ms();
        let over =
            agent.jobs.values().filter(|job| job.ended.is_none() && job.guard.expired(&agent.terms, now_ms));
        let over: Vec<RunLease> = over.map(|job| job.lease).collect();
        if self.script.sabotage != Some(Sabotage::IgnoreStopTime) {
            over.into_iter().for_each(|lease| self.stop_job(at, lease));
        }
    }

    fn dial(&mut self, at: usize) {
        let site = self.agents[at].next_site % self.sites.len();
        self.agents[at].next_site = site + 1;
        self.last_link += 1;
        let (id, process) = (self.last_link, self.sites[site].process);
        self.links.insert(id, Link::new(at, site, process));
        let agent = &mut self.agents[at];
        agent.link = Some((id, agent.clock.boottime_ms(), false));
        agent.opened_at = self.now;
        let (profile, held, draining) = (agent.profile.clone(), agent.held(), agent.draining);
        self.send_up(id, Up::Hello(Box::new(AgentHello { profile, held, draining })));
    }

    /// The agent gives a connection up. What it sent over it may still arrive.
    pub(crate) fn hang_up(&mut self, at: usize, id: u64) {
        self.send_up(id, Up::Closed);
        if let Some(link) = self.links.get_mut(&id) {
            link.down_broken = true;
        }
        let agent = &mut self.agents[at];
        if agent.link.is_some_and(|(other, _, _)| other == id) {
            agent.link = None;
            agent.renewals.clear();
            agent.dial_at = self.now.after(self.random.between(50, 1_500));
        }
    }

    pub(crate) fn agent_hears(&mut self, at: usize, id: u64, message: Down) -> Result<(), Broken> {
        let agent = &self.agents[at];
        if agent.paused_until > self.now {
            let until = agent.paused_until;
            self.hold_down(id, until, message);
            return Ok(());
        }
        let Some((_, sent_ms, welcomed)) = agent.link.filter(|(other, _, _)| *other == id && agent.up) else {
            return Ok(());
        };
        let Down::Told(told) = message else {
            self.hang_up(at, id);
            return Ok(());
        };
        match *told {
            ToAgent::Welcome { lease_ms, kept, .. } => return self.welcome(at, id, sent_ms, lease_ms, &kept),
            _ if !welcomed => {}
            ToAgent::Assign { lease, strict, lease_ms, .. } => {
                return self.assigned(at, id, lease, strict, lease_ms);
            }
            ToAgent::Renewed { number, leases, .. } => return self.renewed(at, number, &leases),
            ToAgent::Cancel { lease, .. } => self.cancelled(at, lease),
            ToAgent::Stop { lease, .. } | ToAgent::Accepted { lease } => self.stop_job(at, lease),
            ToAgent::BeginStep { lease } => {
                let job = self.agents[at].jobs.get_mut(&lease.lease.instance);
                if let Some(job) = job.filter(|job| job.lease == lease) {
                    job.begin = true;
                    return self.try_begin(at, lease);
                }
            }
            ToAgent::Drain { on } => {
                let agent = &mut self.agents[at];
                if std::mem::replace(&mut agent.draining, on) != on {
                    let slots = agent.profile.slots;
                    self.send_up(id, Up::Said(Box::new(FromAgent::Capacity { slots, draining: on })));
                }
            }
        }
        Ok(())
    }

    fn welcome(
        &mut self,
        at: usize,
        id: u64,
        sent_ms: u64,
        lease_ms: u64,
        kept: &[RunLease],
    ) -> Result<(), Broken> {
        let agent = &mut self.agents[at];
        agent.link = Some((id, sent_ms, true));
        agent.terms.lease_ms = lease_ms;
        agent.answered_ms = sent_ms;
        agent.renewed_at_ms = agent.clock.boottime_ms();
        agent.renewals.clear();
        // It found the leader: that is where it is asked for first the next time.
        agent.next_site = agent.next_site.saturating_sub(1);
        for lease in self.agents[at].held() {
            match kept.contains(&lease) {
                true => self.prolong(at, lease, sent_ms),
                false => self.stop_job(at, lease),
            }
        }
        self.tell_stop_times(at);
        for lease in self.agents[at].held() {
            self.try_begin(at, lease)?;
        }
        self.agents[at].jobs.values_mut().for_each(|job| job.asked_at = None);
        self.say_unanswered(at);
        Ok(())
    }

    fn prolong(&mut self, at: usize, lease: RunLease, sent_ms: u64) {
        let agent = &mut self.agents[at];
        if let Some(job) = agent.jobs.get_mut(&lease.lease.instance).filter(|job| job.lease == lease) {
            job.guard.renewed(sent_ms, agent.terms.lease_ms);
        }
    }

    fn renewed(&mut self, at: usize, number: u64, leases: &[RunLease]) -> Result<(), Broken> {
        let agent = &mut self.agents[at];
        let Some(place) = agent.renewals.iter().position(|(other, _, _)| *other == number) else {
            return Ok(());
        };
        // Answers come in order: what was sent before this one won't be answered any more.
        let Some((_, sent_ms, presented)) = agent.renewals.drain(..=place).next_back() else { return Ok(()) };
        agent.answered_ms = sent_ms;
        for lease in presented {
            if leases.contains(&lease) {
                self.prolong(at, lease, sent_ms);
            } else {
                self.stop_job(at, lease);
            }
        }
        self.tell_stop_times(at);
        leases.iter().try_for_each(|lease| self.try_begin(at, *lease))
    }

    fn assigned(
        &mut self,
        at: usize,
        id: u64,
        lease: RunLease,
        strict: bool,
        lease_ms: u64,
    ) -> Result<(), Broken> {
        let agent = &self.agents[at];
        let busy = agent.jobs.values().filter(|job| job.ended.is_none()).count();
        let refuses = match agent.jobs.get(&lease.lease.instance) {
            Some(job) if job.lease == lease => return Ok(()),
            Some(_) => true,
            None => agent.draining || busy >= agent.profile.slots as usize,
        };
        if refuses || self.strike(Fault::Decline).is_some() {
            self.agents[at].declined = true;
            let reason = String::new();
            self.send_up(id, Up::Said(Box::new(FromAgent::Decline { lease, reason })));
            return Ok(());
        }
        let agent = &self.agents[at];
        let now_ms = agent.clock.boottime_ms();
        let guard = Guard::granted(strict, agent.answered_ms, now_ms, lease_ms, &agent.terms);
        self.take_job(at, lease, strict, guard)?;
        // As the real one: the job's time counts anew from a renewal that names it.
        if self.agents[at].link.is_some_and(|(other, _, _)| other == id) {
            self.renew(at, id);
        }
        Ok(())
    }
}
