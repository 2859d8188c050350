//! The credentials of enrolled agents, published by the driver for those who check calls without asking it.
//!
//! Like the table of leases it changes only after the events are durable, before anybody is told.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use slipway_scheduler::AgentId;

use crate::house::House;

/// Agents by the SHA-256 of their credentials, in hexadecimal.
#[derive(Debug, Default)]
pub struct CredentialTable {
    agents: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_credential: HashMap<String, AgentId>,
    credentials: HashMap<AgentId, String>,
}

impl CredentialTable {
    /// The agent that has this credential.
    #[must_use]
    pub fn agent(&self, sha256: &str) -> Option<AgentId> {
        self.read().by_credential.get(sha256).copied()
    }

    pub(super) fn replace(&self, house: &House) {
        let mut known = Known::default();
        for enrolled in house.enrolled() {
            known.insert(enrolled.agent, &enrolled.credential);
        }
        *self.write() = known;
    }

    pub(super) fn insert(&self, agent: AgentId, credential: &str) {
        self.write().insert(agent, credential);
    }

    pub(super) fn remove(&self, agent: AgentId) {
        self.write().remove(agent);
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.agents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.agents.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, agent: AgentId, credential: &str) {
        self.remove(agent);
        self.by_credential.insert(credential.to_owned(), agent);
        self.credentials.insert(agent, credential.to_owned());
    }

    fn remove(&mut self, agent: AgentId) {
        if let Some(credential) = self.credentials.remove(&agent) {
            self.by_credential.remove(&credential);
        }
    }
}
