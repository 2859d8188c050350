//! Runs and agents as the API shows them: one form for HTTP and gRPC, made from the driver's durable state.

mod agent;
mod pool;
mod run;

pub(crate) use agent::arch;
pub use agent::{AgentView, ResourcesView, agents};
pub(crate) use pool::staffed;
pub use pool::{PoolView, Pools, pools};
pub use run::{
    AttemptView, Detail, GateView, HoldView, InstanceView, JobView, RunView, StateWord, find_run, instance,
    recent_runs, run, waiting_reasons,
};

use slipway_scheduler::RunId;

/// The fewest characters of an id that stand for it.
pub const MIN_PREFIX: usize = 4;

/// The most runs one listing gives.
pub const MAX_LISTED: usize = 1_000;

/// How many runs a listing gives when it is not said.
pub const DEFAULT_LISTED: usize = 50;

/// Why a text names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Too short or not part of an id.
    #[error("`{0}` is no run id: give at least {MIN_PREFIX} of its hexadecimal digits")]
    Malformed(String),
    /// None begins with it.
    #[error("there is no run `{0}`")]
    Unknown(String),
    /// Several do.
    #[error("`{text}` fits several runs, for example {first} and {second}; give more of it")]
    Ambiguous {
        /// What was given.
        text: String,
        /// One that fits.
        first: RunId,
        /// Another.
        second: RunId,
    },
}
