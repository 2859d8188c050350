//! Seeded mutational fuzzing of everything that reads outsiders' text.
//!
//! An input follows from its seed alone: pieces of good inputs and of a dictionary, cut, doubled, mixed and damaged. So
//! a finding is a number that anyone can replay with any compiler. A target's `run` panics when a promise is broken.
//!
//! Deliberately absent: coverage. Guided fuzzers need a nightly compiler; this one runs in the ordinary tests too.

mod mutate;
mod random;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use targets::Target;

/// What a seed led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Replays it.
    pub seed: u64,
    /// What the panic said.
    pub message: String,
    /// The input.
    pub input: Vec<u8>,
}

/// The input of a seed.
#[must_use]
pub fn input(target: Target, seed: u64) -> Vec<u8> {
    mutate::input(target, seed)
}

/// Runs one seed.
///
/// # Errors
/// The finding, when a promise is broken.
pub fn run(target: Target, seed: u64) -> Result<(), Finding> {
    let input = input(target, seed);
    catch_unwind(AssertUnwindSafe(|| target.run(&input))).map_err(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Finding { seed, message, input }
    })
}
