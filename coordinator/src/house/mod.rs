//! What admins decide: tokens with which agents enrol, agents that were enrolled or removed, tokens of people and programs, pools,
//! which secrets and variables are kept, and which keys sign the identity tokens of jobs.
//!
//! Invariants: like the scheduler's state it is a function of the journal; [`House::apply`] cannot fail; nothing secret is in
//! it (of a token or credential its SHA-256, of a secret its name and where its value lies, of a key its public half).
//! Deliberately absent: who may do it ([`crate::http`] checks that) and values of secrets ([`crate::vault`]).

mod address;
mod agents;
mod decide;
mod identity;
mod pools;
mod secrets;
#[cfg(test)]
mod tests;
mod tokens;
mod variables;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use slipway_scheduler::{AgentId, Timestamp};

use crate::access::AccessToken;

pub use address::{Address, KEPT_NAME_BYTES_MAX, Scope, checked_name};
pub use agents::EnrolledAgent;
pub use decide::{HouseCommand, HouseError};
pub use identity::{IDENTITY_KEYS_MAX, IdentityKey};
pub use pools::{POOL_AGENTS_MAX, PoolRule};
pub use secrets::{KeptSecret, ValuePlace};
pub use tokens::EnrolToken;
use variables::VARIABLES_MAX;
pub use variables::{KeptVariable, RepositoryVariables, VARIABLE_BYTES_MAX};

/// How many tokens for enrolment wait to be used at a time.
pub const TOKENS_MAX: usize = 10_000;

/// How many agents are enrolled at a time.
pub const ENROLLED_MAX: usize = 20_000;

/// How many removed agents are remembered, the oldest forgotten first. Those that had credentials of their own cannot come back
/// anyway.
pub const REMOVED_MAX: usize = 10_000;

/// How many pools have rules.
pub const POOLS_MAX: usize = 1_000;

/// How many tokens for the API are good at a time.
pub const ACCESS_TOKENS_MAX: usize = 10_000;

/// How many sessions of people who signed in at a provider are good at a time.
pub const SESSIONS_MAX: usize = 10_000;

/// How many secrets are kept.
pub const SECRETS_MAX: usize = 20_000;

/// A fact about the fleet, as the journal has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HouseEvent {
    /// A token for enrolment may be used, once.
    TokenMade(EnrolToken),
    /// A token will not be used any more.
    TokenRevoked {
        /// Which.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// An agent used a token and has a credential of its own from now on.
    AgentEnrolled(EnrolledAgent),
    /// An agent may not come back, whatever it presents, until it enrols again.
    AgentRemoved {
        /// Which.
        agent: AgentId,
        /// When.
        at: Timestamp,
    },
    /// A token for the API and the pages is good.
    AccessTokenMade(AccessToken),
    /// A token for the API and the pages is good for nothing any more.
    AccessTokenRevoked {
        /// Which.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// How large a pool may be.
    PoolSet(PoolRule),
    /// A pool's rule is gone.
    PoolRemoved {
        /// Its name.
        name: String,
        /// When.
        at: Timestamp,
    },
    /// A secret has a value, which lies where this says.
    SecretSet(KeptSecret),
    /// A secret is gone.
    SecretRemoved {
        /// Which.
        #[serde(flatten)]
        address: Address,
        /// When.
        at: Timestamp,
    },
    /// A variable has a value.
    VariableSet(KeptVariable),
    /// A variable is gone.
    VariableRemoved {
        /// Which.
        #[serde(flatten)]
        address: Address,
        /// When.
        at: Timestamp,
    },
    /// A key is published, and signs from its time on.
    IdentityKeySet {
        /// The key; one that was known may sign from another time on.
        #[serde(flatten)]
        key: IdentityKey,
        /// Nothing that another key signed counts any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
        /// When.
        at: Timestamp,
    },
    /// A key is published no longer.
    IdentityKeyRemoved {
        /// Which.
        id: String,
        /// When.
        at: Timestamp,
    },
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct House {
    /// By their ids.
    tokens: BTreeMap<String, EnrolToken>,
    agents: BTreeMap<AgentId, EnrolledAgent>,
    /// Oldest first.
    removed: VecDeque<AgentId>,
    /// By their ids.
    access_tokens: BTreeMap<String, AccessToken>,
    /// By their names in lower case.
    pools: BTreeMap<String, PoolRule>,
    /// By [`Address::key`].
    secrets: BTreeMap<String, KeptSecret>,
    /// By [`Address::key`].
    variables: BTreeMap<String, KeptVariable>,
    /// By their ids.
    identity_keys: BTreeMap<String, IdentityKey>,
}

impl House {
    /// Takes note of a fact.
    pub fn apply(&mut self, event: &HouseEvent) {
        match event {
            HouseEvent::TokenMade(token) => {
                self.tokens.retain(|_, known| known.expires_at > token.made_at);
                self.tokens.insert(token.id.clone(), token.clone());
            }
            HouseEvent::TokenRevoked { id, .. } => drop(self.tokens.remove(id)),
            HouseEvent::AgentEnrolled(agent) => {
                self.tokens.remove(&agent.token);
                self.removed.retain(|removed| *removed != agent.agent);
                self.agents.insert(agent.agent, agent.clone());
            }
            HouseEvent::AgentRemoved { agent, .. } => {
                self.agents.remove(agent);
                self.removed.retain(|removed| removed != agent);
                self.removed.push_back(*agent);
                if self.removed.len() > REMOVED_MAX {
                    self.removed.pop_front();
                }
            }
            HouseEvent::AccessTokenMade(token) => {
                self.access_tokens.retain(|_, known| known.expires_at > token.made_at);
                self.access_tokens.insert(token.id.clone(), token.clone());
            }
            HouseEvent::AccessTokenRevoked { id, .. } => drop(self.access_tokens.remove(id)),
            HouseEvent::PoolSet(rule) => {
                drop(self.pools.insert(rule.name.to_ascii_lowercase(), rule.clone()))
            }
            HouseEvent::PoolRemoved { name, .. } => drop(self.pools.remove(&name.to_ascii_lowercase())),
            HouseEvent::SecretSet(secret) => drop(self.secrets.insert(secret.address.key(), secret.clone())),
            HouseEvent::SecretRemoved { address, .. } => drop(self.secrets.remove(&address.key())),
            HouseEvent::VariableSet(variable) => {
                drop(self.variables.insert(variable.address.key(), variable.clone()));
            }
            HouseEvent::VariableRemoved { address, .. } => drop(self.variables.remove(&address.key())),
            HouseEvent::IdentityKeySet { key, alone, .. } => {
                if *alone {
                    self.identity_keys.clear();
                }
                self.identity_keys.insert(key.id.clone(), key.clone());
            }
            HouseEvent::IdentityKeyRemoved { id, .. } => drop(self.identity_keys.remove(id)),
        }
    }

    /// The tokens that may still be used at this time, the oldest first.
    pub fn tokens(&self, now: Timestamp) -> impl Iterator<Item = &EnrolToken> {
        self.tokens.values().filter(move |token| token.expires_at > now)
    }

    /// The tokens for the API, those that have ended too until another is made.
    pub fn access_tokens(&self) -> impl Iterator<Item = &AccessToken> {
        self.access_tokens.values()
    }

    /// The agents that enrolled.
    pub fn enrolled(&self) -> impl Iterator<Item = &EnrolledAgent> {
        self.agents.values()
    }

    /// What is known of this agent's enrolment.
    #[must_use]
    pub fn agent(&self, agent: AgentId) -> Option<&EnrolledAgent> {
        self.agents.get(&agent)
    }

    /// Whether an admin removed this agent.
    #[must_use]
    pub fn is_removed(&self, agent: AgentId) -> bool {
        self.removed.contains(&agent)
    }

    /// The pools that have rules, by name.
    pub fn pools(&self) -> impl Iterator<Item = &PoolRule> {
        self.pools.values()
    }

    /// The secrets that are kept.
    pub fn secrets(&self) -> impl Iterator<Item = &KeptSecret> {
        self.secrets.values()
    }

    /// The secrets that a job sees: those of the server, of its repository and of its environment. Of several with one name the
    /// nearest comes last.
    #[must_use]
    pub fn secrets_for(&self, repository: &str, environment: Option<&str>) -> Vec<&KeptSecret> {
        let mut seen: Vec<_> = self
            .secrets
            .values()
            .filter(|secret| secret.address.scope.reaches(repository, environment))
            .collect();
        seen.sort_by_key(|secret| secret.address.scope.nearness());
        seen
    }

    /// The keys of identity tokens that are published.
    pub fn identity_keys(&self) -> impl Iterator<Item = &IdentityKey> {
        self.identity_keys.values()
    }
}
