//! Agents as the design wants them: they renew from when they *sent*, present what they hold, stop strict jobs in time, and
//! report until they are told that the report is durable.

use std::collections::BTreeMap;

use slipway_scheduler::command::{LeaseRef, Report};
use slipway_scheduler::fleet::{AgentProfile, Renewed};
use slipway_scheduler::limits::{LEASE_MARGIN_MS, RENEW_MS};
use slipway_scheduler::{FleetCause, InstanceId, Outcome, Uptime};

use super::message::{Assignment, ToAgent, ToCoordinator};
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::workload::{behaviour, fleet, sizing};

/// How long an agent waits for an answer before it opens a new session.
const SILENCE_MS: u64 = 3 * RENEW_MS;
/// How long an ordinary job goes on without a renewal.
const GRACE_MS: u64 = 600_000;

pub(crate) struct Agent {
    pub(crate) profile: AgentProfile,
    pub(crate) up: bool,
    pub(crate) cut: bool,
    session: Option<u64>,
    hellos: u64,
    heard_at: Uptime,
    pub(crate) jobs: BTreeMap<InstanceId, Job>,
}

pub(crate) struct Job {
    lease: LeaseRef,
    strict: bool,
    running: bool,
    /// The coordinator knows that a step begins.
    allowed: bool,
    /// Until when a strict job may run; when an ordinary one was renewed last.
    stop_at: Uptime,
    length_ms: u64,
    ends_at: Uptime,
    outcome: Outcome,
    hangs: bool,
    done: Option<Outcome>,
}

impl Agent {
    /// The first so many agents.
    pub(crate) fn fleet(count: usize) -> Vec<Self> {
        let agent = |profile| Self {
            profile,
            up: true,
            cut: false,
            session: None,
            hellos: 0,
            heard_at: Uptime(0),
            jobs: BTreeMap::new(),
        };
        let mut fleet = fleet(count);
        // One of them counts processors and memory.
        if let Some(first) = fleet.first_mut() {
            first.sizing = Some(sizing());
        }
        fleet.into_iter().map(agent).collect()
    }

    fn held(&self) -> Vec<LeaseRef> {
        self.jobs.values().map(|job| job.lease).collect()
    }

    pub(crate) fn go_down(&mut self) {
        self.up = false;
        self.session = None;
    }
}

impl World {
    pub(crate) fn agent_tick(&mut self, at: usize) {
        let now = self.now;
        self.schedule(RENEW_MS, Action::AgentTick(at));
        let agent = &mut self.agents[at];
        if !agent.up {
            return;
        }
        if now.since(agent.heard_at) > SILENCE_MS {
            agent.session = None;
        }
        let held = agent.held();
        let message = match agent.session {
            Some(session) => ToCoordinator::Renew { session, held, sent_at: now },
            None => {
                agent.hellos += 1;
                ToCoordinator::Hello { attempt: agent.hellos, held, sent_at: now }
            }
        };
        self.send_up(at, message);
        self.send_pending(at);
    }

    /// What has not been answered is said again.
    fn send_pending(&mut self, at: usize) {
        let pending: Vec<_> = self.agents[at]
            .jobs
            .values()
            .filter_map(|job| match job.done {
                Some(outcome) => Some(ToCoordinator::Report(Report {
                    lease: job.lease,
                    outcome,
                    records: 1,
                    records_digest: None,
                })),
                None if job.strict && !job.allowed => Some(ToCoordinator::StepBegan(job.lease)),
                None => None,
            })
            .collect();
        for message in pending {
            self.send_up(at, message);
        }
        if self.random.chance(5)
            && !self.healed
            && let Some(job) = self.agents[at].jobs.values().next()
        {
            let lease = job.lease;
            self.send_up(at, ToCoordinator::Extend(lease));
        }
    }

    pub(crate) fn agent_hears(&mut self, at: usize, message: ToAgent) -> Result<(), Broken> {
        let now = self.now;
        let agent = &mut self.agents[at];
        if !agent.up || agent.cut {
            return Ok(());
        }
        match message {
            ToAgent::Welcome { attempt, session, sent_at, keep, stop, assign } => {
                if attempt != agent.hellos || agent.session.is_some() {
                    return Ok(());
                }
                agent.session = Some(session);
                agent.heard_at = now;
                self.renewed(at, sent_at, &keep)?;
                self.stop_all(at, &stop);
                for assignment in assign {
                    self.assigned(at, assignment)?;
                }
            }
            ToAgent::SayHello { session } if agent.session == Some(session) => agent.session = None,
            ToAgent::Renewed { session, sent_at, renewed, stop } if agent.session == Some(session) => {
                agent.heard_at = now;
                self.renewed(at, sent_at, &renewed)?;
                self.stop_all(at, &stop);
            }
            ToAgent::Assign { session, assignment } if agent.session == Some(session) => {
                self.assigned(at, assignment)?;
            }
            ToAgent::Cancel { session, lease } if agent.session == Some(session) => {
                self.cancelled(at, &lease)
            }
            ToAgent::Stop { lease } | ToAgent::Accepted { lease } => self.stop_all(at, &[lease]),
            ToAgent::StepAllowed { lease } => {
                if let Some(job) = agent.jobs.get_mut(&lease.instance).filter(|job| job.lease == lease) {
                    job.allowed = true;
                    self.try_begin(at, &lease)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn renewed(&mut self, at: usize, sent_at: Uptime, leases: &[Renewed]) -> Result<(), Broken> {
        for Renewed { lease, lease_ms } in leases {
            let job = self.agents[at].jobs.get_mut(&lease.instance).filter(|job| job.lease == *lease);
            let Some(job) = job else { continue };
            let stop_at = if job.strict { sent_at.after(lease_ms - LEASE_MARGIN_MS) } else { self.now };
            job.stop_at = job.stop_at.max(stop_at);
            if !job.running {
                self.try_begin(at, lease)?;
            }
        }
        Ok(())
    }

    fn assigned(&mut self, at: usize, assignment: Assignment) -> Result<(), Broken> {
        let Assignment { lease, strict, timeout_ms } = assignment;
        if let Some(known) = self.agents[at].jobs.get(&lease.instance) {
            if known.lease.token >= lease.token {
                return Ok(());
            }
            let known = known.lease;
            self.stop_all(at, &[known]);
        }
        if self.strike(Fault::Decline).is_some() {
            self.send_up(at, ToCoordinator::Decline(lease));
            return Ok(());
        }
        let failure = self.strike(Fault::FleetFailure);
        let (high, low) = lease.instance.0.as_u64_pair();
        let mut random = Random::about(self.script.seed, &[high, low, u64::from(lease.attempt)]);
        let (mut length_ms, mut outcome) = behaviour(&mut random, failure);
        let hangs = self.strike(Fault::Hang).is_some();
        if !hangs && length_ms > timeout_ms {
            (length_ms, outcome) = (timeout_ms, Outcome::TimedOut);
        }
        let job = Job {
            lease,
            strict,
            running: false,
            allowed: false,
            stop_at: if strict { Uptime(0) } else { self.now },
            length_ms,
            ends_at: Uptime(u64::MAX),
            outcome,
            hangs,
            done: None,
        };
        self.agents[at].jobs.insert(lease.instance, job);
        if strict {
            // It may begin once the coordinator knows, and once a renewal says until when.
            let held = self.agents[at].held();
            if let Some(session) = self.agents[at].session {
                self.send_up(at, ToCoordinator::Renew { session, held, sent_at: self.now });
            }
            self.send_up(at, ToCoordinator::StepBegan(lease));
        }
        self.try_begin(at, &lease)
    }

    fn try_begin(&mut self, at: usize, lease: &LeaseRef) -> Result<(), Broken> {
        let now = self.now;
        let Some(job) = self.agents[at].jobs.get_mut(&lease.instance) else { return Ok(()) };
        let may = !job.strict || (job.allowed && now < job.stop_at);
        if job.lease != *lease || job.running || job.done.is_some() || !may {
            return Ok(());
        }
        job.running = true;
        let (strict, hangs, length_ms, stop_at) = (job.strict, job.hangs, job.length_ms, job.stop_at);
        if !hangs {
            job.ends_at = now.after(length_ms);
            self.schedule(length_ms, Action::JobEnds(at, *lease));
        }
        if strict {
            self.schedule(stop_at.since(now), Action::StrictStop(at, *lease));
            self.oracle.begin_strict(lease, at)?;
        }
        Ok(())
    }

    /// A container's own end: also when its agent is down.
    pub(crate) fn job_ends(&mut self, at: usize, lease: &LeaseRef) {
        let now = self.now;
        let job = self.agents[at].jobs.get_mut(&lease.instance);
        if let Some(job) = job.filter(|job| job.lease == *lease && job.running && job.ends_at <= now) {
            let outcome = job.outcome;
            self.finish(at, lease, outcome);
        }
    }

    /// The stop time that init holds: it counts also when the agent is down.
    pub(crate) fn strict_stop(&mut self, at: usize, lease: &LeaseRef) {
        let now = self.now;
        let job = self.agents[at].jobs.get(&lease.instance);
        let Some(job) = job.filter(|job| job.lease == *lease && job.done.is_none()) else { return };
        if job.stop_at > now {
            let left_ms = job.stop_at.since(now);
            self.schedule(left_ms, Action::StrictStop(at, *lease));
        } else {
            self.finish(at, lease, Outcome::Fleet { cause: FleetCause::LeaseExpired });
        }
    }

    pub(crate) fn give_up_ordinary(&mut self, at: usize) {
        let now = self.now;
        let jobs = self.agents[at].jobs.values();
        let lost = jobs.filter(|job| !job.strict && job.done.is_none() && now.since(job.stop_at) > GRACE_MS);
        let lost: Vec<_> = lost.map(|job| job.lease).collect();
        self.stop_all(at, &lost);
    }

    fn finish(&mut self, at: usize, lease: &LeaseRef, outcome: Outcome) {
        let Some(job) = self.agents[at].jobs.get_mut(&lease.instance) else { return };
        job.done = Some(outcome);
        job.running = false;
        self.oracle.end(lease, at, outcome);
        self.oracle.end_strict(lease, at);
        if self.agents[at].up {
            self.send_up(
                at,
                ToCoordinator::Report(Report { lease: *lease, outcome, records: 1, records_digest: None }),
            );
        }
    }

    fn cancelled(&mut self, at: usize, lease: &LeaseRef) {
        let now = self.now;
        let grace_ms = self.random.between(0, 10_000);
        let job = self.agents[at].jobs.get_mut(&lease.instance);
        let Some(job) = job.filter(|job| job.lease == *lease && job.done.is_none() && !job.hangs) else {
            return;
        };
        if !job.running {
            self.finish(at, lease, Outcome::Cancelled);
        } else if job.ends_at > now.after(grace_ms) {
            job.outcome = Outcome::Cancelled;
            job.ends_at = now.after(grace_ms);
            self.schedule(grace_ms, Action::JobEnds(at, *lease));
        }
    }

    fn stop_all(&mut self, at: usize, leases: &[LeaseRef]) {
        for lease in leases {
            let jobs = &mut self.agents[at].jobs;
            if jobs.get(&lease.instance).is_some_and(|job| job.lease == *lease) {
                jobs.remove(&lease.instance);
                self.oracle.end_strict(lease, at);
            }
        }
    }

    /// The host dies, and all that ran on it.
    pub(crate) fn lose_host(&mut self, at: usize) {
        let held = self.agents[at].held();
        self.stop_all(at, &held);
    }
}
