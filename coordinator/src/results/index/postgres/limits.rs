//! Every wait and count of the index in PostgreSQL.

use std::time::Duration;

/// Connections of one coordinator; further transactions wait for one.
pub(super) const CONNECTIONS: usize = 4;

/// How long a statement may take: then its connection counts as lost.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a transaction waits for another one, of any coordinator; below [`ANSWER_TIMEOUT`], so that the server tells.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the server bears a client that stops in the middle of a transaction: others wait for it.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Tries of a transaction in all.
pub(super) const TRIES: u32 = 8;

/// The first pause between two tries; later ones double.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(50);

/// The longest pause between two tries.
pub(super) const RETRY_LIMIT: Duration = Duration::from_secs(2);

/// Statements that are sent before the first answer is waited for.
pub(super) const PIPELINED: usize = 256;

/// Held while the tables are made: "Slir".
pub(super) const MIGRATION_LOCK: i64 = 0x536c_6972;

/// Held by the transaction that changes something: "Slis".
pub(super) const CHANGE_LOCK: i64 = 0x536c_6973;
