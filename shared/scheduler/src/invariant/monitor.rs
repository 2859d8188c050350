//! Checks that follow the events.

use crate::command::LeaseRef;
use crate::event::Event;
use crate::ids::{FencingToken, InstanceId, JobId, RunId};
use crate::invariant::touched::{Reach, reach};
use crate::invariant::{Violation, calls};
use crate::limits::ATTEMPTS_MAX;
use crate::outcome::JobResult;
use crate::policy;
use crate::state::{Call, CallPhase, Instance, Job, Phase, Run, Stage, State};

/// Follows the events of one journal, from its first.
#[derive(Debug, Clone, Default)]
pub struct Monitor {
    epoch: u64,
    last_token: Option<FencingToken>,
}

impl Monitor {
    /// A monitor of an empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks an event that is about to be applied to `state`.
    ///
    /// # Errors
    /// The first [`Violation`] found.
    pub fn before(&mut self, state: &State, event: &Event) -> Result<(), Violation> {
        match event {
            Event::EpochBegan { epoch, .. } => {
                if *epoch <= self.epoch {
                    return Err(Violation::Epoch(*epoch));
                }
                self.epoch = *epoch;
            }
            Event::Leased { instance, token, attempt, .. } => {
                let target = find(state, *instance)?;
                if target.lease().is_some() {
                    return Err(Violation::TwoLeases(*instance));
                }
                waits(target)?;
                if *attempt as usize != target.attempts.len() + 1 {
                    return Err(Violation::Attempts(*instance));
                }
                if Some(*token) <= self.last_token || token.epoch != self.epoch {
                    return Err(Violation::Token(*token));
                }
                self.last_token = Some(*token);
            }
            Event::LeaseExtended { lease, .. }
            | Event::StepBegan { lease }
            | Event::CancelRequested { lease, .. }
            | Event::AttemptFinished { lease, .. } => live(state, lease)?,
            Event::LeaseDeclined { lease, .. } => {
                live(state, lease)?;
                if find(state, lease.instance)?.attempts.last().is_some_and(|attempt| attempt.step_began) {
                    return Err(Violation::Attempts(lease.instance));
                }
            }
            Event::InstanceQueued { instance, .. } => {
                if find(state, *instance)?.phase != Phase::Held {
                    return Err(Violation::Nowhere(*instance));
                }
            }
            Event::InstanceBlocked { instance, .. } => {
                if find(state, *instance)?.phase != (Phase::Blocked { order: None }) {
                    return Err(Violation::Nowhere(*instance));
                }
            }
            Event::InstanceAdmitted { instance, .. } => {
                let target = find(state, *instance)?;
                let run = state.run(target.run).ok_or(Violation::Unknown)?;
                let key = target.definition.concurrency.as_ref().map(|group| run.key_of(group));
                let held = key.and_then(|key| state.groups.get(&key)?.holder);
                if !matches!(target.phase, Phase::Blocked { .. }) || held.is_some() {
                    return Err(Violation::GroupMembers);
                }
            }
            Event::TurnAwaited { instance, .. } => {
                if find(state, *instance)?.phase != (Phase::Turn { order: None }) {
                    return Err(Violation::Nowhere(*instance));
                }
            }
            Event::TurnTaken { instance, .. } => {
                let target = find(state, *instance)?;
                let run = state.run(target.run).ok_or(Violation::Unknown)?;
                let key = target.definition.turn.as_ref().map(|environment| run.turn_key(environment));
                let held = key.and_then(|key| state.groups.get(&key)?.holder);
                if !matches!(target.phase, Phase::Turn { .. }) || held.is_some() {
                    return Err(Violation::GroupMembers);
                }
            }
            Event::GateDecided { instance, .. } => {
                if find(state, *instance)?.awaits_review().is_none() {
                    return Err(Violation::Gate(*instance));
                }
            }
            Event::GateOpened { instance, at } => {
                let target = find(state, *instance)?;
                // Not before its time, and not without the approval that it needs.
                if !target.is_approved() || target.gate_due().is_none_or(|due| due > *at) {
                    return Err(Violation::Gate(*instance));
                }
            }
            Event::RetryScheduled { instance, attempt, .. } => {
                let target = find(state, *instance)?;
                if target.phase != Phase::Settling || *attempt as usize != target.attempts.len() + 1 {
                    return Err(Violation::Attempts(*instance));
                }
            }
            Event::InstanceFinished { instance, .. } => match find(state, *instance)?.phase {
                Phase::Finished { .. } => return Err(Violation::NotFinal(*instance)),
                Phase::Leased { .. } => return Err(Violation::Leases(*instance)),
                _ => {}
            },
            Event::JobReady { run, job } => {
                if state.run(*run).is_some_and(Run::waits_for_group) {
                    return Err(Violation::Group(*run));
                }
                stage(state, *run, job, &[Stage::Waiting, Stage::Ready])?;
                let found = state.run(*run).ok_or(Violation::Unknown)?;
                let known = found.job(job.as_str()).ok_or(Violation::Unknown)?;
                if found.calls_above(known).any(|call| !call.begun) {
                    return Err(Violation::Call { run: *run, job: job.clone() });
                }
            }
            Event::CallQueued { .. }
            | Event::CallBlocked { .. }
            | Event::CallBegan { .. }
            | Event::CallCancelled { .. }
            | Event::CallDone { .. }
            | Event::CallFinished { .. } => calls::before(state, event)?,
            Event::JobCalled { run, job, .. }
            | Event::JobExpanded { run, job, .. }
            | Event::JobSkipped { run, job, .. }
            | Event::JobInvalid { run, job, .. } => stage(state, *run, job, &[Stage::Ready])?,
            Event::JobFinished { run, job, .. }
                if state.run(*run).is_some_and(|found| {
                    let unbegun = |job| found.call_of(job).is_some_and(|call| !call.begun);
                    found.waits_for_group() || found.job(job.as_str()).is_some_and(unbegun)
                }) =>
            {
                stage(state, *run, job, &[Stage::Waiting])?;
            }
            Event::JobFinished { run, job, .. } => stage(state, *run, job, &[Stage::Ready, Stage::Expanded])?,
            Event::RunReleased { run, waits, .. } => {
                let run = state.run(*run).ok_or(Violation::Unknown)?;
                let free = run.group_key().is_some_and(|key| state.groups.get(&key).is_none());
                if !run.held || run.cancelled.is_some() || run.end.is_some() || free == *waits {
                    return Err(Violation::Group(run.id));
                }
            }
            Event::GroupAcquired { run, .. } => {
                let run = state.run(*run).ok_or(Violation::Unknown)?;
                let held = run.group_key().and_then(|key| state.groups.get(&key)?.holder);
                if !run.waits_for_group() || run.held || run.cancelled.is_some() || held.is_some() {
                    return Err(Violation::Group(run.id));
                }
            }
            Event::RunSubmitted { run, .. } => {
                if state.run(*run).is_some() {
                    return Err(Violation::Run(*run));
                }
            }
            Event::RunCancelled { run, .. } | Event::RunFinished { run, .. } => {
                if state.run(*run).is_none_or(|run| run.end.is_some()) {
                    return Err(Violation::Run(*run));
                }
            }
            Event::RunRetired { run } => {
                if state.run(*run).is_none_or(|run| run.end.is_none()) {
                    return Err(Violation::Run(*run));
                }
            }
        }
        Ok(())
    }

    /// Checks what an event touched, after it was applied to `state`.
    ///
    /// # Errors
    /// The first [`Violation`] found.
    pub fn after(&self, state: &State, event: &Event) -> Result<(), Violation> {
        if state.epoch != self.epoch || state.last_token != self.last_token {
            return Err(Violation::Epoch(state.epoch));
        }
        match event {
            Event::RunSubmitted { run, .. }
            | Event::RunReleased { run, .. }
            | Event::GroupAcquired { run, .. }
            | Event::RunCancelled { run, .. }
            | Event::RunFinished { run, .. } => check_run(state.run(*run).ok_or(Violation::Unknown)?),
            Event::RunRetired { run } if state.run(*run).is_none() => Ok(()),
            Event::RunRetired { run } => Err(Violation::Run(*run)),
            Event::JobReady { run, job }
            | Event::JobExpanded { run, job, .. }
            | Event::JobCalled { run, job, .. }
            | Event::CallQueued { run, job, .. }
            | Event::CallBlocked { run, job, .. }
            | Event::CallBegan { run, job, .. }
            | Event::CallCancelled { run, job, .. }
            | Event::CallDone { run, job, .. }
            | Event::CallFinished { run, job, .. }
            | Event::JobFinished { run, job, .. } => {
                let run = state.run(*run).ok_or(Violation::Unknown)?;
                let job = run.job(job.as_str()).ok_or(Violation::Unknown)?;
                if matches!(event, Event::JobExpanded { .. }) {
                    for instance in &job.instances {
                        check_instance(state, find(state, *instance)?)?;
                    }
                }
                check_job(state, run, job)
            }
            event => match reach(event) {
                Reach::Instance(instance) => check_instance(state, find(state, instance)?),
                Reach::Nothing | Reach::Run(_) | Reach::Job(..) => Ok(()),
            },
        }
    }
}

fn find(state: &State, id: InstanceId) -> Result<&Instance, Violation> {
    state.instance(id).ok_or(Violation::Unknown)
}

fn waits(instance: &Instance) -> Result<(), Violation> {
    if matches!(instance.phase, Phase::Waiting { .. }) {
        Ok(())
    } else {
        Err(Violation::Queues(instance.id()))
    }
}

fn live(state: &State, lease: &LeaseRef) -> Result<(), Violation> {
    state.leased(lease).map(|_| ()).ok_or(Violation::NoLease(lease.instance))
}

fn stage(state: &State, run: RunId, job: &JobId, allowed: &[Stage]) -> Result<(), Violation> {
    let found = state.run(run).and_then(|run| run.job(job.as_str())).ok_or(Violation::Unknown)?;
    if allowed.contains(&found.stage) { Ok(()) } else { Err(Violation::Job { run, job: job.clone() }) }
}

/// One instance: it is in exactly one place, and its attempts agree with where it is.
pub(super) fn check_instance(state: &State, instance: &Instance) -> Result<(), Violation> {
    let id = instance.id();
    let waiting = matches!(instance.phase, Phase::Waiting { .. });
    if waiting != state.queues.holds(instance) {
        return Err(Violation::Queues(id));
    }
    let leased = matches!(instance.phase, Phase::Leased { .. });
    if leased != state.leased.contains(&id) {
        return Err(Violation::Leases(id));
    }
    let due = instance.gate_due();
    let listed = due.is_some_and(|due| state.gates.contains(&(due, id)));
    let beyond = matches!(
        instance.phase,
        Phase::Blocked { .. } | Phase::Turn { .. } | Phase::Waiting { .. } | Phase::Leased { .. }
    );
    if matches!(instance.phase, Phase::Gated { .. }) != listed || (beyond && !instance.is_approved()) {
        return Err(Violation::Gate(id));
    }
    let numbered = (1..).zip(&instance.attempts).all(|(number, attempt)| attempt.number == number);
    let rising = instance.attempts.windows(2).all(|pair| matches!(pair, [a, b] if a.token < b.token));
    let over = instance.attempts.iter().rev().skip(usize::from(leased)).all(|attempt| attempt.end.is_some());
    let last_is_live = match (&instance.phase, instance.attempts.last()) {
        (Phase::Leased { token, .. }, last) => {
            last.is_some_and(|last| last.end.is_none() && last.token == *token)
        }
        (
            Phase::Waiting { backoff: None }
            | Phase::Held
            | Phase::Gated { .. }
            | Phase::Blocked { .. }
            | Phase::Turn { .. },
            last,
        ) => last.is_none(),
        // An agent may have declined the first.
        (Phase::Waiting { backoff: Some(_) } | Phase::Settling | Phase::Finished { .. }, _) => true,
    };
    if !(numbered && rising && over && last_is_live) {
        return Err(Violation::Attempts(id));
    }
    if instance.attempts.len() > ATTEMPTS_MAX as usize {
        return Err(Violation::Limit("attempts of an instance"));
    }
    let began = instance.attempts.iter().rev().skip(1).any(|attempt| attempt.step_began);
    if instance.definition.strict && !instance.definition.restart_allowed && began {
        return Err(Violation::StrictRestart(id));
    }
    Ok(())
}

/// One job: its counts and stage agree with its instances and needs.
pub(super) fn check_job(state: &State, run: &Run, job: &Job) -> Result<(), Violation> {
    let violated = |run: &Run| Violation::Job { run: run.id, job: job.id.clone() };
    let needs_done = run.needs(job).all(Job::is_finished);
    let (mut open, mut held, mut found) = (0, 0, 0);
    for instance in state.instances_of(job) {
        found += 1;
        open += u32::from(!instance.is_finished());
        held += u32::from(instance.phase == Phase::Held);
    }
    for call in &job.calls {
        found += 1;
        open += u32::from(call.result().is_none());
        held += u32::from(call.phase == CallPhase::Held);
        calls::check(run, job, call)?;
    }
    if !job.calls.is_empty() && !job.instances.is_empty() {
        return Err(violated(run));
    }
    if found != job.instances.len() + job.calls.len() || open != job.open || held as usize != job.held.len() {
        return Err(violated(run));
    }
    let agrees = match job.stage {
        Stage::Waiting => found == 0 && run.end.is_none(),
        Stage::Ready => needs_done && found == 0 && run.end.is_none(),
        Stage::Expanded => needs_done && found > 0 && run.end.is_none(),
        Stage::Finished { .. } => needs_done && open == 0,
    };
    if !agrees {
        return Err(violated(run));
    }
    if job.max_parallel.is_some_and(|limit| open - held > limit) {
        return Err(Violation::MaxParallel { run: run.id, job: job.id.clone() });
    }
    check_result(state, run, job)
}

fn check_result(state: &State, run: &Run, job: &Job) -> Result<(), Violation> {
    let Stage::Finished { result, conclusion, .. } = job.stage else { return Ok(()) };
    let parts = || {
        state
            .instances_of(job)
            .filter_map(|instance| Some((instance.result()?, instance.definition.continue_on_error)))
    };
    let expected = if !job.calls.is_empty() {
        let merged = policy::merge(job.calls.iter().filter_map(Call::result));
        (merged, merged)
    } else if job.instances.is_empty() {
        (result, result)
    } else {
        let counted = policy::merge(parts().map(|(result, ignored)| policy::effective(result, ignored)));
        (counted, policy::merge(parts().map(|(result, _)| result)))
    };
    let unbegun = run.waits.is_some() || run.call_of(job).is_some_and(|call| !call.begun);
    let never_begun = unbegun && result == JobResult::Cancelled;
    let planned = job.carried || never_begun || matches!(result, JobResult::Skipped | JobResult::Failure);
    if (result, conclusion) != expected || (job.instances.is_empty() && job.calls.is_empty() && !planned) {
        return Err(Violation::JobResult { run: run.id, job: job.id.clone() });
    }
    Ok(())
}

/// One run: finished exactly when all its jobs are. Between the last `JobFinished` and `RunFinished` of one decision it may
/// be open with nothing open in it.
pub(super) fn check_run(run: &Run) -> Result<(), Violation> {
    let open = run.jobs.iter().filter(|job| !job.is_finished()).count();
    let positions = run.positions.len() == run.jobs.len();
    if open != run.open as usize || !positions || (run.end.is_some() && open > 0) {
        return Err(Violation::Run(run.id));
    }
    Ok(())
}
