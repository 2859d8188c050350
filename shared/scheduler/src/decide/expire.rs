//! A lease is over without a report: the fleet failed.

use crate::command::Expire;
use crate::decide::{leased, report};
use crate::event::Event;
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::state::State;
use crate::time::Timestamp;

pub(super) fn decide(state: &State, expire: &Expire, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let instance = leased(state, &expire.lease)?;
    report::end_attempt(state, instance, expire.lease, Outcome::Fleet { cause: expire.cause }, None, now)
}
