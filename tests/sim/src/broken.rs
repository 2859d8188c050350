//! What can turn out to be wrong.

use std::fmt;

use slipway_scheduler::invariant::Violation;
use slipway_scheduler::{AgentId, InstanceId, Rejection, RunId, WaitReason};

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Broken {
    /// One of the scheduler's invariants.
    Invariant(Violation),
    /// Two attempts of a strict job ran at the same time.
    StrictOverlap(InstanceId),
    /// A strict job began again after a step began.
    StrictAgain(InstanceId),
    /// A report counted that its sender had no right to make, or that says something else than what happened.
    WrongReport(InstanceId),
    /// The journal gives another state than the one that was lived.
    Replay,
    /// The fleet watches other leases than the state has.
    FleetDisagrees,
    /// The fleet asked for something that the state refused.
    FleetRefused(Rejection),
    /// Jobs of an agent take more of its processors or memory than it has.
    Overcommitted(AgentId),
    /// The world is healed, and a run does not finish.
    NeverFinished(RunId, Option<WaitReason>),
    /// A run finished, but something of it is still leased or queued.
    Leftover,
    /// Something was seen that is not durable.
    SeenBeforeDurable(&'static str),
    /// An acknowledged entry of the journal is gone, or another one is in its place.
    EntryLost(u64),
    /// A batch is there in part.
    BatchTorn(u64),
    /// Somebody appended under an epoch that was over.
    StaleAppend(u64),
    /// A coordinator went on with a journal that it should have refused.
    WentOn(&'static str),
    /// A coordinator stopped without a reason for it.
    Stopped(String),
    /// The journal takes no more appends, or cannot be read, though nothing is wrong with it.
    Journal(String),
    /// A run that was answered for is not there.
    RunLost(RunId),
    /// A run has another result than the one that was told before.
    NotFinal(RunId),
    /// Log lines of an attempt are missing, doubled or out of order.
    LogBroken(InstanceId),
    /// A line was acknowledged and is not there.
    LineLost(InstanceId),
}

impl Broken {
    /// What is wrong, without where: two failures of one name are taken for the same one.
    #[must_use]
    pub fn name(&self) -> String {
        let text = match self {
            Self::Invariant(violation) => format!("{violation:?}"),
            other => format!("{other:?}"),
        };
        let end = text.find(['(', ' ', '{']).unwrap_or(text.len());
        text[..end].to_owned()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(violation) => write!(f, "invariant: {violation}"),
            Self::StrictOverlap(instance) => write!(f, "two attempts of strict instance {instance} overlap"),
            Self::StrictAgain(instance) => write!(f, "strict instance {instance} began again"),
            Self::WrongReport(instance) => write!(f, "a false report of instance {instance} counted"),
            Self::Replay => f.write_str("the journal gives another state than the live one"),
            Self::FleetDisagrees => f.write_str("the fleet watches other leases than the state has"),
            Self::FleetRefused(rejection) => {
                write!(f, "the state refused what the fleet asked for: {rejection}")
            }
            Self::Overcommitted(agent) => write!(f, "the jobs of agent {agent} take more than it has"),
            Self::NeverFinished(run, Some(reason)) => write!(f, "run {run} never finishes: {reason}"),
            Self::NeverFinished(run, None) => write!(f, "run {run} never finishes"),
            Self::Leftover => f.write_str("all runs are finished, but something is leased or queued"),
            Self::SeenBeforeDurable(what) => write!(f, "{what} was seen before its event was durable"),
            Self::EntryLost(position) => write!(f, "the acknowledged entry {position} is gone or changed"),
            Self::BatchTorn(position) => write!(f, "the batch at {position} is there in part"),
            Self::StaleAppend(epoch) => write!(f, "epoch {epoch} appended after it was over"),
            Self::WentOn(what) => write!(f, "a coordinator went on with {what}"),
            Self::Stopped(why) => write!(f, "a coordinator stopped: {why}"),
            Self::Journal(why) => write!(f, "the journal is whole and cannot be used: {why}"),
            Self::RunLost(run) => write!(f, "run {run} was answered for and is not there"),
            Self::NotFinal(run) => write!(f, "the result of run {run} changed after it was told"),
            Self::LogBroken(instance) => write!(f, "log lines of instance {instance} are not contiguous"),
            Self::LineLost(instance) => write!(f, "an acknowledged log line of instance {instance} is gone"),
        }
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Invariant(violation)
    }
}
