//! What runs on an agent's host: it goes on when the agent's process is gone, and init ends it when its time is over.

use slipway_agent::session::guard::{Guard, LeaseTerms};
use slipway_coordinator::driver::FromAgent;
use slipway_coordinator::driver::message::RunLease;
use slipway_kit::clock::Clock as _;
use slipway_scheduler::{Outcome, Uptime};

use super::link::Up;
use super::logs::{UPLOAD_LINES_MAX, digest_of};
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::workload::behaviour;

/// Most lines of an attempt.
const LINES_MAX: u64 = 24;
/// How long an agent waits for lines to be acknowledged before it sends them again.
const UPLOAD_AGAIN_MS: u64 = 5_000;
/// How long an agent waits for an answer to a report before it reports again.
const REPORT_AGAIN_MS: u64 = 10_000;

/// One attempt on its host.
pub(crate) struct Job {
    pub(crate) lease: RunLease,
    pub(crate) strict: bool,
    restart_allowed: bool,
    pub(crate) guard: Guard,
    /// When init ends it, by the host's steady clock.
    pub(crate) stop_at_ms: Option<u64>,
    /// The coordinator knows that steps begin.
    pub(crate) begin: bool,
    pub(crate) running: bool,
    begun_at: Uptime,
    ends_at: Uptime,
    length_ms: u64,
    outcome: Outcome,
    hangs: bool,
    lines: u64,
    acknowledged: u64,
    /// Up to where lines were sent, and when something of that was acknowledged, or sent again, last.
    sent: u64,
    sent_at: Uptime,
    pub(crate) ended: Option<Outcome>,
    pub(crate) asked_at: Option<Uptime>,
}

impl Job {
    /// So many lines are durable.
    pub(crate) fn hear_acknowledged(&mut self, count: u64, now: Uptime) {
        if count > self.acknowledged {
            (self.acknowledged, self.sent_at) = (count, now);
            self.sent = self.sent.max(count);
        }
    }

    /// How many lines there are by now.
    fn said(&self, now: Uptime) -> u64 {
        match self.ended {
            Some(_) => self.lines,
            None if self.running => {
                let passed_ms = now.since(self.begun_at);
                (self.lines * passed_ms / self.length_ms.max(1)).min(self.lines)
            }
            None => 0,
        }
    }
}

impl World {
    /// An agent takes a lease.
    pub(crate) fn take_job(
        &mut self,
        at: usize,
        lease: RunLease,
        strict: bool,
        guard: Guard,
    ) -> Result<(), Broken> {
        let definition = {
            let disk = super::disk::locked(&self.disk);
            disk.truth.state.instance(lease.lease.instance).map(|it| it.definition().clone())
        };
        let Some(definition) = definition else { return Ok(()) };
        let failure = self.strike(Fault::FleetFailure);
        let (high, low) = lease.lease.instance.0.as_u64_pair();
        let mut random = Random::about(self.script.seed, &[high, low, u64::from(lease.lease.attempt)]);
        let (mut length_ms, mut outcome) = behaviour(&mut random, failure);
        let hangs = self.strike(Fault::Hang).is_some();
        if !hangs && length_ms > definition.timeout_ms {
            (length_ms, outcome) = (definition.timeout_ms, Outcome::TimedOut);
        }
        let job = Job {
            lease,
            strict,
            restart_allowed: definition.restart_allowed,
            guard,
            stop_at_ms: None,
            begin: self.script.sabotage == Some(Sabotage::BeginUnasked),
            running: false,
            begun_at: Uptime(0),
            ends_at: Uptime(u64::MAX),
            length_ms,
            outcome,
            hangs,
            lines: random.between(1, LINES_MAX),
            acknowledged: 0,
            sent: 0,
            sent_at: Uptime(0),
            ended: None,
            asked_at: None,
        };
        self.agents[at].jobs.insert(lease.lease.instance, job);
        self.tell_stop_times(at);
        self.try_begin(at, lease)?;
        self.say_unanswered(at);
        Ok(())
    }

    /// Begins the first step, if that may be.
    pub(crate) fn try_begin(&mut self, at: usize, lease: RunLease) -> Result<(), Broken> {
        let now = self.now;
        let agent = &mut self.agents[at];
        let now_ms = agent.clock.boottime_ms();
        let Some(job) = agent.jobs.get_mut(&lease.lease.instance).filter(|job| job.lease == lease) else {
            return Ok(());
        };
        let late = job.guard.expired(&agent.terms, now_ms);
        if job.running || job.ended.is_some() || (job.strict && (!job.begin || late)) {
            return Ok(());
        }
        (job.running, job.begun_at) = (true, now);
        let (strict, restart_allowed, length_ms) = (job.strict, job.restart_allowed, job.length_ms);
        if !job.hangs {
            job.ends_at = now.after(length_ms);
            self.schedule(length_ms, Action::JobEnds(at, lease));
        }
        if strict {
            self.oracle.begin_strict(&lease.lease, at)?;
            let again = !self.begun.insert(lease.lease.instance);
            if again && !restart_allowed {
                return Err(Broken::StrictAgain(lease.lease.instance));
            }
        }
        Ok(())
    }

    pub(crate) fn job_ends(&mut self, at: usize, lease: RunLease) {
        let now = self.now;
        let job = self.agents[at].jobs.get(&lease.lease.instance);
        let Some(job) = job.filter(|job| job.lease == lease && job.running && job.ends_at <= now) else {
            return;
        };
        let outcome = job.outcome;
        self.finish(at, lease, outcome);
    }

    fn finish(&mut self, at: usize, lease: RunLease, outcome: Outcome) {
        let now = self.now;
        if let Some(job) = self.agents[at].jobs.get_mut(&lease.lease.instance) {
            job.lines = job.said(now).max(1);
            (job.ended, job.running, job.asked_at) = (Some(outcome), false, None);
        }
        self.oracle.end(&lease.lease, at, outcome);
        self.oracle.end_strict(&lease.lease, at);
        self.say_unanswered(at);
    }

    /// It is asked to end politely.
    pub(crate) fn cancelled(&mut self, at: usize, lease: RunLease) {
        let (now, grace_ms) = (self.now, self.random.between(0, 10_000));
        let job = self.agents[at].jobs.get_mut(&lease.lease.instance);
        let Some(job) = job.filter(|job| job.lease == lease && job.ended.is_none() && !job.hangs) else {
            return;
        };
        if !job.running {
            self.finish(at, lease, Outcome::Cancelled);
        } else if job.ends_at > now.after(grace_ms) {
            (job.outcome, job.ends_at) = (Outcome::Cancelled, now.after(grace_ms));
            self.schedule(grace_ms, Action::JobEnds(at, lease));
        }
    }

    /// It ends at once, and nobody hears of it.
    pub(crate) fn stop_job(&mut self, at: usize, lease: RunLease) {
        let jobs = &mut self.agents[at].jobs;
        if jobs.get(&lease.lease.instance).is_some_and(|job| job.lease == lease) {
            jobs.remove(&lease.lease.instance);
            self.oracle.end_strict(&lease.lease, at);
        }
    }

    /// Tells each job's init until when it may run.
    pub(crate) fn tell_stop_times(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        let terms: LeaseTerms = agent.terms;
        let now_ms = agent.clock.boottime_ms();
        let mut stops = Vec::new();
        for job in agent.jobs.values_mut().filter(|job| job.strict && job.ended.is_none()) {
            if let Some(stop_at_ms) = job.guard.stop_at_ms(&terms).filter(|it| job.stop_at_ms != Some(*it)) {
                job.stop_at_ms = Some(stop_at_ms);
                stops.push((job.lease, stop_at_ms.saturating_sub(now_ms)));
            }
        }
        for (lease, left_ms) in stops {
            let left_ms = self.agents[at].clock.world_ms(left_ms);
            self.schedule(left_ms, Action::InitStops(at, lease));
        }
    }

    /// Init looks at its clock: a little after its time, as a process that has to be woken up does.
    pub(crate) fn init_stops(&mut self, at: usize, lease: RunLease) {
        let now_ms = self.agents[at].clock.boottime_ms();
        let job = self.agents[at].jobs.get(&lease.lease.instance);
        let over = job.is_some_and(|job| {
            job.lease == lease && job.ended.is_none() && job.stop_at_ms.is_some_and(|stop| stop <= now_ms)
        });
        if over && self.script.sabotage != Some(Sabotage::IgnoreStopTime) {
            self.stop_job(at, lease);
        }
    }

    /// What an agent has to say of its jobs and has no answer to: lines, that steps begin, reports.
    pub(crate) fn say_unanswered(&mut self, at: usize) {
        let now = self.now;
        let agent = &mut self.agents[at];
        let Some(link) = agent.welcomed() else { return };
        let (mut messages, mut uploads) = (Vec::new(), Vec::new());
        for job in agent.jobs.values_mut() {
            let (lease, said) = (job.lease, job.said(now));
            if job.sent > job.acknowledged && now.since(job.sent_at) >= UPLOAD_AGAIN_MS {
                (job.sent, job.sent_at) = (job.acknowledged, now);
            }
            // It goes on without waiting for what is under way.
            if said > job.sent {
                if job.sent == job.acknowledged {
                    job.sent_at = now;
                }
                uploads.push((lease, job.sent, said));
                job.sent = said.min(job.sent + UPLOAD_LINES_MAX);
            }
            if job.asked_at.is_some_and(|asked| now.since(asked) < REPORT_AGAIN_MS) {
                continue;
            }
            match job.ended {
                Some(outcome) if job.acknowledged >= job.lines => {
                    let key = (lease.lease.instance, lease.lease.attempt);
                    let records_digest = Some(digest_of(key, job.lines));
                    let (records, message) = (job.lines, String::new());
                    messages.push(FromAgent::Report { lease, outcome, records, records_digest, message });
                    job.asked_at = Some(now);
                }
                None if job.strict && !job.begin => {
                    messages.push(FromAgent::StepBegan(lease));
                    job.asked_at = Some(now);
                }
                _ => {}
            }
        }
        for message in messages {
            self.send_up(link, Up::Said(Box::new(message)));
        }
        for (lease, sent, said) in uploads {
            self.upload(at, lease, sent, said);
        }
    }
}
