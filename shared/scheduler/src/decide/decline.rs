//! An agent does not take a lease. Nothing failed and nothing was tried: it costs no attempt, and the instance waits again.
//!
//! Deliberately absent: a limit. An agent that declines gets nothing more until it is heard of again
//! ([`crate::Fleet`]), so declines come at its renewals' pace at most.

use crate::command::LeaseRef;
use crate::decide::cascade::Cascade;
use crate::decide::leased;
use crate::event::Event;
use crate::outcome::JobResult;
use crate::rejection::Rejection;
use crate::state::State;
use crate::time::Timestamp;

pub(super) fn decide(state: &State, lease: LeaseRef, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let instance = leased(state, &lease)?;
    let Some(last) = instance.attempts.last().filter(|last| !last.step_began) else {
        // It may be running after all. If it is not, nobody renews the lease, and it ends when that is certain.
        return Ok(Vec::new());
    };
    let mut cascade = Cascade::new(state, now);
    cascade.events.push(Event::LeaseDeclined { lease, at: now });
    if instance.cancel.is_some() {
        cascade.finish_instance(instance, JobResult::Cancelled, None, None);
    } else {
        cascade.events.push(Event::RetryScheduled {
            instance: instance.id(),
            attempt: last.number,
            not_before: now,
            avoid: last.agent,
        });
    }
    Ok(cascade.events)
}
