//! What always holds, as executable checks.
//!
//! [`check`] looks at a whole state, between decisions, and [`check_touched`] at what one decision touched. A [`Monitor`]
//! follows the events and checks, after each, what that event touched, and what no single state shows: that tokens rise, that
//! a finish is final, that each result counts once.
//! Both are for tests and the simulator; nothing in production depends on them.

mod calls;
mod fair;
mod monitor;
mod touched;
mod whole;

pub use fair::Fairness;
pub use monitor::Monitor;
pub use touched::check_touched;
pub use whole::check;

use crate::ids::{FencingToken, InstanceId, JobId, RunId};

/// Something that must never be so is so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An instance waits but no queue holds it, or the other way round.
    #[error("the queues and instance {0} disagree")]
    Queues(InstanceId),
    /// The number of queued instances is wrong.
    #[error("{counted} instances wait, the queues count {claimed}")]
    QueueLength {
        /// Instances that wait.
        counted: usize,
        /// What the queues say.
        claimed: usize,
    },
    /// The set of leased instances is wrong.
    #[error("the leases and instance {0} disagree")]
    Leases(InstanceId),
    /// An instance is between phases between decisions, or held back by nothing.
    #[error("instance {0} is nowhere: neither waiting nor leased nor finished")]
    Nowhere(InstanceId),
    /// An instance's attempts contradict its phase or each other.
    #[error("the attempts of instance {0} contradict it")]
    Attempts(InstanceId),
    /// An instance was leased while a lease of it was live.
    #[error("instance {0} has two live leases")]
    TwoLeases(InstanceId),
    /// A lease ended, or was spoken for, that was not live.
    #[error("instance {0} has no such live lease")]
    NoLease(InstanceId),
    /// A token is not greater than every one before, or of another epoch than the leader's.
    #[error("the token {0} does not rise")]
    Token(FencingToken),
    /// An epoch does not rise.
    #[error("epoch {0} does not rise")]
    Epoch(u64),
    /// Something finished changed.
    #[error("instance {0} changed after it finished")]
    NotFinal(InstanceId),
    /// A job's counts or stage contradict its instances or needs.
    #[error("the job `{job}` of run {run} contradicts its instances or needs")]
    Job {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
    },
    /// A job's result is not that of its instances.
    #[error("the result of job `{job}` of run {run} is not that of its instances")]
    JobResult {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
    },
    /// A run's counts or end contradict its jobs.
    #[error("run {0} contradicts its jobs")]
    Run(RunId),
    /// A run began before it held its concurrency group, or got one that another holds, or a group has runs that wait
    /// for nobody.
    #[error("run {0} and its concurrency group disagree")]
    Group(RunId),
    /// A call contradicts its jobs.
    #[error("a call of job `{job}` of run {run} contradicts its jobs")]
    Call {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
    },
    /// Somebody waits for a concurrency group that nobody holds, or two hold one.
    #[error("a concurrency group has waiting members and no holder, or two holders")]
    GroupMembers,
    /// More of a job's instances run or wait than `max-parallel` allows.
    #[error("more instances of job `{job}` of run {run} than `max-parallel` allows")]
    MaxParallel {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
    },
    /// A strict job started again after a step began.
    #[error("the strict instance {0} started again after a step began")]
    StrictRestart(InstanceId),
    /// An instance is behind its environment's gate without what that asks for, or the gates and it disagree.
    #[error("the gate of instance {0} and where it is disagree")]
    Gate(InstanceId),
    /// Too many of higher priorities went before one that has waited so long that it is the most urgent.
    #[error("instance {0} starves below higher priorities")]
    Starved(InstanceId),
    /// Another share got more than two turns while this one waited.
    #[error("the share {share} is passed over")]
    Unfair {
        /// Which.
        share: String,
    },
    /// A named limit is passed.
    #[error("more than the limit: {0}")]
    Limit(&'static str),
    /// The remembered deliveries contradict each other.
    #[error("the remembered deliveries contradict each other")]
    Deliveries,
    /// An event about something that does not exist.
    #[error("an event about something that does not exist")]
    Unknown,
}
