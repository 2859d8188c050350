//! Every size and wait of the projections.

use std::time::Duration;

/// How many batches of the driver may wait for the projections; more are read from the journal later.
pub const FEED_BATCHES: usize = 256;

/// How many bytes of entries may wait for the projections.
pub const FEED_BYTES: usize = 8 << 20;

/// How many records are read from the journal at once while the projections catch up. The driver's thread reads them, in about
/// a millisecond.
pub const CATCH_UP_RECORDS: usize = 256;

/// How many entries one transaction takes before it takes no further batch.
pub const TRANSACTION_ENTRIES: usize = 1_024;

/// After how many statements a transaction takes no further entry: one attempt has up to 50,000 test cases.
pub const TRANSACTION_STATEMENTS: usize = 20_000;

/// How many instances' runs are remembered; the tables know the others.
pub const INSTANCES_REMEMBERED: usize = 100_000;

/// How many steps of one attempt are kept. A job has a few hundred at most, with all that actions add.
pub const STEPS_MAX: usize = 10_000;

/// The longest text of a column, in characters; a longer one is cut. Ids of jobs, which are part of a key, are shorter
/// ([`slipway_scheduler::limits::JOB_ID_BYTES_MAX`]), and PostgreSQL's index takes them.
pub const TEXT_MAX_CHARS: usize = 1_200;

/// After how long an agent's name and labels are looked up again.
pub const AGENT_FRESH: Duration = Duration::from_secs(600);

/// How many agents are remembered as looked up.
pub const AGENTS_REMEMBERED: usize = 20_000;

/// The first pause after a failure; later ones double.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
pub const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// How long what the driver hands over may gather before it is written: one transaction for all of it.
pub const GATHER: Duration = Duration::from_millis(50);

/// How many statements SQLite keeps prepared: more than there are.
pub const STATEMENTS_PREPARED: usize = 64;

/// How long SQLite waits for somebody else's transaction.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a PostgreSQL server has for a transaction; then its connection counts as lost. Removing rows for a rebuild is one
/// transaction.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// How many statements are on their way to PostgreSQL at once.
pub const PIPELINED: usize = 64;

/// How many questions about the history are answered at once: each may have to look through all of it.
pub const ASKED_AT_ONCE: usize = 2;

/// How long a question waits for its turn.
pub const ASK_TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a question waits for tables that are being made.
pub const MADE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it looks for them.
pub const MADE_LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a question may take.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer a PostgreSQL server is waited for than it may take: it ends the question by itself.
pub const ASK_GRACE: Duration = Duration::from_secs(5);

/// After how many of SQLite's steps the clock is looked at: well below a millisecond.
pub const ASK_STEPS: i32 = 10_000;

/// How often whoever waits for a rebuild hears how far it is.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(500);
