//! Calls of reusable workflows: what a `uses` names, whether all calls of a run are right, and what passes between caller
//! and callee (GitHub docs, "Reuse workflows").
//!
//! Invariant: what a call can do is known when a run is submitted: every file is there, no file calls itself, and
//! nobody gets more permissions than its caller has. Only values are left to the run.
//!
//! Deliberately absent: getting files; they come parsed, by name.

mod check;
mod name;
mod passing;
mod permissions;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::syntax::Workflow;

pub use check::check;
pub use name::{FileName, is_ref};
pub use passing::{CallContext, call_inputs, call_outputs};
pub use permissions::Rights;

/// The deepest nesting, the run's own workflow included, as on GitHub.
pub const LEVELS_MAX: usize = 10;

/// The most files that a run calls, as on GitHub.
pub const CALLED_MAX: usize = 50;

/// The most calls of a run, counted through all levels and before matrices: as many as a run may have jobs.
pub const CALLS_MAX: usize = 1_000;

/// A run's workflow files by name: [`FileName`]'s text.
pub type Files = BTreeMap<String, Arc<Workflow>>;
