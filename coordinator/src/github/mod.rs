//! GitHub's webhooks: signed deliveries become runs of the workflows at their commit.
//!
//! Invariant: a delivery is answered after the journal has it, and is then dealt with exactly as often as it takes: a
//! crash in between repeats it at the next start, and each workflow's run is made once, because its submission is named
//! after the delivery. GitHub's JSON stops here.
//!
//! Deliberately absent: GitHub's API. Workflow files come from git.

mod delivery;
mod mirror;
mod payload;
mod react;
mod signature;
#[cfg(test)]
mod tests;

pub(crate) use delivery::webhook;
pub(crate) use react::react;

/// The longest body, in bytes: GitHub's own limit.
pub const MAX_PAYLOAD_BYTES: usize = 25 << 20;
