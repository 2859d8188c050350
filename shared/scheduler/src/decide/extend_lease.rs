//! A lease's full time becomes longer, durably, before it is promised: its agent is about to be upgraded.

use crate::command::ExtendLease;
use crate::decide::leased;
use crate::event::Event;
use crate::limits::LEASE_MS_MAX;
use crate::rejection::Rejection;
use crate::state::State;

pub(super) fn decide(state: &State, extend: &ExtendLease) -> Result<Vec<Event>, Rejection> {
    let instance = leased(state, &extend.lease)?;
    let current_ms = instance.lease_ms().unwrap_or_default();
    if extend.lease_ms == current_ms {
        return Ok(Vec::new());
    }
    if extend.lease_ms < current_ms || extend.lease_ms > LEASE_MS_MAX {
        return Err(Rejection::LeaseTime { current_ms, limit_ms: LEASE_MS_MAX });
    }
    Ok(vec![Event::LeaseExtended { lease: extend.lease, lease_ms: extend.lease_ms }])
}
