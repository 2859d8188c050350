//! Which events start a workflow: `on` with its filters.
//!
//! Deliberately absent: fetching what changed. A push's files come from its payload or from the caller; where nobody
//! knows them, path filters pass, as on GitHub when a diff can't be made.

mod event;
mod glob;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

pub use event::{Decision, Event, skipped_by_message, triggered};
pub use glob::{MAX_PATTERN_CHARS, Patterns};
