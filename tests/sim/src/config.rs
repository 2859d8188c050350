//! How hostile a world is, and which fault is planted in the scheduler to see whether it is found.

use crate::random::Random;

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Events after which the world is healed.
    pub events_min: u64,
    /// The planted fault.
    pub sabotage: Option<Sabotage>,
}

impl Default for Config {
    fn default() -> Self {
        Self { events_min: 300, sabotage: None }
    }
}

/// A bug planted between the scheduler and its state: the simulator must find each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A report counts whatever its token.
    IgnoreFencing,
    /// An instance is leased to two agents.
    DoubleLease,
    /// A new attempt is forgotten.
    ForgetInstance,
    /// A token is given again.
    ReuseToken,
    /// A result counts twice.
    CountTwice,
    /// Leases end before their time.
    ExpireEarly,
    /// A strict job starts again after a step began.
    RestartStrict,
    /// An event takes effect without being in the journal.
    SkipJournal,
    /// A job that is ready is never planned.
    ForgetReady,
    /// A new leader forgets that open leases count as renewed.
    ForgetRenewal,
    /// `max-parallel` is not honoured.
    IgnoreMaxParallel,
    /// A share never has its turn while another one waits.
    SkipShare,
    /// The highest priority goes first, however long others have waited.
    IgnoreAge,
}

impl Sabotage {
    /// Every planted fault.
    pub const ALL: [Self; 13] = [
        Self::IgnoreFencing,
        Self::DoubleLease,
        Self::ForgetInstance,
        Self::ReuseToken,
        Self::CountTwice,
        Self::ExpireEarly,
        Self::RestartStrict,
        Self::SkipJournal,
        Self::ForgetReady,
        Self::ForgetRenewal,
        Self::IgnoreMaxParallel,
        Self::SkipShare,
        Self::IgnoreAge,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IgnoreFencing => "ignore-fencing",
            Self::DoubleLease => "double-lease",
            Self::ForgetInstance => "forget-instance",
            Self::ReuseToken => "reuse-token",
            Self::CountTwice => "count-twice",
            Self::ExpireEarly => "expire-early",
            Self::RestartStrict => "restart-strict",
            Self::SkipJournal => "skip-journal",
            Self::ForgetReady => "forget-ready",
            Self::ForgetRenewal => "forget-renewal",
            Self::IgnoreMaxParallel => "ignore-max-parallel",
            Self::SkipShare => "skip-share",
            Self::IgnoreAge => "ignore-age",
        }
    }
}

/// A kind of trouble, as counted in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A message did not arrive.
    MessageLost,
    /// A message arrived twice.
    MessageRepeated,
    /// A message took so long that others overtook it.
    MessageDelayed,
    /// An agent's process died; its containers went on.
    AgentCrash,
    /// A host died with everything on it.
    HostLost,
    /// An agent was cut off.
    Partition,
    /// An agent was told to drain.
    Drain,
    /// The coordinator died, and another began from the journal.
    CoordinatorCrash,
    /// The wall clock jumped.
    ClockJump,
    /// The fleet failed an attempt (image, disk, engine).
    FleetFailure,
    /// Somebody cancelled a run.
    Cancel,
    /// A delivery came twice.
    DeliveryRepeated,
    /// An agent declined a lease.
    Decline,
    /// A job never ended by itself.
    Hang,
    /// The planner answered late or twice.
    PlannerLate,
}

impl Fault {
    /// How many kinds there are.
    pub const COUNT: usize = 15;

    /// Every kind with its name.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "messages lost",
        "messages repeated",
        "messages delayed",
        "agent crashes",
        "hosts lost",
        "partitions",
        "drains",
        "coordinator crashes",
        "clock jumps",
        "fleet failures",
        "cancels",
        "deliveries repeated",
        "leases declined",
        "hung jobs",
        "planner late or twice",
    ];
}

/// How likely each trouble is in one world: drawn from the seed, so that some worlds have none of one kind and much of
/// another. All in per mille.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    /// Of a message to be lost.
    pub lost: u64,
    /// Of a message to arrive twice.
    pub repeated: u64,
    /// Of a message to take long.
    pub delayed: u64,
    /// Of an attempt to fail for the fleet.
    pub fleet_failure: u64,
    /// Of a lease to be declined.
    pub decline: u64,
    /// Of an attempt never to end.
    pub hang: u64,
    /// Of the planner to be late, and of it to answer twice.
    pub planner: u64,
    /// Weights of: agent crash, host loss, partition, drain, coordinator crash, clock jump, cancel, repeated delivery.
    pub chaos: [u64; 8],
}

impl Odds {
    /// A world's odds.
    pub fn draw(random: &mut Random) -> Self {
        let pick =
            |random: &mut Random, high: u64| if random.chance(400) { 0 } else { random.between(1, high) };
        Self {
            lost: pick(random, 150),
            repeated: pick(random, 100),
            delayed: pick(random, 100),
            fleet_failure: pick(random, 150),
            decline: pick(random, 100),
            hang: pick(random, 10),
            planner: pick(random, 200),
            chaos: [(); 8].map(|()| pick(random, 10)),
        }
    }
}
