//! Every wait and size of the PostgreSQL engine.

use std::time::Duration;

/// The oldest server that is supported, as `server_version_num` counts: 13.
pub(super) const SERVER_MIN: i32 = 130_000;

/// How long one host has to accept a connection and log in.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to look for a server when the journal is opened: somebody waits for the message.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// How long to look for a server that takes over from one that was lost, in all. Longer than a stand-by's promotion.
pub(super) const RECONNECT_PATIENCE: Duration = Duration::from_secs(60);

/// The first pause between two rounds over the hosts; later ones double.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(50);

/// The longest pause between two rounds over the hosts.
pub(super) const RETRY_LIMIT: Duration = Duration::from_secs(1);

/// How long a statement may take: then its connection counts as lost. A commit waits that long for a synchronous stand-by
/// that hangs.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection without traffic is probed after this time, so that a peer that vanished shows.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// The pause between two probes.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// How many probes may go unanswered.
pub(super) const KEEPALIVE_RETRIES: u32 = 3;

/// How long sent bytes may stay unacknowledged before the connection is dead.
pub(super) const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long closing the connection in good order may take.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How many hosts a URL may name.
pub(super) const HOSTS_MAX: usize = 8;

/// The longest CA file, in bytes: all public roots together have a quarter of it.
pub(super) const CA_FILE_MAX_BYTES: u64 = 1 << 20;

/// First half of every advisory lock of Slipway: "Slip". The second half is 0 for migrations, and the epoch (its low 31
/// bits) for the leader of that epoch.
pub(super) const LOCK_CLASS: i32 = 0x536c_6970;

/// What is notified after every append and take-over.
pub(super) const CHANNEL: &str = "slipway_journal";

/// The second half of the advisory lock of an epoch's leader.
pub(super) fn epoch_lock(epoch: u64) -> i32 {
    // 31 bits of a number that rises by one with each fail-over: it never comes round.
    (epoch & 0x7fff_ffff) as i32
}
