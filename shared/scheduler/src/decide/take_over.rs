//! A new leader begins.

use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::State;
use crate::time::Timestamp;

pub(super) fn decide(state: &State, epoch: u64, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    if epoch <= state.epoch {
        return Err(Rejection::StaleEpoch { epoch, current: state.epoch });
    }
    Ok(vec![Event::EpochBegan { epoch, at: now }])
}
