//! What an admin's or a new agent's request leads to.

use slipway_scheduler::{AgentId, Timestamp};

use super::tokens::TOKEN_LIFE_MS_MAX;
use super::{
    ACCESS_TOKENS_MAX, Address, ENROLLED_MAX, EnrolToken, EnrolledAgent, House, HouseEvent,
    IDENTITY_KEYS_MAX, IdentityKey, KeptSecret, KeptVariable, POOL_AGENTS_MAX, POOLS_MAX, PoolRule,
    SECRETS_MAX, SESSIONS_MAX, TOKENS_MAX, VARIABLE_BYTES_MAX, VARIABLES_MAX,
};
use crate::access::{ACCESS_LIFE_MS_MAX, ACCESS_NAME_MAX_CHARS, AccessToken, UserRole};

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub enum HouseCommand {
    /// A token for enrolment.
    MakeToken {
        /// Its new id.
        id: String,
        /// SHA-256 of its text.
        sha256: String,
        /// What it gives.
        labels: Vec<String>,
        /// For how long, in milliseconds.
        life_ms: u64,
    },
    /// A token is not to be used.
    RevokeToken {
        /// Which.
        id: String,
    },
    /// An agent presents a token.
    Enrol {
        /// The agent.
        agent: AgentId,
        /// What it calls itself.
        name: String,
        /// SHA-256 of the token's text.
        token_sha256: String,
        /// SHA-256 of the credential that it made.
        credential: String,
        /// Whether it gets a certificate.
        certificate: bool,
    },
    /// An agent is to go for good. The caller knows whether there is one.
    RemoveAgent {
        /// Which.
        agent: AgentId,
    },
    /// A token for the API and the pages.
    MakeAccessToken {
        /// Its new id.
        id: String,
        /// Whose it is.
        name: String,
        /// SHA-256 of its text.
        sha256: String,
        /// What it allows.
        role: UserRole,
        /// For how long, in milliseconds.
        life_ms: u64,
        /// Where its owner signed in, if it is a session of theirs.
        via: Option<String>,
    },
    /// A token for the API is to be good for nothing.
    RevokeAccessToken {
        /// Which.
        id: String,
    },
    /// How large a pool may be.
    SetPool(PoolRule),
    /// No rule for a pool.
    RemovePool {
        /// Its name.
        name: String,
    },
    /// A secret's new value is in this file.
    SetSecret(KeptSecret),
    /// A secret is to go.
    RemoveSecret(Address),
    /// A variable has a new value.
    SetVariable(KeptVariable),
    /// A variable is to go.
    RemoveVariable(Address),
    /// A key is to sign identity tokens.
    SetIdentityKey {
        /// The key; from when on it signs is decided here.
        key: IdentityKey,
        /// In how many milliseconds it begins to sign.
        in_ms: u64,
        /// Whether what the others signed counts no longer.
        alone: bool,
    },
    /// A key is not to be published any longer.
    RemoveIdentityKey {
        /// Its id.
        id: String,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HouseError {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Too many.
    #[error("{0}")]
    Limit(String),
    /// A token that is not good (any more).
    #[error(
        "the enrolment token is not good: it was used, revoked, has expired or never was; make another with `slipway agents token`"
    )]
    Token,
}

impl HouseCommand {
    /// The action's name in the audit trail.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::MakeToken { .. } => "agent.token",
            Self::RevokeToken { .. } => "agent.token_revoke",
            Self::Enrol { .. } => "agent.enrol",
            Self::RemoveAgent { .. } => "agent.remove",
            Self::MakeAccessToken { via: None, .. } => "token.make",
            Self::MakeAccessToken { via: Some(_), .. } => "session.begin",
            Self::RevokeAccessToken { .. } => "token.revoke",
            Self::SetPool(_) => "pool.set",
            Self::RemovePool { .. } => "pool.remove",
            Self::SetSecret(_) => "secret.set",
            Self::RemoveSecret(_) => "secret.remove",
            Self::SetVariable(_) => "variable.set",
            Self::RemoveVariable(_) => "variable.remove",
            Self::SetIdentityKey { alone: false, .. } => "identity.key",
            Self::SetIdentityKey { alone: true, .. } => "identity.key_alone",
            Self::RemoveIdentityKey { .. } => "identity.key_remove",
        }
    }

    /// What it is about, for the audit trail.
    pub(crate) fn target(&self) -> String {
        match self {
            Self::MakeToken { id, .. } | Self::RevokeToken { id } => id.clone(),
            Self::MakeAccessToken { id, name, role, via: None, .. } => format!("{id}, {name}, {role}"),
            Self::MakeAccessToken { id, name, role, via: Some(via), .. } => {
                format!("{id}, {name}, {role}, signed in at {via}")
            }
            Self::RevokeAccessToken { id } => id.clone(),
            Self::Enrol { agent, .. } | Self::RemoveAgent { agent } => agent.to_string(),
            Self::SetPool(PoolRule { name, .. }) | Self::RemovePool { name } => name.clone(),
            Self::SetSecret(KeptSecret { address, .. })
            | Self::RemoveSecret(address)
            | Self::SetVariable(KeptVariable { address, .. })
            | Self::RemoveVariable(address) => address.describe(),
            Self::SetIdentityKey { key: IdentityKey { id, .. }, .. } | Self::RemoveIdentityKey { id } => {
                id.clone()
            }
        }
    }
}

fn limit(what: &str, count: usize, most: usize) -> Result<(), HouseError> {
    match count < most {
        true => Ok(()),
        false => Err(HouseError::Limit(format!("there are {most} {what} already, the limit; remove some"))),
    }
}

impl House {
    /// The facts that a request leads to; none: it was done before.
    ///
    /// # Errors
    /// [`HouseError`] says why nothing happens.
    pub fn decide(&self, command: HouseCommand, now: Timestamp) -> Result<Option<HouseEvent>, HouseError> {
        Ok(Some(match command {
            HouseCommand::MakeToken { id, sha256, labels, life_ms } => {
                if !(1..=TOKEN_LIFE_MS_MAX).contains(&life_ms) {
                    return Err(HouseError::Invalid("a token is good for 1 second to 30 days".to_owned()));
                }
                limit("tokens for enrolment", self.tokens(now).count(), TOKENS_MAX)?;
                let expires_at = Timestamp(now.0.saturating_add(life_ms));
                HouseEvent::TokenMade(EnrolToken { id, sha256, labels, made_at: now, expires_at })
            }
            HouseCommand::RevokeToken { id } => {
                if !self.tokens(now).any(|token| token.id == id) {
                    return Err(HouseError::NotFound(format!("there is no unused token `{id}`")));
                }
                HouseEvent::TokenRevoked { id, at: now }
            }
            HouseCommand::Enrol { agent, name, token_sha256, credential, certificate } => {
                if let Some(known) = self.agent(agent)
                    && known.token_sha256 == token_sha256
                    && known.credential == credential
                {
                    // It did not hear the answer.
                    return Ok(None);
                }
                let token =
                    self.tokens(now).find(|token| token.sha256 == token_sha256).ok_or(HouseError::Token)?;
                if self.agent(agent).is_none() {
                    limit("enrolled agents", self.agents.len(), ENROLLED_MAX)?;
                }
                HouseEvent::AgentEnrolled(EnrolledAgent {
                    agent,
                    name,
                    credential,
                    token: token.id.clone(),
                    token_sha256,
                    labels: token.labels.clone(),
                    certificate,
                    at: now,
                })
            }
            HouseCommand::RemoveAgent { agent } => HouseEvent::AgentRemoved { agent, at: now },
            HouseCommand::MakeAccessToken { id, name, sha256, role, life_ms, via } => {
                let name = name.trim().to_owned();
                let long = name.chars().count() > ACCESS_NAME_MAX_CHARS;
                if name.is_empty() || long || name.chars().any(char::is_control) {
                    let message =
                        format!("a token has an owner's name of at most {ACCESS_NAME_MAX_CHARS} characters");
                    return Err(HouseError::Invalid(message));
                }
                if !(1..=ACCESS_LIFE_MS_MAX).contains(&life_ms) {
                    return Err(HouseError::Invalid("a token is good for 1 second to 366 days".to_owned()));
                }
                let good = self.access_tokens.values().filter(|token| token.expires_at > now);
                let good = good.filter(|token| token.via.is_some() == via.is_some()).count();
                match via {
                    None => limit("tokens", good, ACCESS_TOKENS_MAX)?,
                    Some(_) => limit("sessions", good, SESSIONS_MAX)?,
                }
                let expires_at = Timestamp(now.0.saturating_add(life_ms));
                let made = AccessToken { id, name, sha256, role, made_at: now, expires_at, via };
                HouseEvent::AccessTokenMade(made)
            }
            HouseCommand::RevokeAccessToken { id } => {
                if self.access_tokens.get(&id).is_none_or(|token| token.expires_at <= now) {
                    return Err(HouseError::NotFound(format!("there is no token `{id}` that is good")));
                }
                HouseEvent::AccessTokenRevoked { id, at: now }
            }
            HouseCommand::SetPool(rule) => {
                if rule.min > rule.max || rule.max > POOL_AGENTS_MAX {
                    let message = format!(
                        "a pool has min ≤ max ≤ {POOL_AGENTS_MAX}; {} and {} were given",
                        rule.min, rule.max
                    );
                    return Err(HouseError::Invalid(message));
                }
                let name = rule.name.to_ascii_lowercase();
                let twin = self.pools.iter().find(|(known, pool)| {
                    **known != name && pool.arch == rule.arch && pool.labels == rule.labels
                });
                if let Some((twin, _)) = twin {
                    let message = format!("pool `{twin}` has this architecture and these labels already");
                    return Err(HouseError::Invalid(message));
                }
                if !self.pools.contains_key(&name) {
                    limit("pools", self.pools.len(), POOLS_MAX)?;
                }
                HouseEvent::PoolSet(PoolRule { at: now, ..rule })
            }
            HouseCommand::RemovePool { name } => {
                if !self.pools.contains_key(&name.to_ascii_lowercase()) {
                    return Err(HouseError::NotFound(format!("there is no rule for a pool `{name}`")));
                }
                HouseEvent::PoolRemoved { name, at: now }
            }
            HouseCommand::SetSecret(secret) => {
                if !self.secrets.contains_key(&secret.address.key()) {
                    limit("secrets", self.secrets.len(), SECRETS_MAX)?;
                }
                HouseEvent::SecretSet(KeptSecret { at: now, ..secret })
            }
            HouseCommand::RemoveSecret(address) => {
                if !self.secrets.contains_key(&address.key()) {
                    return Err(HouseError::NotFound(format!("there is no secret {}", address.describe())));
                }
                HouseEvent::SecretRemoved { address, at: now }
            }
            HouseCommand::SetVariable(variable) => {
                if variable.value.is_empty() || variable.value.len() > VARIABLE_BYTES_MAX {
                    let message = format!("a variable's value has 1 to {VARIABLE_BYTES_MAX} bytes");
                    return Err(HouseError::Invalid(message));
                }
                if !self.variables.contains_key(&variable.address.key()) {
                    limit("variables", self.variables.len(), VARIABLES_MAX)?;
                }
                self.has_room_for(&variable)?;
                HouseEvent::VariableSet(KeptVariable { at: now, ..variable })
            }
            HouseCommand::RemoveVariable(address) => {
                if !self.variables.contains_key(&address.key()) {
                    return Err(HouseError::NotFound(format!("there is no variable {}", address.describe())));
                }
                HouseEvent::VariableRemoved { address, at: now }
            }
            HouseCommand::SetIdentityKey { key, in_ms, alone } => {
                if !alone && !self.identity_keys.contains_key(&key.id) {
                    limit("keys of identity tokens", self.identity_keys.len(), IDENTITY_KEYS_MAX)?;
                }
                let key = IdentityKey { signs_from: Timestamp(now.0.saturating_add(in_ms)), ..key };
                HouseEvent::IdentityKeySet { key, alone, at: now }
            }
            HouseCommand::RemoveIdentityKey { id } => {
                if !self.identity_keys.contains_key(&id) {
                    return Err(HouseError::NotFound(format!("there is no key {id} of identity tokens")));
                }
                HouseEvent::IdentityKeyRemoved { id, at: now }
            }
        }))
    }
}
