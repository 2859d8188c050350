//! What happened, counted by kind, and what never did.

use std::fmt;

use slipway_scheduler::{Command, Event, Rejection};

use crate::Summary;
use crate::fault::Fault;
use crate::script::WorldKind;

macro_rules! kinds {
    ($names:ident, $of:ident, $type:ty, { $($pattern:pat => $name:literal),* $(,)? }) => {
        /// Their names, in the order of the counts.
        pub const $names: [&str; [$($name),*].len()] = [$($name),*];

        fn $of(it: &$type) -> usize {
            let name = match it {
                $($pattern => $name,)*
            };
            $names.iter().position(|other| *other == name).unwrap_or_default()
        }
    };
}

kinds!(COMMANDS, command, Command, {
    Command::Submit(_) => "submit",
    Command::ResolveJob(_) => "resolve job",
    Command::FinishCall(_) => "finish call",
    Command::EnterGroup(_) => "enter group",
    Command::Grant(_) => "grant",
    Command::Report(_) => "report",
    Command::StepBegan(_) => "step began",
    Command::Expire(_) => "expire",
    Command::Decline(_) => "decline",
    Command::ExtendLease(_) => "extend lease",
    Command::Cancel(_) => "cancel",
    Command::DecideGates(_) => "decide gates",
    Command::PassGate { .. } => "pass gate",
    Command::TimeOutInstance(_) => "time out instance",
    Command::TakeOver { .. } => "take over",
    Command::RetireRun { .. } => "retire run",
});

kinds!(REJECTIONS, rejection, Rejection, {
    Rejection::Duplicate { .. } => "duplicate",
    Rejection::IdInUse { .. } => "id in use",
    Rejection::InvalidJobs(_) => "invalid jobs",
    Rejection::InvalidInstances { .. } => "invalid instances",
    Rejection::Limit { .. } => "limit",
    Rejection::UnknownRun { .. } => "unknown run",
    Rejection::UnknownJob { .. } => "unknown job",
    Rejection::UnknownInstance { .. } => "unknown instance",
    Rejection::NotWaiting { .. } => "not waiting",
    Rejection::DoesNotFit { .. } => "does not fit",
    Rejection::NoGate { .. } => "no gate",
    Rejection::GateDecided { .. } => "gate decided",
    Rejection::NotReviewer { .. } => "not a reviewer",
    Rejection::SelfReview { .. } => "self review",
    Rejection::NotReady { .. } => "not ready",
    Rejection::NotDone { .. } => "not done",
    Rejection::StaleResolution { .. } => "stale resolution",
    Rejection::StaleLease { .. } => "stale lease",
    Rejection::LeaseTime { .. } => "lease time",
    Rejection::NoLeader => "no leader",
    Rejection::StaleEpoch { .. } => "stale epoch",
    Rejection::NotFinished { .. } => "not finished",
    Rejection::AlreadyFinished { .. } => "already finished",
});

/// The names of the events, in the order of [`event`].
pub const EVENTS: [&str; 34] = [
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
    "gate decided",
    "gate opened",
    "turn awaited",
    "turn taken",
    "run released",
];

/// By number, not by name: there is one for every event of every seed.
const fn event(event: &Event) -> usize {
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
        Event::GateDecided { .. } => 29,
        Event::GateOpened { .. } => 30,
        Event::TurnAwaited { .. } => 31,
        Event::TurnTaken { .. } => 32,
        Event::RunReleased { .. } => 33,
    }
}

/// How often each kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events decided.
    pub events: [u64; EVENTS.len()],
    /// Commands decided or refused, where the world sees them.
    pub commands: [u64; COMMANDS.len()],
    /// Refusals, where the world sees them.
    pub rejections: [u64; REJECTIONS.len()],
    /// Troubles.
    pub faults: [u64; Fault::COUNT],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            events: [0; EVENTS.len()],
            commands: [0; COMMANDS.len()],
            rejections: [0; REJECTIONS.len()],
            faults: [0; Fault::COUNT],
        }
    }
}

impl Counts {
    pub(crate) fn events<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for it in events {
            self.events[event(it)] += 1;
        }
    }

    pub(crate) fn command(&mut self, it: &Command) {
        self.commands[command(it)] += 1;
    }

    pub(crate) fn rejection(&mut self, it: &Rejection) {
        self.rejections[rejection(it)] += 1;
    }

    /// All events.
    #[must_use]
    pub fn events_total(&self) -> u64 {
        self.events.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.events[..], &other.events[..]),
            (&mut self.commands[..], &other.commands[..]),
            (&mut self.rejections[..], &other.rejections[..]),
            (&mut self.faults[..], &other.faults[..]),
        ];
        for (totals, counts) in pairs {
            for (total, count) in totals.iter_mut().zip(counts) {
                *total += count;
            }
        }
    }
}

/// What many seeds of one kind of world came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Which world.
    pub world: WorldKind,
    /// Seeds run.
    pub seeds: u64,
    /// What happened.
    pub counts: Counts,
    /// The fewest events of a seed.
    pub events_min: Option<u64>,
    /// Hash over the traces of all seeds, in order.
    pub trace: u64,
}

impl Totals {
    /// Of no seed yet.
    #[must_use]
    pub fn new(world: WorldKind) -> Self {
        Self { world, seeds: 0, counts: Counts::default(), events_min: None, trace: 0 }
    }

    /// Adds a seed. The order matters for `trace` alone.
    pub fn add(&mut self, summary: &Summary) {
        self.seeds += 1;
        self.counts.add(&summary.counts);
        let events = summary.counts.events_total();
        self.events_min = Some(self.events_min.map_or(events, |least| least.min(events)));
        self.trace = self.trace.rotate_left(5) ^ summary.trace;
    }

    /// What there is of each kind: its heading, and each name with its count.
    fn tables(&self) -> Vec<(&'static str, Vec<(&'static str, u64)>)> {
        fn table(names: &[&'static str], counts: &[u64]) -> Vec<(&'static str, u64)> {
            names.iter().copied().zip(counts.iter().copied()).collect()
        }
        let faults = Fault::ALL.into_iter().filter(|fault| fault.befalls(self.world));
        let faults = faults.map(|fault| (fault.name(), self.counts.faults[fault as usize])).collect();
        let mut tables = vec![("events", table(&EVENTS, &self.counts.events)), ("faults", faults)];
        // In the whole control plane commands are made inside the real driver.
        if self.world == WorldKind::Scheduler {
            tables.push(("commands", table(&COMMANDS, &self.counts.commands)));
            tables.push(("rejections", table(&REJECTIONS, &self.counts.rejections)));
        }
        tables
    }

    /// What never happened of all that can.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let tables = self.tables().into_iter();
        let never = tables.flat_map(|(heading, table)| {
            let never = table.into_iter().filter(|(_, count)| *count == 0);
            never.map(move |(name, _)| format!("{heading}: {name}"))
        });
        never.collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seeds   {}", self.seeds)?;
        let mut all = 0;
        for (heading, table) in self.tables() {
            let least = match (heading, self.events_min) {
                ("events", Some(least)) => format!(" (at least {least} a seed)"),
                _ => String::new(),
            };
            all += table.len();
            writeln!(f, "{heading:<8}{}{least}", table.iter().map(|(_, count)| count).sum::<u64>())?;
            for (name, count) in table {
                writeln!(f, "  {name:<24}{count}")?;
            }
        }
        let missing = self.missing();
        write!(f, "covered {} of {all} kinds", all - missing.len())?;
        if !missing.is_empty() {
            write!(f, "; never {}", missing.join(", "))?;
        }
        write!(f, "\ntrace   {:016x}", self.trace)
    }
}
