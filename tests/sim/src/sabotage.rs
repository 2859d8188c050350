//! Bugs that are planted to see whether the simulator finds them.

use serde::{Deserialize, Serialize};

use crate::script::WorldKind;

macro_rules! sabotages {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $world:ident;)*) => {
        /// A planted bug: the simulator must find each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Sabotage {
            $($(#[$doc])* $name,)*
        }

        impl Sabotage {
            /// Every planted fault.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Where it is planted.
            #[must_use]
            pub const fn world(self) -> WorldKind {
                match self {
                    $(Self::$name => WorldKind::$world,)*
                }
            }
        }
    };
}

sabotages! {
    /// A report counts whatever its token.
    IgnoreFencing = "ignore-fencing", Scheduler;
    /// An instance is leased to two agents.
    DoubleLease = "double-lease", Scheduler;
    /// A new attempt is forgotten.
    ForgetInstance = "forget-instance", Scheduler;
    /// A token is given again.
    ReuseToken = "reuse-token", Scheduler;
    /// A result counts twice.
    CountTwice = "count-twice", Scheduler;
    /// Leases end before their time.
    ExpireEarly = "expire-early", Scheduler;
    /// A strict job starts again after a step began.
    RestartStrict = "restart-strict", Scheduler;
    /// An event takes effect without being in the journal.
    SkipJournal = "skip-journal", Scheduler;
    /// A job that is ready is never planned.
    ForgetReady = "forget-ready", Scheduler;
    /// A new leader forgets that open leases count as renewed.
    ForgetRenewal = "forget-renewal", Scheduler;
    /// `max-parallel` is not honoured.
    IgnoreMaxParallel = "ignore-max-parallel", Scheduler;
    /// What waits for somebody's approval goes on without it.
    OpenUnapproved = "open-unapproved", Scheduler;
    /// A share never has its turn while another one waits.
    SkipShare = "skip-share", Scheduler;
    /// The highest priority goes first, however long others have waited.
    IgnoreAge = "ignore-age", Scheduler;
    /// The journal takes appends of an epoch that is over.
    UnfencedAppend = "unfenced-append", Whole;
    /// A renewal is answered without a look at whether the epoch stands: a stale leader renews.
    StaleRenewal = "stale-renewal", Whole;
    /// The journal says that a batch is durable before it is: the driver answers before the append.
    AnswerBeforeAppend = "answer-before-append", Whole;
    /// What is left of a torn batch is kept.
    KeepTornTail = "keep-torn-tail", Whole;
    /// A damaged record is left out and the rest goes on.
    SkipDamaged = "skip-damaged", Whole;
    /// A journal that lost acknowledged entries is gone on with.
    PaperOverLoss = "paper-over-loss", Whole;
    /// An older version leaves out what it does not know.
    IgnoreUnknown = "ignore-unknown", Whole;
    /// A new leader gives leases away without waiting for agents to present theirs.
    LeaseAtTakeover = "lease-at-takeover", Whole;
    /// A strict job goes on after its stop time.
    IgnoreStopTime = "ignore-stop-time", Whole;
    /// A strict job does not wait until its first step is journaled.
    BeginUnasked = "begin-unasked", Whole;
    /// Log lines are acknowledged before they are durable.
    LogsEarly = "logs-early", Whole;
    /// Log lines are taken although some before them are missing.
    LogGap = "log-gap", Whole;
    /// A snapshot says that it has more than it has.
    SnapshotAhead = "snapshot-ahead", Whole;
}
