//! Who leads of the coordinators that share a journal, and when it counts as dead.
//!
//! Only the epoch decides: it is checked in the transaction that appends. Whether the leader lives is a guess that makes
//! fail-over quick, and a wrong one costs a needless fail-over and nothing else.

use std::time::Duration;

/// How often a leader that has nothing to append shows that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

/// A leader whose connection to the journal is gone is dead after this time without a sign of life: it may be connecting
/// again.
pub const LEADER_GRACE: Duration = Duration::from_millis(1_500);

/// A leader whose connection still stands is dead after this time without a sign of life: its host hangs, or is cut off.
pub const LEADER_SILENT: Duration = Duration::from_secs(6);

/// Where a coordinator is reached, for agents and for people. Empty where nobody else has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// URL of its HTTP port.
    pub http: String,
    /// URL of its gRPC port.
    pub grpc: String,
}

/// The leader, as the journal knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leader {
    /// Its epoch; 0: nobody has led yet.
    pub epoch: u64,
    /// Where it is.
    pub address: Address,
    /// Whether it lives, as far as the journal can tell.
    pub alive: bool,
}
