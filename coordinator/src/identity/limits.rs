//! Limits of identity tokens and of the keys that sign them.

use std::time::Duration;

/// Length of a key, in bits. RS256 alone is verified by every cloud, and 2048 bits by all of them.
pub const KEY_BITS: usize = 2_048;

/// For how long a token is good. GitHub's is good as long.
pub const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);

/// By how much a verifier's clock may be behind: `nbf` lies so far back.
pub const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// How long a key signs.
pub const ROTATE_EVERY: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How long a key is published before it signs: longer than verifiers keep what they read.
pub const PUBLISH_AHEAD: Duration = Duration::from_secs(24 * 3_600);

/// How long a key stays published after another one signs: until what it signed has ended, and as long as a verifier may take to ask.
pub const PUBLISH_AFTER: Duration = Duration::from_secs(24 * 3_600 + TOKEN_LIFE.as_secs());

/// How often the leader looks whether a key is due.
pub const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// For how long whoever reads the public documents may keep them, in seconds.
pub const DOCUMENTS_KEPT_S: u64 = 3_600;

/// The longest audience, in bytes.
pub const AUDIENCE_MAX_BYTES: usize = 1_024;

/// The most tokens for one attempt of a job: each leaves an entry in the audit trail.
pub const TOKENS_PER_ATTEMPT_MAX: u32 = 1_000;

/// How many attempts are counted before those that are over are forgotten.
pub const COUNTED_ATTEMPTS: usize = 1_024;

/// The longest text that may be the token with which a job asks, in bytes.
pub const REQUEST_TOKEN_MAX_BYTES: usize = 512;
