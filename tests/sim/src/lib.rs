//! The simulator: one seed drives the pure scheduler through a hostile world, and every invariant is checked after each
//! event.
//!
//! The world: a coordinator that crashes and is followed by another from the journal alone; agents that crash, come back
//! with or without their jobs, are cut off, drain; messages that are lost, repeated and overtake each other; a wall clock
//! that jumps; people who submit, cancel and submit the same delivery twice. When enough has happened the world is healed,
//! and every run must finish.
//!
//! Besides the scheduler's own invariants ([`slipway_scheduler::invariant`]) the simulator knows what *really* happened
//! ([`oracle`]): which agent executed what, how it ended. Nothing here reads a clock or a random source: the same seed gives
//! the same trace, whose hash is printed. Deliberately absent: IO, threads inside a seed, and any knowledge of the real
//! driver, which has its own tests.

mod agent;
mod chaos;
pub mod config;
mod coordinator;
mod message;
pub mod oracle;
pub mod random;
pub mod report;
#[cfg(test)]
mod tests;
mod trace;
mod unfair;
mod workload;
mod world;

pub use config::{Config, Fault, Sabotage};
pub use oracle::Broken;
pub use world::{Failure, Summary, run_seed};
