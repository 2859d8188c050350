//! The coordinator ends an attempt: its agent renews the lease but let the time limit, and a margin, pass.

use crate::command::LeaseRef;
use crate::decide::leased;
use crate::decide::report::{self, Ending};
use crate::event::Event;
use crate::outcome::Outcome;
use crate::policy::Rules;
use crate::rejection::Rejection;
use crate::state::State;
use crate::time::Timestamp;

pub(super) fn decide(
    state: &State,
    lease: LeaseRef,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let instance = leased(state, &lease)?;
    // One that was asked to cancel and did not is cancelled, not timed out.
    let outcome = if instance.cancel.is_some() { Outcome::Cancelled } else { Outcome::TimedOut };
    report::end_attempt(state, instance, Ending { lease, outcome, report: None }, rules, now)
}
