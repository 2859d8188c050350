//! GitHub's webhooks: signed deliveries become runs of the workflows at their commit.
//!
//! Invariant: a delivery is answered after the journal has it, and is then dealt with exactly as often as it takes: a
//! crash in between repeats it at the next start, and each workflow's run is made once, because its submission is named
//! after the delivery. GitHub's JSON stops here.
//!
//! Events that Slipway makes itself (`workflow_run` of its own runs, `repository_dispatch` over the API) take the same way,
//! as deliveries of names of their own. On GitHub an event that a run raises with its own token starts nothing, so that
//! runs do not start each other for ever. Slipway gives its runs no token of the forge, so no run is ever the sender; a
//! workflow that pushes with a person's token starts runs, as on GitHub.
//!
//! What GitHub is told in return goes over its API ([`api`]). Deliberately absent: reading code over the API. Workflow files come from git.

pub mod api;
mod asked;
mod delivery;
mod installed;
mod learn;
pub mod outside;
mod payload;
mod react;
mod rules;
pub(crate) mod signature;
mod start;
#[cfg(test)]
mod tests;

pub(crate) use delivery::webhook;
pub(crate) use learn::{find_repository, learn_standing};
pub(crate) use payload::head_of;
pub(crate) use react::react;
pub(crate) use start::patiently;

/// The longest body, in bytes: GitHub's own limit.
pub const MAX_PAYLOAD_BYTES: usize = 25 << 20;
