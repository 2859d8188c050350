//! Bounds of the scaler. What a pool's own setting says is in [`crate::options::ScalerOptions`].

use std::time::Duration;

/// How often pools are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a leader that began waits for agents to come back before it asks for any, or lets any go, in milliseconds: longer
/// than they wait between two tries to connect (10 s), so that those that are there are not asked for again. An agent that is
/// away no longer than that counts as there, too.
pub const SETTLE_MS: u64 = 15_000;

/// An agent is not let go before it was there for so long, in milliseconds: what it was asked for may not have got to it yet.
pub const JUST_ARRIVED_MS: u64 = 30_000;

/// An agent that is away for so long, in milliseconds, is given to the driver: longer than jobs go on without their coordinator (10
/// minutes), so that nothing is stopped in the middle of its work.
pub const AWAY_MS: u64 = 15 * 60_000;

/// How long nothing is asked for after the first failure, in milliseconds; twice as long after each further one in a row.
pub const RETRY_FIRST_MS: u64 = 10_000;

/// And at most.
pub const RETRY_MAX_MS: u64 = 10 * 60_000;

/// How long an agent may stay connected after the driver said that it is stopped, in milliseconds, before the driver is asked again.
pub const STOP_WAIT_MS: u64 = 2 * 60_000;

/// How often the driver is asked to stop one agent before the scaler gives up and forgets it.
pub const STOP_TRIES_MAX: u32 = 10;

/// How many agents that were asked for are known at a time, over all pools.
pub const ORDERS_MAX: usize = 10_000;

/// How many calls of drivers are under way at a time; others wait for the next look.
pub const CALLS_MAX: usize = 16;

/// The longest reason of a failure that is kept, in characters.
pub const WHY_MAX_CHARS: usize = 300;

/// How many of a pool's agents are listed one by one.
pub const SHOWN_MAX: usize = 50;

/// How much of a program's output goes into the log, in bytes; of longer ones the end.
pub const OUTPUT_MAX_BYTES: usize = 4 << 10;

/// How long is waited for the last of a program's output once it has ended: what it left running may hold on to it.
pub const OUTPUT_WAIT: Duration = Duration::from_millis(200);

/// How often a webhook is sent when the other side does not answer, or answers with 429 or 5xx.
pub const WEBHOOK_TRIES: u32 = 3;

/// How long is waited before a webhook is sent again, at first.
pub const WEBHOOK_WAIT_FIRST: Duration = Duration::from_millis(500);

/// And at most.
pub const WEBHOOK_WAIT_MAX: Duration = Duration::from_secs(5);

/// How much of a webhook's answer is read, in bytes.
pub const ANSWER_MAX_BYTES: usize = 4 << 10;
