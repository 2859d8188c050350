//! The agent: leases jobs from a coordinator and runs them in containers.

pub mod init;
pub mod steps;
