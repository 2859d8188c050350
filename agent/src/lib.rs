//! The agent: leases jobs from a coordinator and runs them in containers.

pub mod coordinator;
pub mod docker;
pub mod failure;
pub mod identity;
pub mod init;
pub mod journal;
pub mod lease;
pub mod limits;
pub mod options;
pub mod records;
pub mod session;
pub mod steps;
