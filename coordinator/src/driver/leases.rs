//! The live leases, published by the driver for those who check tokens without asking it: record uploads above all.
//!
//! The table changes only after the events are durable, before anybody is told. A lease that ended meanwhile may be
//! seen as live for as long as its end is being committed; nothing that was accepted in that time came too late.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::{AgentId, InstanceId, RunId};

use super::message::RunLease;

/// Live leases by instance.
#[derive(Debug, Default)]
pub struct LeaseTable {
    live: RwLock<HashMap<InstanceId, (RunLease, AgentId)>>,
}

impl LeaseTable {
    /// Whether exactly this lease is live.
    #[must_use]
    pub fn is_live(&self, lease: &RunLease) -> bool {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.get(&lease.lease.instance).is_some_and(|(known, _)| known == lease)
    }

    /// Whether exactly this lease is live, and this agent's where one is named: tokens can be guessed.
    #[must_use]
    pub fn is_live_for(&self, lease: &RunLease, agent: Option<AgentId>) -> bool {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.get(&lease.lease.instance)
            .is_some_and(|(known, holder)| known == lease && agent.is_none_or(|agent| agent == *holder))
    }

    pub(super) fn begin(&self, run: RunId, lease: LeaseRef, agent: AgentId) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.insert(lease.instance, (RunLease { run, lease }, agent));
    }

    pub(super) fn end(&self, lease: &LeaseRef) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.get(&lease.instance).is_some_and(|(found, _)| found.lease == *lease) {
            live.remove(&lease.instance);
        }
    }
}
