//! A finished run leaves the state, to keep it bounded.

use crate::event::Event;
use crate::ids::RunId;
use crate::rejection::Rejection;
use crate::state::State;

pub(super) fn decide(state: &State, run: RunId) -> Result<Vec<Event>, Rejection> {
    let found = state.run(run).ok_or(Rejection::UnknownRun { run })?;
    if found.end.is_none() {
        return Err(Rejection::NotFinished { run });
    }
    Ok(vec![Event::RunRetired { run }])
}
