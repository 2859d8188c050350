//! Which secrets are kept.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

use super::Address;

/// A secret that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSecret {
    /// Which.
    #[serde(flatten)]
    pub address: Address,
    /// Its sealed value's file: a new one for each value, so that neither is there without the other.
    pub file: String,
    /// When it was set.
    pub at: Timestamp,
}
