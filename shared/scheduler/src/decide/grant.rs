//! An agent has a free slot: it gets this instance, if that waits and the agent fits it.

use crate::command::{Grant, Trust};
use crate::event::Event;
use crate::ids::FencingToken;
use crate::limits::{LEASE_MS_MAX, LEASE_MS_MIN};
use crate::policy::Rules;
use crate::rejection::Rejection;
use crate::state::queue::may_retry;
use crate::state::{Phase, State};
use crate::time::Timestamp;

pub(super) fn decide(
    state: &State,
    grant: &Grant,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if state.epoch == 0 {
        return Err(Rejection::NoLeader);
    }
    let (agent, id) = (&grant.agent, grant.instance);
    let instance = state.instance(id).ok_or(Rejection::UnknownInstance { instance: id })?;
    let may_begin = match &instance.phase {
        Phase::Waiting { backoff } => backoff.is_none_or(|backoff| may_retry(&backoff, agent.id, now)),
        _ => false,
    };
    if !may_begin {
        return Err(Rejection::NotWaiting { instance: id });
    }
    let trusted = instance.trust == Trust::Trusted || agent.accepts_untrusted;
    if !trusted || !instance.labels().fits(&agent.labels) {
        return Err(Rejection::DoesNotFit { instance: id, agent: agent.id });
    }
    let last = state.last_token.filter(|token| token.epoch == state.epoch).map_or(0, |token| token.sequence);
    let token = FencingToken { epoch: state.epoch, sequence: last + 1 };
    let attempt = instance.attempts.len() as u32 + 1;
    let lease_ms = rules.lease_ms.clamp(LEASE_MS_MIN, LEASE_MS_MAX);
    Ok(vec![Event::Leased { instance: id, attempt, agent: agent.id, token, lease_ms, at: now }])
}
