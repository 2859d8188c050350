//! Every bound of what is asked of Vault.

use std::time::Duration;

/// How long one request and its answer may take.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests under way at once, of all jobs; others wait.
pub const REQUESTS_AT_ONCE: usize = 32;
/// Paths that are read at once for one job.
pub const PATHS_AT_ONCE: usize = 8;
/// The longest answer, in bytes: Vault takes no secret that is longer.
pub const ANSWER_MAX_BYTES: usize = 1 << 20;
/// The longest path, in bytes.
pub const PATH_MAX_BYTES: usize = 1024;
/// The longest name of a field, in bytes.
pub const FIELD_MAX_BYTES: usize = 255;
/// The longest token, in bytes: those of a service are below a hundred, batch tokens some hundreds.
pub const TOKEN_MAX_BYTES: usize = 8 << 10;
/// How much of what Vault says is wrong is told, in characters.
pub const WHY_MAX_CHARS: usize = 300;
/// A token that was logged in for is used for this part of its time, in hundredths.
pub const TOKEN_USED_PERCENT: u32 = 66;
