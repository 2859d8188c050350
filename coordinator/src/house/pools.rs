//! Pools: how many agents of one kind there should be.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

/// The most agents that a pool's rule may ask for.
pub const POOL_AGENTS_MAX: u32 = 10_000;

/// How large a pool may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRule {
    /// Its name.
    pub name: String,
    /// `X64` or `ARM64`.
    pub arch: String,
    /// Labels that its agents have beyond those that every agent of the architecture has; in lower case, sorted.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Never fewer agents than these.
    pub min: u32,
    /// Never more than these.
    pub max: u32,
    /// When it was set.
    pub at: Timestamp,
}
