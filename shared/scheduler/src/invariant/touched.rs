//! The check of what a decision touched, and of nothing else.

use crate::command::LeaseRef;
use crate::event::Event;
use crate::ids::{InstanceId, JobId, RunId};
use crate::invariant::monitor::{check_instance, check_job, check_run};
use crate::invariant::{Violation, calls};
use crate::state::{Instance, Job, Phase, Run, Stage, State};

/// Checks, between decisions, what these events are about: a job or an instance where they stay with that, else the whole run
/// with all its jobs, calls and instances. It costs time in proportion to that, so it can follow every decision; what
/// belongs to no single run ([`super::check`]: that nothing else is queued, leased or in a group) shows at the next check of
/// the whole.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check_touched(state: &State, events: &[Event]) -> Result<(), Violation> {
    let mut runs: Vec<RunId> = Vec::new();
    for event in events {
        if let Reach::Run(run) = reach(event)
            && !runs.contains(&run)
        {
            runs.push(run);
        }
    }
    for run in runs.iter().filter_map(|run| state.run(*run)) {
        check_idle_run(state, run)?;
        check_instances(state, run)?;
    }
    for event in events {
        match reach(event) {
            Reach::Job(run, job) if !runs.contains(&run) => {
                let run = state.run(run).ok_or(Violation::Unknown)?;
                check_idle_job(state, run, run.job(job.as_str()).ok_or(Violation::Unknown)?)?;
            }
            Reach::Instance(id) => {
                let Some(instance) = state.instance(id).filter(|found| !runs.contains(&found.run)) else {
                    continue;
                };
                settled(instance)?;
                check_instance(state, instance)?;
                let run = state.run(instance.run).ok_or(Violation::Unknown)?;
                let job = run.jobs.get(instance.job as usize).ok_or(Violation::Unknown)?;
                check_idle_job(state, run, job)?;
            }
            Reach::Run(_) | Reach::Job(..) | Reach::Nothing => {}
        }
    }
    Ok(())
}

fn check_idle_job(state: &State, run: &Run, job: &Job) -> Result<(), Violation> {
    check_job(state, run, job)?;
    calls::check_idle(run, job)?;
    if stands_still(run, job) { Err(Violation::Job { run: run.id, job: job.id.clone() }) } else { Ok(()) }
}

/// How far an event reaches.
pub(super) enum Reach<'a> {
    /// No run; or an event that only stands before one that says more.
    Nothing,
    Run(RunId),
    Job(RunId, &'a JobId),
    Instance(InstanceId),
}

/// How far this event reaches. There is no `_` here: an event that is new has to be told.
pub(super) fn reach(event: &Event) -> Reach<'_> {
    match event {
        // A job that is skipped or invalid is finished in the same decision.
        Event::EpochBegan { .. } | Event::JobSkipped { .. } | Event::JobInvalid { .. } => Reach::Nothing,
        Event::RunSubmitted { run, .. }
        | Event::RunReleased { run, .. }
        | Event::GroupAcquired { run, .. }
        | Event::JobCalled { run, .. }
        | Event::CallQueued { run, .. }
        | Event::CallBlocked { run, .. }
        | Event::CallBegan { run, .. }
        | Event::CallCancelled { run, .. }
        | Event::CallDone { run, .. }
        | Event::CallFinished { run, .. }
        | Event::JobFinished { run, .. }
        | Event::RunCancelled { run, .. }
        | Event::RunFinished { run, .. }
        | Event::RunRetired { run } => Reach::Run(*run),
        Event::JobReady { run, job } | Event::JobExpanded { run, job, .. } => Reach::Job(*run, job),
        Event::InstanceQueued { instance, .. }
        | Event::InstanceBlocked { instance, .. }
        | Event::InstanceAdmitted { instance, .. }
        | Event::TurnAwaited { instance, .. }
        | Event::TurnTaken { instance, .. }
        | Event::GateDecided { instance, .. }
        | Event::GateOpened { instance, .. }
        | Event::Leased { instance, .. }
        | Event::RetryScheduled { instance, .. }
        | Event::InstanceFinished { instance, .. }
        | Event::LeaseExtended { lease: LeaseRef { instance, .. }, .. }
        | Event::StepBegan { lease: LeaseRef { instance, .. } }
        | Event::CancelRequested { lease: LeaseRef { instance, .. }, .. }
        | Event::LeaseDeclined { lease: LeaseRef { instance, .. }, .. }
        | Event::AttemptFinished { lease: LeaseRef { instance, .. }, .. } => Reach::Instance(*instance),
    }
}

fn settled(instance: &Instance) -> Result<(), Violation> {
    if instance.phase == Phase::Settling { Err(Violation::Nowhere(instance.id())) } else { Ok(()) }
}

fn check_instances(state: &State, run: &Run) -> Result<(), Violation> {
    for instance in run.jobs.iter().flat_map(|job| state.instances_of(job)) {
        settled(instance)?;
        check_instance(state, instance)?;
    }
    Ok(())
}

/// One run between decisions: it agrees with its jobs, and nothing of it that could go on stands still.
pub(super) fn check_idle_run(state: &State, run: &Run) -> Result<(), Violation> {
    check_run(run)?;
    for job in &run.jobs {
        check_idle_job(state, run, job)?;
    }
    if run.end.is_none() && run.open == 0 {
        return Err(Violation::Run(run.id));
    }
    let listed = run.end.is_some_and(|end| state.finished_runs.contains(&(end.at, run.id)));
    if listed != run.end.is_some() {
        return Err(Violation::Run(run.id));
    }
    Ok(())
}

/// Whether a job waits for nothing, or holds back what `max-parallel` has room for.
fn stands_still(run: &Run, job: &Job) -> bool {
    let idle = match job.stage {
        Stage::Waiting => {
            run.needs(job).all(|need| need.result().is_some())
                && !run.waits_for_group()
                && run.calls_above(job).all(|call| call.begun)
        }
        Stage::Expanded => job.open == 0,
        Stage::Ready | Stage::Finished { .. } => false,
    };
    let room = job.max_parallel.is_none_or(|limit| job.open - (job.held.len() as u32) < limit);
    idle || (room && !job.held.is_empty())
}
