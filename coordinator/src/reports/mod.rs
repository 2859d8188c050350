//! What a run's reports say of coverage, findings and components (docs/REPORTS.md), how it compares with its base branch, and
//! what the repository's gates make of that.
//!
//! All of it is read from attempts' records, so that any coordinator can answer and nothing waits for the history's tables.
//! What an agent says is bounded here once more: its own limits are another version's.

mod base;
mod compare;
mod coverage;
pub(crate) mod gates;
mod gathered;
mod judge;
#[cfg(test)]
mod tests;

pub use compare::Compared;
pub(crate) use compare::{Beside, CompareError, beside_base, compare};
pub(crate) use coverage::change;
pub use coverage::{Coverage, percent};
pub(crate) use gathered::Gathered;
pub use gathered::{Component, Finding, Reports};
pub use judge::{Judged, judge};
