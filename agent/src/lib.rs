//! The agent: leases jobs from a coordinator and runs them in containers.

pub mod docker;
pub mod failure;
pub mod journal;
pub mod lease;
pub mod limits;
