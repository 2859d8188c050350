//! The kinds of trouble that befall a world.

use serde::{Deserialize, Serialize};

use crate::script::WorldKind;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $most:literal, $worlds:ident;)*) => {
        /// A kind of trouble.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// Its name for people.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The highest odds of a world, in per mille of the opportunities.
            pub(crate) const fn most(self) -> u64 {
                match self {
                    $(Self::$name => $most,)*
                }
            }

            /// Whether it befalls worlds of this kind.
            #[must_use]
            pub const fn befalls(self, world: WorldKind) -> bool {
                let where_ = match self {
                    $(Self::$name => Where::$worlds,)*
                };
                matches!(
                    (where_, world),
                    (Where::Both, _)
                        | (Where::Scheduler, WorldKind::Scheduler)
                        | (Where::Whole, WorldKind::Whole)
                )
            }
        }
    };
}

enum Where {
    Both,
    Scheduler,
    Whole,
}

faults! {
    /// A message did not arrive.
    MessageLost = "messages lost", 150, Scheduler;
    /// A message arrived twice.
    MessageRepeated = "messages repeated", 100, Scheduler;
    /// A message took so long that others overtook it.
    MessageDelayed = "messages delayed", 100, Both;
    /// An agent's process died; its containers went on.
    AgentCrash = "agent crashes", 10, Both;
    /// A host died with everything on it.
    HostLost = "hosts lost", 10, Both;
    /// An agent was cut off in both directions.
    Partition = "partitions", 10, Both;
    /// An agent was told to drain.
    Drain = "drains", 10, Both;
    /// A leading coordinator died, and another began from the journal.
    CoordinatorCrash = "coordinator crashes", 10, Both;
    /// The coordinator died between journal and effects: what it decided is durable and unseen.
    CrashBeforeEffects = "crashes before effects", 1, Scheduler;
    /// A wall clock jumped.
    ClockJump = "clock jumps", 10, Both;
    /// The fleet failed an attempt (image, disk, engine).
    FleetFailure = "fleet failures", 150, Both;
    /// Somebody cancelled a run.
    Cancel = "cancels", 10, Both;
    /// A delivery came twice.
    DeliveryRepeated = "deliveries repeated", 10, Both;
    /// An agent declined a lease.
    Decline = "leases declined", 100, Both;
    /// A job never ended by itself.
    Hang = "hung jobs", 10, Both;
    /// The planner answered late.
    PlannerLate = "planner late", 200, Both;
    /// The planner answered twice.
    PlannerTwice = "planner twice", 200, Both;
    /// Somebody asked for what makes no sense.
    Nonsense = "senseless commands", 60, Scheduler;
    /// A connection broke: what was under way in one direction, or both, is lost.
    ConnectionLost = "connections lost", 20, Whole;
    /// A request of its own connection (log lines, a submit) was lost on the way.
    RequestLost = "requests lost", 150, Whole;
    /// Its answer was lost: it is made again.
    AnswerLost = "answers lost", 150, Whole;
    /// A request arrived twice, the second time late.
    RequestRepeated = "requests repeated", 100, Whole;
    /// Nothing came from an agent any more; what was sent to it did.
    CutUp = "cuts from agent", 16, Whole;
    /// Nothing reached an agent any more; what it sent did.
    CutDown = "cuts to agent", 16, Whole;
    /// A coordinator that led stood still for longer than a lease, and woke up.
    LeaderPaused = "leaders paused", 8, Whole;
    /// An agent's process stood still; its containers went on.
    AgentPaused = "agents paused", 8, Whole;
    /// A follower took over from a leader that lived.
    Usurped = "leaders usurped", 8, Whole;
    /// A leader stopped as planned, with a last snapshot.
    PlannedRestart = "planned restarts", 8, Whole;
    /// The journal's host died in the middle of an append: part of the batch was written.
    TailTorn = "tails torn", 8, Whole;
    /// The journal's host died before an append was durable: none of it was.
    TailLost = "tails lost", 4, Whole;
    /// An append became durable, and its leader never heard so.
    AppendUnheard = "appends unheard", 4, Whole;
    /// The journal refused to append: its disk was full.
    DiskFull = "full disks", 3, Whole;
    /// A stand-by that had all that was acknowledged was promoted.
    StandbyPromoted = "stand-bys promoted", 6, Whole;
    /// One was promoted that was behind: acknowledged entries were lost.
    StandbyBehind = "stand-bys behind", 4, Whole;
    /// A record was changed where it lay.
    BitRot = "records damaged", 4, Whole;
    /// A coordinator of an older version ran beside a newer one.
    MixedVersions = "mixed versions", 8, Whole;
    // New kinds come last: what a seed means for the others stays.
    /// Somebody decided about an environment, of whatever run, as whoever.
    Review = "reviews", 100, Both;
}

impl Fault {
    /// How many kinds there are.
    pub const COUNT: usize = Self::ALL.len();
}
