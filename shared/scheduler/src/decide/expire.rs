//! A lease is over without a report: the fleet failed.

use crate::command::Expire;
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
    expire: &Expire,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let instance = leased(state, &expire.lease)?;
    let outcome = Outcome::Fleet { cause: expire.cause };
    report::end_attempt(state, instance, Ending { lease: expire.lease, outcome, report: None }, rules, now)
}
