//! Agents' sessions: what they say and what they are told.

use std::collections::{BTreeMap, BTreeSet};

use slipway_kit::telemetry;
use slipway_scheduler::command::{ExtendLease, LeaseRef, Report};
use slipway_scheduler::fleet::AgentProfile;
use slipway_scheduler::state::Instance;
use slipway_scheduler::{AgentId, Command, Outcome};

use super::DriverError;
use super::core::Core;
use super::effects::{self, Effect};
use super::message::{RunLease, SessionLink, ToAgent};
use super::payload::{AttemptNote, DrainOrder, Payload};
use super::request::{AgentHello, FromAgent, is_stale, refs};

/// The longest that a lease may become for an agent that is replaced by its next version. A job of one that does not come
/// back waits so long for another agent.
const HANDOVER_LEASE_MS_MAX: u64 = 10 * 60_000;

/// The sessions that are open, by agent.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<AgentId, Open>,
}

#[derive(Debug)]
struct Open {
    link: SessionLink,
    number: u64,
    /// The fleet's number for it, which changes with the agent's capacity.
    fleet_number: u64,
}

impl Sessions {
    /// The number of the agent's session, if it has one.
    pub(super) fn number(&self, agent: AgentId) -> Option<u64> {
        self.open.get(&agent).map(|open| open.number)
    }

    fn is_open(&self, agent: AgentId, number: u64) -> bool {
        self.number(agent) == Some(number)
    }

    /// Sends a message over this very session. When the agent does not read its messages it is cut off, and the fleet's
    /// number of its session comes back.
    pub(super) fn tell(&mut self, agent: AgentId, number: Option<u64>, message: ToAgent) -> Option<u64> {
        let open = self.open.get(&agent).filter(|open| Some(open.number) == number)?;
        if open.link.outbox.try_send(Box::new(message)).is_ok() {
            return None;
        }
        tracing::warn!(%agent, "an agent does not read its messages; its session is cut off");
        self.close(agent)
    }

    pub(super) fn close(&mut self, agent: AgentId) -> Option<u64> {
        let open = self.open.remove(&agent)?;
        open.link.over.cancel();
        Some(open.fleet_number)
    }

    pub(super) fn close_all(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            open.link.over.cancel();
        }
    }
}

impl Core {
    fn tell(&mut self, agent: AgentId, message: ToAgent) {
        let session = self.sessions.number(agent);
        self.later.effects.push((Effect::Tell(agent, message), session));
    }

    pub(super) fn run_leases(&self, leases: &[LeaseRef]) -> Vec<RunLease> {
        leases.iter().filter_map(|lease| effects::run_lease(&self.state, *lease)).collect()
    }

    pub(super) fn hello(&mut self, mut hello: AgentHello, link: SessionLink) -> Result<u64, DriverError> {
        let agent = hello.profile.id;
        self.check_welcome(agent)?;
        if let Some(enrolled) = self.ledger.house().agent(agent) {
            hello.profile.labels = hello.profile.labels.with(&enrolled.labels);
        }
        let (presented, name) = (refs(&hello.held), hello.profile.name.clone());
        let answer = self
            .fleet
            .hello(&self.state, hello.profile, &presented, self.uptime)
            .map_err(|error| DriverError::Refused(error.to_string()))?;
        if self.sessions.close(agent).is_some() {
            tracing::info!(%agent, "a newer session replaces the agent's older one");
        }
        let number = answer.session;
        let open = super::session::Open { link, number, fleet_number: number };
        self.sessions.open.insert(agent, open);
        let keep: Vec<LeaseRef> = answer.keep.iter().map(|renewed| renewed.lease).collect();
        let kept = self.run_leases(&keep);
        let epoch = self.epoch();
        self.tell(agent, ToAgent::Welcome { epoch, lease_ms: self.rules.lease_ms, kept });
        for lease in &keep {
            if let Some(cancel) = effects::cancellation(&self.state, *lease) {
                self.tell(agent, cancel);
            }
        }
        for lease in &answer.assign {
            if let Some(assign) = effects::assignment(&self.state, *lease) {
                self.tell(agent, assign);
            }
            if let Some(cancel) = effects::cancellation(&self.state, *lease) {
                self.tell(agent, cancel);
            }
        }
        for command in answer.lost {
            if let Err(rejection) = self.decide(command) {
                tracing::warn!(%agent, %rejection, "a lost lease cannot be ended");
            }
        }
        let drained = self.ledger.is_drained(agent) || self.ledger.scaling().is_stopping(&name);
        if drained || hello.draining {
            self.fleet.set_draining(agent, true);
            // One that was told to drain and had no session when the order was taken back does not know so yet. One that
            // drains because it stops goes on: it says so again if it does not.
            self.tell(agent, ToAgent::Drain { on: drained });
        }
        Ok(number)
    }

    pub(super) fn disconnect(&mut self, agent: AgentId, session: u64) {
        if self.sessions.is_open(agent, session)
            && let Some(fleet_number) = self.sessions.close(agent)
        {
            self.fleet.disconnect(agent, fleet_number);
        }
    }

    pub(super) fn drain(&mut self, agent: AgentId, on: bool) -> bool {
        let drained = self.ledger.is_drained(agent);
        // After a restart a drained agent may not have come back yet.
        if self.fleet.agent(agent).is_none() && !drained {
            return false;
        }
        if on != drained {
            self.take(Payload::DrainOrder(DrainOrder { agent, on, at: self.now }));
        }
        self.fleet.set_draining(agent, on);
        self.tell(agent, ToAgent::Drain { on });
        true
    }

    /// Handles what an agent said; says whether the answer promises lease time.
    pub(super) fn agent_said(&mut self, agent: AgentId, session: u64, message: FromAgent) -> bool {
        if !self.sessions.is_open(agent, session) {
            // Said over a session that is over: the agent says it again over the new one.
            return false;
        }
        match message {
            FromAgent::Renew { number, leases, lease_ms } => {
                if lease_ms > 0 {
                    self.prolong(agent, &leases, lease_ms);
                }
                self.renew(agent, number, &leases, lease_ms > 0);
                return true;
            }
            FromAgent::Report { lease, outcome, records, records_digest, message } => {
                let report = Report { lease: lease.lease, outcome, records, records_digest };
                self.report(agent, lease, report, message);
            }
            FromAgent::StepBegan(lease) => match self.decide(Command::StepBegan(lease.lease)) {
                Ok(()) => self.tell(agent, ToAgent::BeginStep { lease }),
                Err(rejection) => {
                    self.tell(agent, ToAgent::Stop { lease, reason: rejection.to_string() });
                }
            },
            FromAgent::Decline { lease, reason } => {
                tracing::info!(%agent, instance = %lease.lease.instance, reason, "an agent declined a lease");
                if let Err(rejection) = self.decide(Command::Decline(lease.lease)) {
                    tracing::debug!(%rejection, "the declined lease had ended");
                }
            }
            FromAgent::Capacity { slots, draining } => self.capacity(agent, slots, draining),
            FromAgent::Paused(reason) => {
                tracing::info!(%agent, reason, "an agent says whether it takes new jobs");
                self.fleet.set_paused(agent, reason);
            }
        }
        false
    }

    /// Makes an agent's leases longer, durably before it hears of it: it is about to be replaced by its next version.
    fn prolong(&mut self, agent: AgentId, leases: &[RunLease], lease_ms: u64) {
        let lease_ms = lease_ms.min(HANDOVER_LEASE_MS_MAX);
        let held: BTreeSet<LeaseRef> =
            self.fleet.watched().filter(|(_, holder)| *holder == agent).map(|(lease, _)| lease).collect();
        for lease in leases.iter().filter(|lease| held.contains(&lease.lease)) {
            let extend = ExtendLease { lease: lease.lease, lease_ms };
            // It may be longer already; then that is what it is told.
            if let Err(rejection) = self.decide(Command::ExtendLease(extend)) {
                tracing::debug!(%agent, instance = %lease.lease.instance, %rejection, "a lease is not prolonged");
            }
        }
        tracing::info!(%agent, leases = leases.len(), lease_ms, "an agent hands its jobs over to its next process");
    }

    fn renew(&mut self, agent: AgentId, number: u64, leases: &[RunLease], longer: bool) {
        let Some(fleet_number) = self.sessions.open.get(&agent).map(|open| open.fleet_number) else { return };
        let Some(answer) = self.fleet.renew(agent, fleet_number, &refs(leases), self.uptime) else { return };
        let shortest = answer.renewed.iter().map(|renewed| renewed.lease_ms).min();
        let lease_ms = shortest.filter(|_| longer).unwrap_or_default();
        let renewed: Vec<LeaseRef> = answer.renewed.iter().map(|renewed| renewed.lease).collect();
        let renewed = self.run_leases(&renewed);
        self.tell(agent, ToAgent::Renewed { number, leases: renewed, lease_ms });
        for lease in leases.iter().filter(|lease| answer.stop.contains(&lease.lease)) {
            let reason = "the lease is not this agent's any more".to_owned();
            self.tell(agent, ToAgent::Stop { lease: *lease, reason });
        }
    }

    fn report(&mut self, agent: AgentId, lease: RunLease, report: Report, message: String) {
        let span = tracing::info_span!(
            "report",
            run = %lease.run,
            instance = %lease.lease.instance,
            attempt = lease.lease.attempt,
            %agent,
            result = result_word(&report.outcome),
        );
        if let Some(parent) = self.state.run(lease.run).and_then(|run| run.meta().traceparent.as_deref()) {
            telemetry::continue_trace(&span, parent);
        }
        let _entered = span.enter();
        let leased = self.state.leased(&lease.lease);
        let before = leased.is_some();
        if leased.and_then(Instance::lease).is_some_and(|(_, holder)| holder != agent) {
            // Tokens can be guessed: only the holder's word counts.
            let reason = "the lease is another agent's".to_owned();
            self.tell(agent, ToAgent::Stop { lease, reason });
            return;
        }
        match self.decide(Command::Report(report)) {
            Ok(()) => {
                if before && !message.is_empty() {
                    let (instance, attempt) = (lease.lease.instance, lease.lease.attempt);
                    let note = AttemptNote { run: lease.run, instance, attempt, message };
                    self.take(Payload::AttemptNote(note));
                }
                self.tell(agent, ToAgent::Accepted { lease });
            }
            Err(rejection) => {
                if !is_stale(&rejection) {
                    tracing::warn!(%agent, instance = %lease.lease.instance, %rejection, "a report was refused");
                }
                self.tell(agent, ToAgent::Stop { lease, reason: rejection.to_string() });
            }
        }
    }

    /// The fleet learns an agent's size from its hello, so a changed one is told as a hello that presents all its leases.
    fn capacity(&mut self, agent: AgentId, slots: u32, draining: bool) {
        let Some(status) = self.fleet.agent(agent) else { return };
        let (profile, paused) = (status.profile.clone(), status.paused.map(str::to_owned));
        if profile.slots != slots {
            let held: Vec<LeaseRef> =
                self.fleet.watched().filter(|(_, holder)| *holder == agent).map(|(lease, _)| lease).collect();
            let profile = AgentProfile { slots, ..profile };
            match self.fleet.hello(&self.state, profile, &held, self.uptime) {
                Ok(answer) => {
                    if let Some(open) = self.sessions.open.get_mut(&agent) {
                        open.fleet_number = answer.session;
                    }
                    self.fleet.set_paused(agent, paused);
                }
                Err(error) => tracing::warn!(%agent, %error, "an agent's size cannot be changed"),
            }
        }
        self.fleet.set_draining(agent, draining || self.ledger.is_drained(agent));
    }
}

/// How an attempt ended, in one word: a result or what of the fleet failed.
fn result_word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Success { .. } => "success".to_owned(),
        Outcome::Failure { .. } => "failure".to_owned(),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::TimedOut => "timed_out".to_owned(),
        Outcome::Fleet { cause } => cause.to_string(),
    }
}
