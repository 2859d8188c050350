//! What the agent was given: attempts, leases and their tokens, checked once where they come from the wire.

use serde::{Deserialize, Serialize};
use slipway_proto::v1;
use thiserror::Error;
use uuid::Uuid;

/// One try at one instance of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The run.
    pub run: Uuid,
    /// The job's instance in it.
    pub instance: Uuid,
    /// Which try, from 1.
    pub number: u32,
}

/// Fencing token: a lease with a lower one is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Epoch of the leader that granted the lease.
    pub epoch: u64,
    /// Rises with every lease of the epoch.
    pub sequence: u64,
}

/// The right to execute an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The attempt.
    pub attempt: Attempt,
    /// Its token.
    pub token: Token,
}

/// A message that does not say what it must.
#[derive(Debug, Error)]
pub enum BadMessage {
    /// A field that every such message has is missing.
    #[error("the coordinator's message lacks `{0}`")]
    Missing(&'static str),
    /// An id is not a UUID.
    #[error("`{field}` is not a UUID")]
    NotAnId {
        /// The field.
        field: &'static str,
    },
    /// An attempt is numbered 0.
    #[error("attempts count from 1")]
    AttemptZero,
}

impl Lease {
    /// Checks a lease from the wire.
    ///
    /// # Errors
    /// See [`BadMessage`].
    pub fn from_wire(lease: Option<&v1::Lease>) -> Result<Self, BadMessage> {
        let lease = lease.ok_or(BadMessage::Missing("lease"))?;
        let token = lease.token.as_ref().ok_or(BadMessage::Missing("token"))?;
        Ok(Self {
            attempt: Attempt::from_wire(lease.attempt.as_ref())?,
            token: Token { epoch: token.epoch, sequence: token.sequence },
        })
    }

    /// For the wire.
    #[must_use]
    pub fn to_wire(self) -> v1::Lease {
        v1::Lease {
            attempt: Some(v1::AttemptRef {
                run_id: self.attempt.run.to_string(),
                instance_id: self.attempt.instance.to_string(),
                attempt: self.attempt.number,
            }),
            token: Some(v1::FencingToken { epoch: self.token.epoch, sequence: self.token.sequence }),
        }
    }
}

impl Attempt {
    /// Checks an attempt from the wire.
    ///
    /// # Errors
    /// See [`BadMessage`].
    pub fn from_wire(attempt: Option<&v1::AttemptRef>) -> Result<Self, BadMessage> {
        let attempt = attempt.ok_or(BadMessage::Missing("attempt"))?;
        let id = |field, text: &str| Uuid::parse_str(text).map_err(|_| BadMessage::NotAnId { field });
        if attempt.attempt == 0 {
            return Err(BadMessage::AttemptZero);
        }
        Ok(Self {
            run: id("run_id", &attempt.run_id)?,
            instance: id("instance_id", &attempt.instance_id)?,
            number: attempt.attempt,
        })
    }

    /// Name of the attempt's folder, `<instance>-<number>`.
    #[must_use]
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.instance, self.number)
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.instance, self.number)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.sequence)
    }
}
