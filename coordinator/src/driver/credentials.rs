//! The credentials of enrolled agents, published by the driver for those who check calls without asking it.
//!
//! Like the table of leases it changes only after the events are durable, before anybody is told.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use slipway_scheduler::AgentId;

use crate::house::{EnrolledAgent, House};

/// Enrolled agents.
#[derive(Debug, Default)]
pub struct CredentialTable {
    agents: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the SHA-256 of their credentials, in hexadecimal.
    by_credential: HashMap<String, Member>,
    credentials: HashMap<AgentId, String>,
}

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The agent.
    pub agent: AgentId,
    /// The id of the token with which it enrolled: certificates of other enrolments are worth nothing.
    pub enrolment: String,
    /// Whether it has a certificate.
    pub certificate: bool,
}

impl CredentialTable {
    /// The agent that has this credential.
    #[must_use]
    pub fn agent(&self, sha256: &str) -> Option<Member> {
        self.read().by_credential.get(sha256).cloned()
    }

    pub(super) fn replace(&self, house: &House) {
        let mut known = Known::default();
        for enrolled in house.enrolled() {
            known.insert(enrolled);
        }
        *self.write() = known;
    }

    pub(super) fn insert(&self, enrolled: &EnrolledAgent) {
        self.write().insert(enrolled);
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
    fn insert(&mut self, enrolled: &EnrolledAgent) {
        let EnrolledAgent { agent, credential, token, certificate, .. } = enrolled;
        self.remove(*agent);
        let member = Member { agent: *agent, enrolment: token.clone(), certificate: *certificate };
        self.by_credential.insert(credential.clone(), member);
        self.credentials.insert(*agent, credential.clone());
    }

    fn remove(&mut self, agent: AgentId) {
        if let Some(credential) = self.credentials.remove(&agent) {
            self.by_credential.remove(&credential);
        }
    }
}
