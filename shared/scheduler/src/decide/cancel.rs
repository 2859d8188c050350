//! Somebody wants a run to stop. Jobs that are not ready yet still become so, for `if: always()`; the planner knows that
//! the run is cancelled. Cancelled again, it stops what has begun since.

use crate::command::Cancel;
use crate::decide::cascade::Cascade;
use crate::decide::cut;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::State;
use crate::time::Timestamp;

pub(super) fn decide(state: &State, cancel: Cancel, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let run = state.run(cancel.run).ok_or(Rejection::UnknownRun { run: cancel.run })?;
    if run.end.is_some() {
        return Err(Rejection::AlreadyFinished { run: cancel.run });
    }
    let mut cascade = Cascade::new(state, now);
    if run.cancelled.is_none() {
        let (actor, reason) = (cut(cancel.actor), cut(cancel.reason));
        cascade.events.push(Event::RunCancelled { run: cancel.run, actor, reason, at: now });
    }
    match run.group_key().filter(|_| run.waits_for_group()) {
        Some(key) => cascade.end_waiting(&key, run),
        None => cascade.cancel_run(run),
    }
    Ok(cascade.events)
}
