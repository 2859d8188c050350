//! Agents with credentials of their own.

use serde::{Deserialize, Serialize};
use slipway_scheduler::{AgentId, Timestamp};

/// An agent that enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledAgent {
    /// Its id.
    pub agent: AgentId,
    /// What it called itself then.
    pub name: String,
    /// SHA-256 of its credential, in hexadecimal. The agent made the credential and never tells it anybody but in its calls.
    pub credential: String,
    /// The token it used.
    pub token: String,
    /// SHA-256 of that token's text: the same agent may say the same again when it did not hear the answer.
    pub token_sha256: String,
    /// Labels that its token gave it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether it got a certificate: then it shows one with every connection, and its credential alone only gets it another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificate: bool,
    /// When.
    pub at: Timestamp,
}
