//! From a workflow and an event to what runs.
//!
//! Planning happens in two parts, because a job may depend on what earlier jobs put out: [`prepare`] gives the
//! outline when a run is submitted; [`resolve_job`] decides about one job once its needs are done. [`explain`] tells
//! beforehand what can be told.
//!
//! Invariant: nothing here ever sees a secret. What may use one stays a template in the [`crate::job_spec::JobSpec`].
//!
//! Deliberately absent: state. Who calls keeps results and outputs.

mod call;
mod concurrency;
mod environment;
mod explain;
mod facts;
mod fate;
mod inputs;
mod instance;
mod outline;
mod permissions;
mod reason;
mod resolve;
mod spec;
mod steps;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

pub use call::{CallOutputsInput, CallPlan, outputs_of_call};
pub use concurrency::{MAX_GROUP_CHARS, RunConcurrency, run_concurrency};
pub use explain::{ExplainInput, Plan, PlannedJob, explain};
pub use facts::{RunFacts, github_context};
pub use inputs::dispatch_inputs;
pub use instance::labels_of;
pub(crate) use instance::{diagnostic, dynamic_diagnostic, expression_diagnostic};
pub use outline::{JobOutline, prepare, run_name};
pub use resolve::{Ancestors, InstancePlan, JobResult, NeededJob, Resolution, ResolveInput, resolve_job};
pub use steps::SkippedStep;

/// A job's time limit when it names none: 360 minutes, as on GitHub.
pub const DEFAULT_TIMEOUT_MS: u64 = 360 * 60_000;
/// The longest time limit: 35 days, GitHub's limit for a whole run.
pub const MAX_TIMEOUT_MS: u64 = 35 * 24 * 60 * 60_000;
