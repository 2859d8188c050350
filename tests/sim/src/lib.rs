//! The simulator: one seed drives the scheduler, or the whole control plane, through a hostile world, and every invariant is
//! checked after each event. docs/SIMULATOR.md describes it.
//!
//! Two worlds: [`scheduler`] has the pure scheduler alone and runs a million seeds an hour; [`whole`] has the real driver over
//! a journal that loses its tail, several coordinators, agents and their logs. Both end the same way: when enough has happened
//! the world is healed, and every run must finish.
//!
//! A [`Script`] says all that makes a world, so the same script gives the same trace, whose hash is printed. Nothing here reads
//! a clock or a random source. A failing world is made smaller ([`minimise`]) and saved as a script.

mod agenda;
mod broken;
mod fault;
pub mod minimise;
mod oracle;
pub mod random;
pub mod report;
mod sabotage;
mod scheduler;
mod script;
#[cfg(test)]
mod tests;
mod trace;
mod troubles;
mod whole;
mod workload;

pub use broken::Broken;
pub use fault::Fault;
pub use sabotage::Sabotage;
pub use script::{AGENTS_MAX, JOBS_MAX, SCRIPT_VERSION, Script, WorldKind};
pub use trace::Keep;
pub use troubles::Chosen;

use report::Counts;

/// What a world came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// What happened, by kind.
    pub counts: Counts,
    /// Hash of the whole trace.
    pub trace: u64,
}

/// A world in which something broke.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The world.
    pub script: Script,
    /// After how many events.
    pub events: u64,
    /// What.
    pub broken: Broken,
    /// The troubles that came.
    pub came: Chosen,
    /// The trace, as far as it was kept.
    pub lines: Vec<String>,
}

/// Runs a world to its end.
///
/// # Errors
/// [`Failure`] with the first thing that broke.
pub fn run(script: &Script, keep: Keep) -> Result<Summary, Box<Failure>> {
    match script.world {
        WorldKind::Scheduler => scheduler::run(script, keep),
        WorldKind::Whole => whole::run(script, keep),
    }
}
