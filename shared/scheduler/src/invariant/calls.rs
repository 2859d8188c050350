//! Checks of calls of reusable workflows.

use crate::event::Event;
use crate::invariant::Violation;
use crate::outcome::JobResult;
use crate::policy;
use crate::state::{Call, CallPhase, Job, Run, State};

/// Checks an event about a call that is about to be applied.
pub(super) fn before(state: &State, event: &Event) -> Result<(), Violation> {
    let (Event::CallQueued { run, job, call, .. }
    | Event::CallBlocked { run, job, call, .. }
    | Event::CallBegan { run, job, call, .. }
    | Event::CallCancelled { run, job, call, .. }
    | Event::CallDone { run, job, call, .. }
    | Event::CallFinished { run, job, call, .. }) = event
    else {
        return Ok(());
    };
    let run = state.run(*run).ok_or(Violation::Unknown)?;
    let job = run.job(job.as_str()).ok_or(Violation::Unknown)?;
    let found = job.calls.get(*call as usize).ok_or(Violation::Unknown)?;
    let fits = match event {
        Event::CallQueued { .. } => found.phase == CallPhase::Held,
        Event::CallBlocked { .. } => found.phase == CallPhase::Blocked { order: None },
        Event::CallBegan { .. } => {
            let holder =
                found.concurrency.as_ref().and_then(|group| state.groups.get(&run.key_of(group))?.holder);
            match found.phase {
                CallPhase::Held => found.concurrency.is_none(),
                CallPhase::Blocked { .. } => holder.is_none(),
                _ => false,
            }
        }
        Event::CallCancelled { .. } => found.phase == CallPhase::Open && !found.cancelled,
        Event::CallDone { .. } => found.phase == CallPhase::Open && found.open == 0,
        Event::CallFinished { result, .. } => match found.phase {
            CallPhase::Held | CallPhase::Blocked { .. } => found.open == 0 && *result == JobResult::Cancelled,
            CallPhase::Open => found.open == 0 && !found.has_outputs,
            CallPhase::Done { .. } => true,
            CallPhase::Finished { .. } => false,
        },
        _ => true,
    };
    if fits { Ok(()) } else { Err(violation(run, job)) }
}

fn violation(run: &Run, job: &Job) -> Violation {
    Violation::Call { run: run.id, job: job.id.clone() }
}

/// One call: its count, phase and result agree with its jobs.
pub(super) fn check(run: &Run, job: &Job, call: &Call) -> Result<(), Violation> {
    let open = run.jobs_of(call).filter(|job| !job.is_finished()).count();
    let known = run.jobs_of(call).all(|inner| run.call_of(inner).is_some_and(|found| found.id == call.id));
    let begun = match call.phase {
        CallPhase::Held | CallPhase::Blocked { .. } => !call.begun,
        CallPhase::Open | CallPhase::Done { .. } => call.begun,
        CallPhase::Finished { .. } => true,
    };
    let over = !matches!(call.phase, CallPhase::Done { .. } | CallPhase::Finished { .. }) || open == 0;
    if open != call.open as usize || !known || !begun || !over {
        return Err(violation(run, job));
    }
    if let CallPhase::Finished { result, .. } | CallPhase::Done { result } = call.phase
        && call.message.is_none()
    {
        // A run may be cancelled after the call was done.
        let results = || run.jobs_of(call).filter_map(Job::result);
        let possible = [policy::run_result(results(), false), policy::run_result(results(), true)];
        if !possible.contains(&result) {
            return Err(violation(run, job));
        }
    }
    Ok(())
}

/// Between decisions no call is open whose jobs are all done, and none begins nothing.
pub(super) fn check_idle(run: &Run, job: &Job) -> Result<(), Violation> {
    if job.calls.iter().any(|call| call.phase == CallPhase::Open && call.open == 0) {
        return Err(violation(run, job));
    }
    Ok(())
}
