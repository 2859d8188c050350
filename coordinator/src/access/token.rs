//! Tokens of people and programs.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

use super::UserRole;

/// The longest that a token may be good for: 366 days, in milliseconds.
pub const ACCESS_LIFE_MS_MAX: u64 = 366 * 24 * 3_600_000;

/// The longest name of a token's owner, in characters.
pub const ACCESS_NAME_MAX_CHARS: usize = 100;

/// A token for the API and the pages. Its text is known to whoever asked for it and to nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// What people call it by.
    pub id: String,
    /// Whose it is: the name that environments' reviewers are known by.
    pub name: String,
    /// SHA-256 of its text, in hexadecimal.
    pub sha256: String,
    /// What it allows.
    pub role: UserRole,
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it is good for nothing.
    pub expires_at: Timestamp,
    /// Where its owner signed in, if it is a session of theirs: nobody knows its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}
