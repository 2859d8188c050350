//! The planner's answer for a call whose jobs are done: its outputs.

use crate::command::FinishCall;
use crate::decide::cascade::Cascade;
use crate::decide::cut;
use crate::event::Event;
use crate::outcome::JobResult;
use crate::rejection::Rejection;
use crate::state::{CallPhase, Parent, State};
use crate::time::Timestamp;

pub(super) fn decide(state: &State, finish: FinishCall, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let FinishCall { run: id, job, call, outputs } = finish;
    let run = state.run(id).ok_or(Rejection::UnknownRun { run: id })?;
    let unknown = || Rejection::UnknownJob { run: id, job: job.clone() };
    let position = *run.positions.get(&job).ok_or_else(unknown)?;
    let found = run.jobs.get(position as usize).and_then(|job| job.calls.get(call as usize));
    let Some(CallPhase::Done { result }) = found.map(|found| found.phase) else {
        return Err(Rejection::NotDone { job, call });
    };
    let (result, outputs, message) = match outputs {
        Ok(outputs) => (result, outputs, None),
        Err(message) => (JobResult::Failure, None, Some(cut(message))),
    };
    let mut cascade = Cascade::new(state, now);
    cascade.end_call(run, Parent { job: position, call }, result, outputs, message);
    Ok(cascade.events)
}
