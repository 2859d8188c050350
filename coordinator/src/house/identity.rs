//! Which keys sign the identity tokens of jobs, and from when on.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

/// How many keys are published at a time. There are two while one takes the other's place; more where somebody rotates by hand.
pub const IDENTITY_KEYS_MAX: usize = 8;

/// A key: what everybody may know of it, and where the rest lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityKey {
    /// Its id: the thumbprint of RFC 7638.
    pub id: String,
    /// The modulus of its public half, big-endian in base64url.
    pub modulus: String,
    /// The file with all of it, sealed.
    pub file: String,
    /// From when on it signs, until the next one does.
    pub signs_from: Timestamp,
}
