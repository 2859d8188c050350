//! Tokens with which agents enrol.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

/// The longest that a token may be good for: 30 days, in milliseconds.
pub(super) const TOKEN_LIFE_MS_MAX: u64 = 30 * 24 * 3_600_000;

/// A token that may be used once. Its text is known to whoever asked for it and to nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolToken {
    /// What people call it by.
    pub id: String,
    /// SHA-256 of its text, in hexadecimal.
    pub sha256: String,
    /// Labels that the agent gets with it, beside its own.
    #[serde(default)]
    pub labels: Vec<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it is good for nothing.
    pub expires_at: Timestamp,
}
