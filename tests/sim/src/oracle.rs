//! What really happened, beside what the scheduler believes.

use std::collections::BTreeMap;

use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::{Event, InstanceId, Outcome, State};

use crate::broken::Broken;

/// Which execution of a job: instance, attempt, agent.
type Execution = (InstanceId, u32, usize);

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

    /// Checks that a reported end is one that happened, to this attempt, on whatever agent.
    pub(crate) fn check_reported(&self, event: &Event) -> Result<(), Broken> {
        let Event::AttemptFinished { lease, outcome, .. } = event else { return Ok(()) };
        let key = (lease.instance, lease.attempt);
        let mut ends = self.ends.range((key.0, key.1, 0)..=(key.0, key.1, usize::MAX));
        if ends.any(|(_, end)| end == outcome) { Ok(()) } else { Err(Broken::WrongReport(lease.instance)) }
    }

    /// Forgets what can't matter any more.
    pub(crate) fn forget_finished(&mut self, state: &State) {
        self.ends.retain(|(instance, _, _), _| state.instance(*instance).is_some());
    }
}
