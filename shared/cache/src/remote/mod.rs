//! The cache of another process, asked for a job over `slipway.v1.JobCache`: the slow tier beneath an agent's disk.
//!
//! [`engine`] is what an agent has, [`service`] what its coordinator answers with; [`wire`] is how keys and values look on the
//! way.
//!
//! Invariants: a value goes only where the host of the service says that the job may read or write; what is stored is checked
//! there ([`slipway_cas::cache::Verifying`]); a service that does not answer is an engine that is unavailable, soon.
//!
//! Deliberately absent: removing and listing. Neither is a job's business.

pub mod engine;
pub mod service;
mod wire;

pub use engine::{Instances, RemoteEngine};
pub use service::{JobCacheService, Jobs};
