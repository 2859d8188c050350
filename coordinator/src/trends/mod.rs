//! What the history says in sum: which tests are flaky, fail or are slow; what runs took, and how long jobs waited; how coverage and
//! findings went.
//!
//! All of it is a question to the tables ([`crate::history`]), so it is as new as those are, a moment behind the journal, and looks
//! back as far as somebody asks.

mod cells;
pub mod one_test;
pub mod reports;
pub mod tests;
pub mod usage;

/// How far back is looked where nobody says, and at most, in days.
pub const DAYS: u64 = 14;
/// See [`DAYS`].
pub const DAYS_MAX: u64 = 365;

/// A day, in milliseconds.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The moment so many days before another, in Unix milliseconds.
#[must_use]
pub const fn days_before(now_ms: u64, days: u64) -> u64 {
    now_ms.saturating_sub(days.saturating_mul(DAY_MS))
}
