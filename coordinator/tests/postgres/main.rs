//! The journal on real PostgreSQL servers: what every engine promises, and what happens when servers die.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conformance;
mod coordinator;
mod failover;
// The other tests' agent: not all of it is needed here.
#[allow(dead_code)]
#[path = "../coordinator/fake_agent.rs"]
mod fake_agent;
mod history;
mod leading;
mod refusals;
mod results;
mod support;
