//! What really happened, beside what the scheduler believes.

use std::collections::BTreeMap;

use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::invariant::Violation;
use slipway_scheduler::{Event, InstanceId, Outcome, Rejection, RunId, State, WaitReason};

use crate::message::Execution;

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Broken {
    /// One of the scheduler's invariants.
    Invariant(Violation),
    /// Two attempts of a strict job ran at the same time.
    StrictOverlap(InstanceId),
    /// A report counted that its sender had no right to make, or that says something else than what happened.
    WrongReport(InstanceId),
    /// The journal gives another state than the one that was lived.
    Replay,
    /// The fleet watches other leases than the state has.
    FleetDisagrees,
    /// The fleet asked for something that the state refused.
    FleetRefused(Rejection),
    /// The world is healed, and a run does not finish.
    NeverFinished(RunId, Option<WaitReason>),
    /// A run finished, but something of it is still leased or queued.
    Leftover,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invariant(violation) => write!(f, "invariant: {violation}"),
            Self::StrictOverlap(instance) => write!(f, "two attempts of strict instance {instance} overlap"),
            Self::WrongReport(instance) => write!(f, "a false report of instance {instance} counted"),
            Self::Replay => f.write_str("the journal gives another state than the live one"),
            Self::FleetDisagrees => f.write_str("the fleet watches other leases than the state has"),
            Self::FleetRefused(rejection) => {
                write!(f, "the state refused what the fleet asked for: {rejection}")
            }
            Self::NeverFinished(run, Some(reason)) => write!(f, "run {run} never finishes: {reason}"),
            Self::NeverFinished(run, None) => write!(f, "run {run} never finishes"),
            Self::Leftover => f.write_str("all runs are finished, but something is leased or queued"),
        }
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Invariant(violation)
    }
}

/// The truth.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// How each execution ended.
    ends: BTreeMap<Execution, Outcome>,
    /// Which execution of each strict instance is running.
    strict: BTreeMap<InstanceId, Execution>,
}

impl Oracle {
    /// A strict job's steps begin.
    pub(crate) fn begin_strict(&mut self, lease: &LeaseRef, agent: usize) -> Result<(), Broken> {
        let execution = (lease.instance, lease.attempt, agent);
        match self.strict.insert(lease.instance, execution) {
            Some(other) if other != execution => Err(Broken::StrictOverlap(lease.instance)),
            _ => Ok(()),
        }
    }

    /// A strict job's steps are over.
    pub(crate) fn end_strict(&mut self, lease: &LeaseRef, agent: usize) {
        if self.strict.get(&lease.instance) == Some(&(lease.instance, lease.attempt, agent)) {
            self.strict.remove(&lease.instance);
        }
    }

    /// A job ended so on this agent.
    pub(crate) fn end(&mut self, lease: &LeaseRef, agent: usize, outcome: Outcome) {
        self.ends.insert((lease.instance, lease.attempt, agent), outcome);
    }

    /// Checks the events that a report led to.
    pub(crate) fn check_report(&self, events: &[Event], agent: usize) -> Result<(), Broken> {
        for event in events {
            if let Event::AttemptFinished { lease, outcome, reported: true, .. } = event
                && self.ends.get(&(lease.instance, lease.attempt, agent)) != Some(outcome)
            {
                return Err(Broken::WrongReport(lease.instance));
            }
        }
        Ok(())
    }

    /// Forgets what can't matter any more.
    pub(crate) fn forget_finished(&mut self, state: &State) {
        self.ends.retain(|(instance, _, _), _| state.instance(*instance).is_some());
    }
}
