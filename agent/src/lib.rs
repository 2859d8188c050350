//! The agent: leases jobs from a coordinator and runs them in containers.
//!
//! [`agent::Agent::start`] puts the parts together: [`session`] holds the leases, [`runner`] executes jobs with
//! [`docker`] and each container's [`init`], [`steps`] says what their steps mean, [`records`] and [`journal`] keep
//! what must not be lost.
//!
//! Invariant: the process may be killed at any instant; the next one finds its jobs in their journals and their
//! containers by label, and goes on without losing or repeating a log line.
//!
//! Deliberately absent: scheduling. An agent decides nothing about which job runs where, and never talks to another.

pub mod actions;
pub mod agent;
mod beneath;
pub mod checkout;
pub mod configured_images;
pub mod coordinator;
pub mod credential;
pub mod disk;
pub mod docker;
pub mod externals;
pub mod failure;
mod git;
pub mod identity;
pub mod init;
pub mod journal;
pub mod lease;
pub mod limits;
pub mod metadata;
pub mod options;
pub mod orphan;
pub mod records;
mod removal;
pub mod reports;
pub mod runner;
pub mod session;
pub mod steps;
pub mod tier;
pub mod tunnel;
