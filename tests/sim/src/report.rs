//! Totals over many seeds.

use std::fmt;

use slipway_scheduler::Event;

use crate::config::Fault;
use crate::world::Summary;

/// What many seeds came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Events decided, by kind.
    pub events: EventCounts,
    /// The fewest events of a seed.
    pub events_min: Option<u64>,
    /// Troubles by kind.
    pub faults: [u64; Fault::COUNT],
    /// Hash over the traces of all seeds, in order.
    pub trace: u64,
}

impl Totals {
    /// Adds a seed. The order matters for `trace` alone.
    pub fn add(&mut self, summary: &Summary) {
        self.seeds += 1;
        for (total, count) in self.events.0.iter_mut().zip(summary.events.0) {
            *total += count;
        }
        let events = summary.events.total();
        self.events_min = Some(self.events_min.map_or(events, |least| least.min(events)));
        for (total, count) in self.faults.iter_mut().zip(summary.faults) {
            *total += count;
        }
        self.trace = self.trace.rotate_left(5) ^ summary.trace;
    }
}

/// How many events of each kind there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts(pub [u64; EventCounts::KINDS]);

impl EventCounts {
    /// How many kinds of events there are.
    pub const KINDS: usize = 29;

    /// Their names, in the order of the counts.
    pub const NAMES: [&'static str; Self::KINDS] = [
        "epoch began",
        "run submitted",
        "job ready",
        "job skipped",
        "job invalid",
        "job expanded",
        "instance queued",
        "leased",
        "lease extended",
        "step began",
        "cancel requested",
        "attempt finished",
        "retry scheduled",
        "instance finished",
        "job finished",
        "run cancelled",
        "run finished",
        "run retired",
        "lease declined",
        "group acquired",
        "job called",
        "call queued",
        "call blocked",
        "call began",
        "call cancelled",
        "call done",
        "call finished",
        "instance blocked",
        "instance admitted",
    ];

    /// Counts these events.
    pub fn add(&mut self, events: &[Event]) {
        for event in events {
            self.0[kind(event)] += 1;
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

const fn kind(event: &Event) -> usize {
    match event {
        Event::EpochBegan { .. } => 0,
        Event::RunSubmitted { .. } => 1,
        Event::JobReady { .. } => 2,
        Event::JobSkipped { .. } => 3,
        Event::JobInvalid { .. } => 4,
        Event::JobExpanded { .. } => 5,
        Event::InstanceQueued { .. } => 6,
        Event::Leased { .. } => 7,
        Event::LeaseExtended { .. } => 8,
        Event::StepBegan { .. } => 9,
        Event::CancelRequested { .. } => 10,
        Event::AttemptFinished { .. } => 11,
        Event::RetryScheduled { .. } => 12,
        Event::InstanceFinished { .. } => 13,
        Event::JobFinished { .. } => 14,
        Event::RunCancelled { .. } => 15,
        Event::RunFinished { .. } => 16,
        Event::RunRetired { .. } => 17,
        Event::LeaseDeclined { .. } => 18,
        Event::GroupAcquired { .. } => 19,
        Event::JobCalled { .. } => 20,
        Event::CallQueued { .. } => 21,
        Event::CallBlocked { .. } => 22,
        Event::CallBegan { .. } => 23,
        Event::CallCancelled { .. } => 24,
        Event::CallDone { .. } => 25,
        Event::CallFinished { .. } => 26,
        Event::InstanceBlocked { .. } => 27,
        Event::InstanceAdmitted { .. } => 28,
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seeds   {}", self.seeds)?;
        let events_min = self.events_min.unwrap_or_default();
        writeln!(f, "events  {} (at least {events_min} a seed)", self.events.total())?;
        for (name, count) in EventCounts::NAMES.iter().zip(self.events.0) {
            writeln!(f, "  {name:<24}{count}")?;
        }
        writeln!(f, "faults  {}", self.faults.iter().sum::<u64>())?;
        for (name, count) in Fault::NAMES.iter().zip(self.faults) {
            writeln!(f, "  {name:<24}{count}")?;
        }
        write!(f, "trace   {:016x}", self.trace)
    }
}
