//! A strict job is about to begin its first step. The agent waits for the answer, so that a job of which no one knows
//! whether a step began is one of which none did.

use crate::command::LeaseRef;
use crate::decide::leased;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::State;

pub(super) fn decide(state: &State, lease: LeaseRef) -> Result<Vec<Event>, Rejection> {
    let instance = leased(state, &lease)?;
    let known = instance.attempts.last().is_some_and(|attempt| attempt.step_began);
    if known || !instance.definition.strict { Ok(Vec::new()) } else { Ok(vec![Event::StepBegan { lease }]) }
}
