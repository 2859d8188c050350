//! The journal on real PostgreSQL servers: what every engine promises, and what happens when servers die.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conformance;
mod coordinator;
mod failover;
mod history;
mod leading;
mod refusals;
mod support;
