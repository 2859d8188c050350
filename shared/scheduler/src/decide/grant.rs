//! An agent has free slots: it gets the oldest instances that fit.

use crate::command::Grant;
use crate::event::Event;
use crate::ids::FencingToken;
use crate::limits::LEASES_PER_GRANT_MAX;
use crate::rejection::Rejection;
use crate::state::State;
use crate::time::Timestamp;

pub(super) fn decide(state: &State, grant: &Grant, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    if state.epoch == 0 {
        return Err(Rejection::NoLeader);
    }
    let count = grant.free_slots.min(LEASES_PER_GRANT_MAX) as usize;
    let epoch = state.epoch;
    let granted = state.last_token.filter(|token| token.epoch == epoch).map_or(0, |token| token.sequence);
    let chosen = state.queues.next_for(&grant.agent, count, now);
    let lease = |(sequence, id)| {
        let instance = state.instance(id)?;
        let attempt = instance.attempts.len() as u32 + 1;
        let token = FencingToken { epoch, sequence };
        Some(Event::Leased { instance: id, attempt, agent: grant.agent.id, token, at: now })
    };
    Ok((granted + 1..).zip(chosen).filter_map(lease).collect())
}
