//! Backup and restore: all that a coordinator keeps, as one tar file, while it works.
//!
//! ```text
//! slipway-backup.json     what this is: format, version, time, where the journal ends
//! snapshot                the newest snapshot of the state, if there is one: a line of JSON, then its packed bytes
//! journal/NNNNNNNNNNNNNNNNNNNN   records from that position on, each as docs/JOURNAL.md encodes it and its checksum
//! data/…                  tokens, keys, secrets of open runs and kept ones with their key, what is known of repositories, the projections
//! objects/…               blobs, logs, caches and artifacts, where they lie in folders; always the index of the latter, as a file
//! slipway-backup.sha256   hash over the names, lengths and bytes of all before
//! ```
//!
//! The journal comes first, up to where it ends at that moment. What it names was durable before it, so a copy that is made
//! after it has all of that and perhaps more. Deliberately absent: an object store's bucket (it has versions and copies of
//! its own), mirrors of repositories (fetched again).

mod restore;
mod sum;
mod write;

use serde::{Deserialize, Serialize};

pub use restore::{RestoreError, Restored, check, restore};
pub(crate) use write::stream;

/// The form of a backup that this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// How far a restored journal's epoch is beyond the backup's: leases that were granted after the backup was made have tokens
/// of epochs in between, and none may be good again.
pub const RESTORED_EPOCHS: u64 = 1 << 20;

const MANIFEST: &str = "slipway-backup.json";
const SNAPSHOT: &str = "snapshot";
const JOURNAL: &str = "journal/";
const SUM: &str = "slipway-backup.sha256";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of Slipway that made it.
    pub version: String,
    /// When, Unix milliseconds.
    pub made_ms: u64,
    /// The last position of the journal in it.
    pub position: u64,
    /// The leader's epoch.
    pub epoch: u64,
}

/// What stands before a snapshot's packed bytes.
#[derive(Debug, Serialize, Deserialize)]
struct SnapshotHead {
    position: u64,
    version: u32,
    size_bytes: usize,
}
