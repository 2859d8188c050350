//! The statements, prepared once for each connection. Each is a transaction by itself: a client that freezes in the
//! middle of its work holds no lock.

use tokio_postgres::{Client, Error, Statement};

use super::limits::{CHANNEL, LOCK_CLASS};

/// `$1` epoch, `$2` claim, `$3` and `$4` the head before, `$5` and `$6` the head after, `$7` the form of the records, `$8` times, `$9`
/// hashes of the records before, `$10` payloads, `$11` checksums. One row when it was appended.
fn append() -> String {
    format!(
        "WITH held AS (
            UPDATE slipway.leader SET head_position = $5, head_hash = $6, beat = clock_timestamp()
            WHERE epoch = $1 AND claim = $2 AND head_position = $3 AND head_hash = $4
            RETURNING epoch
        ), kept AS (
            INSERT INTO slipway.record (position, version, epoch, time_ms, previous, payload, checksum)
            SELECT $3 + entry.number, $7, held.epoch, entry.time_ms, entry.previous, entry.payload, entry.checksum
            FROM held, unnest($8::bigint[], $9::bytea[], $10::bytea[], $11::bigint[])
                WITH ORDINALITY AS entry (time_ms, previous, payload, checksum, number)
        )
        SELECT pg_notify('{CHANNEL}', '') FROM held"
    )
}

/// `$1` epoch, `$2` claim, `$3` and `$4` the head. One row when all of it stands.
const BEAT: &str = "UPDATE slipway.leader SET beat = clock_timestamp()
    WHERE epoch = $1 AND claim = $2 AND head_position = $3 AND head_hash = $4 RETURNING 1";

/// The leader's row: epoch, claim, addresses, seconds since its beat, whether its lock is held, head, anchor.
fn leader() -> String {
    format!(
        "SELECT epoch, claim, http, grpc, extract(epoch FROM clock_timestamp() - greatest(beat, 'epoch'))::float8,
            EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND classid::bigint = {LOCK_CLASS} AND objid::bigint = leader.epoch & 2147483647 AND objsubid = 2),
            head_position, head_hash, anchor_position, anchor_hash
        FROM slipway.leader"
    )
}

/// `$1` the epoch seen, `$2` claim, `$3` and `$4` addresses. One row with head and anchor when it was taken.
fn take_over() -> String {
    format!(
        "WITH taken AS (
            UPDATE slipway.leader SET epoch = epoch + 1, claim = $2, http = $3, grpc = $4, beat = clock_timestamp()
            WHERE epoch = $1 RETURNING epoch
        )
        SELECT pg_try_advisory_lock({LOCK_CLASS}, (epoch & 2147483647)::integer), pg_notify('{CHANNEL}', '') FROM taken"
    )
}

/// `$1` the first position, `$2` how many records, `$3` how many bytes; the record that passes them is the last.
const READ: &str = "SELECT position, version, epoch, time_ms, previous, payload, checksum FROM (
        SELECT *, sum(octet_length(payload)) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - octet_length(payload)
            AS bytes_before
        FROM (SELECT * FROM slipway.record WHERE position >= $1 ORDER BY position LIMIT $2) AS page
    ) AS sized WHERE bytes_before < $3 ORDER BY position";

/// Prepared statements.
pub(super) struct Statements {
    pub(super) append: Statement,
    pub(super) beat: Statement,
    pub(super) leader: Statement,
    pub(super) take_over: Statement,
    pub(super) read: Statement,
}

impl Statements {
    /// Prepares them all in one round trip.
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        let (append, leader, take_over) = (append(), leader(), take_over());
        let (append, beat, leader, take_over, read) = tokio::try_join!(
            client.prepare(&append),
            client.prepare(BEAT),
            client.prepare(&leader),
            client.prepare(&take_over),
            client.prepare(READ),
        )?;
        Ok(Self { append, beat, leader, take_over, read })
    }
}
