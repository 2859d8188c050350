//! The coordinator as the design wants it: decide, append, apply, then effects; after a crash everything from the journal.

use slipway_scheduler::command::{ExtendLease, FinishCall, LeaseRef, Report};
use slipway_scheduler::invariant::{self, Fairness, Monitor};
use slipway_scheduler::limits::LEASE_MS;
use slipway_scheduler::state::{CallPhase, Stage};
use slipway_scheduler::{
    Command, Event, FencingToken, Fleet, InstanceId, JobId, JobResult, Rejection, Rules, RunId, State,
    Timestamp, Uptime, decide,
};

use super::message::{Assignment, ToAgent, ToCoordinator};
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::sabotage::Sabotage;

/// Finished runs that stay in the state.
const KEEP_RUNS: usize = 4;
/// After how many decisions the whole state is checked. Every decision is followed by a check of what it touched; the whole
/// costs time in proportion to the state, which made it half of all that a seed cost.
const CHECK_WHOLE_EVERY: u64 = 32;

#[derive(Default)]
pub(crate) struct Coordinator {
    pub(crate) up: bool,
    pub(crate) state: State,
    pub(crate) fleet: Fleet,
    monitor: Monitor,
    fairness: Fairness,
    pub(crate) journal: Vec<Event>,
    /// A state that was lived, and how much of the journal was in it.
    snapshot: (State, usize),
    decisions: u64,
    wake_at: Option<Uptime>,
    sessions: Vec<Option<u64>>,
}

impl World {
    /// A new leader begins, from the journal and nothing else.
    pub(crate) fn take_over(&mut self) -> Result<(), Broken> {
        self.check_whole()?;
        let (mut state, seen) = std::mem::take(&mut self.coordinator.snapshot);
        for event in self.coordinator.journal.iter().skip(seen) {
            state.apply(event);
        }
        if state != self.coordinator.state {
            return Err(Broken::Replay);
        }
        let epoch = state.epoch() + 1;
        self.coordinator.fleet = Fleet::recover(&state, self.now, self.wall());
        self.coordinator.fairness = Fairness::default();
        self.coordinator.snapshot = (state, self.coordinator.journal.len());
        self.coordinator.sessions = vec![None; self.agents.len()];
        self.coordinator.wake_at = None;
        self.coordinator.up = true;
        self.execute_own(Command::TakeOver { epoch })?;
        if self.script.sabotage == Some(Sabotage::ForgetRenewal) {
            let long_ago = Uptime(self.now.0.saturating_sub(LEASE_MS));
            self.coordinator.fleet = Fleet::recover(&self.coordinator.state, long_ago, self.wall());
        }
        let ready: Vec<(RunId, JobId)> = self
            .coordinator
            .state
            .runs()
            .flat_map(|run| run.jobs().iter().map(move |job| (run.id(), job)))
            .filter(|(_, job)| job.stage() == Stage::Ready)
            .map(|(run, job)| (run, job.id().clone()))
            .collect();
        for (run, job) in ready {
            self.plan(run, &job);
        }
        let done: Vec<(RunId, JobId, u32)> = self
            .coordinator
            .state
            .runs()
            .flat_map(|run| run.jobs().iter().map(move |job| (run.id(), job)))
            .flat_map(|(run, job)| (0u32..).zip(job.calls()).map(move |(at, call)| (run, job, at, call)))
            .filter(|(_, _, _, call)| matches!(call.phase(), CallPhase::Done { .. }))
            .map(|(run, job, at, _)| (run, job.id().clone(), at))
            .collect();
        for (run, job, call) in done {
            self.plan_outputs(run, &job, call);
        }
        self.settle()
    }

    /// Decides a command that nobody may refuse.
    fn execute_own(&mut self, command: Command) -> Result<(), Broken> {
        self.execute(command)?.map(|_| ()).map_err(Broken::FleetRefused)
    }

    /// Decides a command, and lets what is about to enter a concurrency group do so. A crash may come between: then the next
    /// leader does.
    pub(crate) fn execute(&mut self, command: Command) -> Result<Result<Vec<Event>, Rejection>, Broken> {
        let mut events = match self.execute_one(command)? {
            Ok(events) => events,
            Err(rejection) => return Ok(Err(rejection)),
        };
        while self.coordinator.up
            && let Some(entry) = self.coordinator.state.next_entry()
        {
            events.extend(self.execute_one(entry)?.map_err(Broken::FleetRefused)?);
        }
        Ok(Ok(events))
    }

    /// Decides a command, appends, applies and checks its events, and causes their effects.
    fn execute_one(&mut self, command: Command) -> Result<Result<Vec<Event>, Rejection>, Broken> {
        let now = self.wall();
        let granted_to = match &command {
            Command::Grant(grant) => Some(grant.agent.clone()),
            _ => None,
        };
        self.counts.command(&command);
        let events = match decide(&self.coordinator.state, command, &Rules::default(), now) {
            Ok(events) => self.tamper(events),
            Err(rejection) => {
                self.counts.rejection(&rejection);
                return Ok(Err(rejection));
            }
        };
        for event in &events {
            self.trace.event(self.now, event);
            let coordinator = &mut self.coordinator;
            coordinator.monitor.before(&coordinator.state, event)?;
            if let (Event::Leased { instance, .. }, Some(agent)) = (event, &granted_to) {
                coordinator.fairness.leased(&coordinator.state, agent, *instance)?;
            }
            coordinator.state.apply(event);
            coordinator.monitor.after(&coordinator.state, event)?;
            coordinator.fleet.observe(&coordinator.state, event, self.now);
            if self.script.sabotage != Some(Sabotage::SkipJournal) || !self.random.chance(10) {
                coordinator.journal.push(event.clone());
            }
        }
        self.counts.events(&events);
        if !events.is_empty() {
            self.check(&events)?;
        }
        if !events.is_empty()
            && let Some(random) = self.strike(Fault::CrashBeforeEffects)
        {
            // It dies between the journal and the world: all that follows is durable and unseen.
            self.crash_coordinator(random);
            return Ok(Ok(events));
        }
        for event in &events {
            self.effect(event);
        }
        Ok(Ok(events))
    }

    /// Checks what these events touched, and the whole from time to time.
    fn check(&mut self, events: &[Event]) -> Result<(), Broken> {
        invariant::check_touched(&self.coordinator.state, events)?;
        self.coordinator.decisions += 1;
        if self.coordinator.decisions.is_multiple_of(CHECK_WHOLE_EVERY) {
            self.check_whole()?;
        }
        Ok(())
    }

    /// Checks all that always holds.
    pub(crate) fn check_whole(&self) -> Result<(), Broken> {
        let Coordinator { state, fleet, .. } = &self.coordinator;
        invariant::check(state)?;
        let watched = fleet.watched().all(|(lease, _)| state.leased(&lease).is_some());
        if !watched || fleet.watched().count() != state.leased_len() {
            return Err(Broken::FleetDisagrees);
        }
        Ok(())
    }

    fn effect(&mut self, event: &Event) {
        match event {
            Event::JobReady { run, job } => {
                let forgets = self.script.sabotage == Some(Sabotage::ForgetReady) && self.random.chance(50);
                if !forgets {
                    self.plan(*run, job);
                }
            }
            Event::CallDone { run, job, call, .. } => self.plan_outputs(*run, job, *call),
            Event::Leased { instance, attempt, agent, token, .. } => {
                let lease = LeaseRef { instance: *instance, attempt: *attempt, token: *token };
                let at = self.agents.iter().position(|it| it.profile.id == *agent).unwrap_or_default();
                if let (Some(session), Some(assignment)) =
                    (self.coordinator.sessions[at], self.assignment(lease))
                {
                    self.send_down(at, ToAgent::Assign { session, assignment });
                }
            }
            Event::CancelRequested { lease, .. } => {
                if let Some((at, session)) = self.holder(lease.instance) {
                    self.send_down(at, ToAgent::Cancel { session, lease: *lease });
                }
            }
            Event::AttemptFinished { lease, reported: false, .. } => {
                if let Some((at, _)) = self.holder(lease.instance) {
                    self.send_down(at, ToAgent::Stop { lease: *lease });
                }
            }
            _ => {}
        }
    }

    /// The agent of an instance's last attempt, and its session.
    fn holder(&self, instance: InstanceId) -> Option<(usize, u64)> {
        let agent = self.coordinator.state.instance(instance)?.attempts().last()?.agent;
        let at = self.agents.iter().position(|it| it.profile.id == agent)?;
        Some((at, self.coordinator.sessions[at]?))
    }

    fn assignment(&self, lease: LeaseRef) -> Option<Assignment> {
        let definition = self.coordinator.state.instance(lease.instance)?.definition();
        Some(Assignment { lease, strict: definition.strict, timeout_ms: definition.timeout_ms })
    }

    /// The planner looks at the job now and answers later, perhaps twice.
    fn plan(&mut self, run: RunId, job: &JobId) {
        for answer in 0..self.planner_answers() {
            let delay_ms = match self.strike(Fault::PlannerLate) {
                Some(mut random) => random.between(1_000, 60_000),
                None => self.random.between(1, 50),
            };
            let mut random = self.about_job(run, job, answer);
            let plan = self.workload.plan(&mut random, &self.coordinator.state, run, job);
            if let Some(plan) = plan {
                let epoch = self.coordinator.state.epoch();
                self.schedule(delay_ms, Action::Planned(epoch, Box::new(Command::ResolveJob(plan))));
            }
        }
    }

    fn planner_answers(&mut self) -> u64 {
        if self.strike(Fault::PlannerTwice).is_some() { 2 } else { 1 }
    }

    /// What the planner's answer about a job depends on: not on what else happens.
    fn about_job(&self, run: RunId, job: &JobId, answer: u64) -> Random {
        Random::about(self.script.seed, &[run.0.as_u64_pair().0, Random::name(job.as_str()), answer])
    }

    /// The planner evaluates the outputs of a call, and answers later, perhaps twice.
    fn plan_outputs(&mut self, run: RunId, job: &JobId, call: u32) {
        for answer in 0..self.planner_answers() {
            let mut random = self.about_job(run, job, 2 + u64::from(call) * 2 + answer);
            let outputs = self.workload.outputs(&mut random);
            let finish = FinishCall { run, job: job.clone(), call, outputs };
            let epoch = self.coordinator.state.epoch();
            let delay_ms = self.random.between(1, 2_000);
            self.schedule(delay_ms, Action::Planned(epoch, Box::new(Command::FinishCall(finish))));
        }
    }

    /// What an agent says.
    pub(crate) fn coordinator_hears(&mut self, at: usize, message: ToCoordinator) -> Result<(), Broken> {
        if !self.coordinator.up || self.agents[at].cut {
            return Ok(());
        }
        let agent = self.agents[at].profile.id;
        match message {
            ToCoordinator::Hello { attempt, held, sent_at } => self.greet(at, attempt, &held, sent_at)?,
            ToCoordinator::Renew { session, held, sent_at } => {
                match self.coordinator.fleet.renew(agent, session, &held, self.now) {
                    Some(answer) => {
                        let (renewed, stop) = (answer.renewed, answer.stop);
                        self.send_down(at, ToAgent::Renewed { session, sent_at, renewed, stop });
                    }
                    None => self.send_down(at, ToAgent::SayHello { session }),
                }
            }
            ToCoordinator::Report(report) => self.hear_report(at, report)?,
            ToCoordinator::StepBegan(lease) => {
                if self.execute(Command::StepBegan(lease))?.is_ok() {
                    self.send_down(at, ToAgent::StepAllowed { lease });
                }
            }
            ToCoordinator::Decline(lease) => {
                // A repeated one finds the lease gone.
                let _refused = self.execute(Command::Decline(lease))?;
            }
            ToCoordinator::Extend(lease) => {
                let lease_ms = self.random.between(LEASE_MS, 4 * LEASE_MS);
                let _refused = self.execute(Command::ExtendLease(ExtendLease { lease, lease_ms }))?;
            }
        }
        self.settle()
    }

    fn greet(&mut self, at: usize, attempt: u64, held: &[LeaseRef], sent_at: Uptime) -> Result<(), Broken> {
        let profile = self.agents[at].profile.clone();
        let coordinator = &mut self.coordinator;
        let Ok(hello) = coordinator.fleet.hello(&coordinator.state, profile, held, self.now) else {
            return Ok(());
        };
        coordinator.sessions[at] = Some(hello.session);
        let assign = hello.assign.iter().filter_map(|lease| self.assignment(*lease)).collect();
        let (session, keep, stop) = (hello.session, hello.keep, hello.stop);
        self.send_down(at, ToAgent::Welcome { attempt, session, sent_at, keep, stop, assign });
        for command in hello.lost {
            if self.coordinator.up {
                self.execute_own(command)?;
            }
        }
        Ok(())
    }

    fn hear_report(&mut self, at: usize, mut report: Report) -> Result<(), Broken> {
        let lease = report.lease;
        if self.script.sabotage == Some(Sabotage::IgnoreFencing) {
            let instance = self.coordinator.state.instance(lease.instance);
            report.lease = instance.and_then(|instance| instance.lease()).map_or(lease, |(live, _)| live);
        }
        match self.execute(Command::Report(report))? {
            Ok(events) => {
                self.oracle.check_report(&events, at)?;
                self.send_down(at, ToAgent::Accepted { lease });
            }
            Err(_) => self.send_down(at, ToAgent::Stop { lease }),
        }
        Ok(())
    }

    /// After anything changed: grant while an agent is free, retire old runs, and see when to look again.
    pub(crate) fn settle(&mut self) -> Result<(), Broken> {
        let now = self.wall();
        while self.coordinator.up
            && let Some(grant) = self.coordinator.fleet.next_grant(&self.coordinator.state, now)
        {
            let grant = self.unfair(grant);
            match self.execute(Command::Grant(grant))? {
                Ok(events) if events.is_empty() => return Err(Broken::FleetDisagrees),
                Ok(_) => {}
                Err(rejection) => return Err(Broken::FleetRefused(rejection)),
            }
            if let Some(agent) = self.coordinator.fleet.overcommitted() {
                return Err(Broken::Overcommitted(agent));
            }
        }
        if !self.coordinator.up {
            return Ok(());
        }
        let old: Vec<RunId> = self.coordinator.state.retirable(KEEP_RUNS).collect();
        for run in old {
            self.execute_own(Command::RetireRun { run })?;
            self.oracle.forget_finished(&self.coordinator.state);
        }
        let retry =
            self.coordinator.state.next_retry().map(|at| self.now.after(at.since(now).clamp(50, 5_000)));
        let lease = self.coordinator.fleet.next_wakeup();
        // As the driver: it looks at the wall clock again before long, for that one jumps.
        let gate = self.coordinator.state.next_gate();
        let gate = gate.map(|at| self.now.after(at.since(now).clamp(1, 5_000)));
        if let Some(at) = [retry, lease, gate].into_iter().flatten().min()
            && self.coordinator.wake_at.is_none_or(|planned| at < planned)
        {
            self.coordinator.wake_at = Some(at);
            self.schedule(at.since(self.now), Action::Wake);
        }
        Ok(())
    }

    pub(crate) fn wake(&mut self) -> Result<(), Broken> {
        if !self.coordinator.up || self.coordinator.wake_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.coordinator.wake_at = None;
        let early_ms = if self.script.sabotage == Some(Sabotage::ExpireEarly) { 20_000 } else { 0 };
        for command in self.coordinator.fleet.due(self.now.after(early_ms)) {
            if !self.coordinator.up {
                return Ok(());
            }
            // Two clocks of one lease may end together; the second finds the lease gone.
            match self.execute(command)? {
                Ok(_) | Err(Rejection::StaleLease { .. } | Rejection::UnknownInstance { .. }) => {}
                Err(rejection) => return Err(Broken::FleetRefused(rejection)),
            }
        }
        self.pass_gates()?;
        self.settle()
    }

    /// What waits for an environment whose time has come goes on, or ends; each look has to do something.
    fn pass_gates(&mut self) -> Result<(), Broken> {
        let due: Vec<InstanceId> = self.coordinator.state.due_gates(self.wall()).collect();
        for instance in due {
            if !self.coordinator.up {
                return Ok(());
            }
            self.execute_own(Command::PassGate { instance })?;
        }
        Ok(())
    }

    /// Keeps the state as it is now, as a snapshot that a later leader starts from.
    pub(crate) fn snapshot(&mut self) {
        self.coordinator.snapshot = (self.coordinator.state.clone(), self.coordinator.journal.len());
    }

    /// Plants the fault that this world is to have.
    fn tamper(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        let Some(sabotage) = self.script.sabotage else { return events };
        if !self.random.chance(200) {
            return events;
        }
        let state = &self.coordinator.state;
        match sabotage {
            Sabotage::DoubleLease => {
                if let Some(Event::Leased { instance, attempt, token, lease_ms, at, .. }) =
                    events.last().cloned()
                {
                    let token = FencingToken { sequence: token.sequence + 1, ..token };
                    let agent = self.agents[0].profile.id;
                    let attempt = attempt + 1;
                    events.push(Event::Leased { instance, attempt, agent, token, lease_ms, at });
                }
            }
            Sabotage::ForgetInstance => events.retain(|event| !matches!(event, Event::RetryScheduled { .. })),
            Sabotage::ReuseToken => {
                for event in &mut events {
                    if let (Event::Leased { token, .. }, Some(last)) = (event, state.last_token()) {
                        *token = last;
                    }
                }
            }
            Sabotage::CountTwice => {
                let twice =
                    events.iter().find(|event| matches!(event, Event::InstanceFinished { .. })).cloned();
                events.extend(twice);
            }
            Sabotage::RestartStrict => restart_strict(state, &mut events, self.now),
            Sabotage::OpenUnapproved => {
                // What waits for somebody's approval goes on as if it needed none.
                let gated = state.runs().find_map(|run| state.awaiting_review(run.id()).next());
                let opened = gated.map(|(instance, _)| Event::GateOpened {
                    instance: instance.id(),
                    at: Timestamp(u64::MAX),
                });
                events.extend(opened);
            }
            Sabotage::IgnoreMaxParallel => {
                if let Some(Event::JobExpanded { instances, max_parallel: Some(limit), at, .. }) =
                    events.last()
                    && let Some(next) = instances.get(*limit as usize)
                {
                    let queued = Event::InstanceQueued { instance: next.id, at: *at };
                    events.push(queued);
                }
            }
            _ => {}
        }
        events
    }
}

/// Turns the end of a strict job whose step began into a new attempt.
fn restart_strict(state: &State, events: &mut Vec<Event>, now: Uptime) {
    let found = events.iter().position(|event| {
        matches!(event, Event::InstanceFinished { cause: Some(_), result: JobResult::Failure, .. })
    });
    let Some(Event::InstanceFinished { instance, .. }) = found.and_then(|at| events.get(at)).cloned() else {
        return;
    };
    let Some(attempt) =
        state.instance(instance).and_then(|it| it.attempts().last()).filter(|it| it.step_began)
    else {
        return;
    };
    events.truncate(found.unwrap_or_default());
    events.push(Event::RetryScheduled {
        instance,
        attempt: attempt.number + 1,
        not_before: Timestamp(now.0),
        avoid: attempt.agent,
    });
}
