//! Reading, snapshots and retention.

use tokio_postgres::types::ToSql;

use super::engine::{Engine, hash_of, leader_row, page};
use super::failure::of_statement;
use super::row::{Fields, integer};
use crate::journal::{Hash, JournalError, KEPT_SNAPSHOTS, Mark, PRUNE_BATCH, Record, Snapshot};

/// `$1` how many records at most, `$2` the first position that stays, `$3` the first time that stays, `$4` how many snapshots there
/// have to be. One row with the new anchor when something was pruned. The last record always stays.
const PRUNE: &str = "WITH kept AS (
        SELECT CASE WHEN count(*) >= $4 THEN min(position) ELSE 0 END AS position FROM slipway.snapshot
    ), oldest AS (
        SELECT position, time_ms FROM slipway.record ORDER BY position LIMIT $1
    ), young AS (
        SELECT min(position) AS position FROM oldest WHERE time_ms >= $3
    ), upto AS (
        SELECT max(oldest.position) AS position FROM oldest, kept, young, slipway.leader
        WHERE oldest.position <= kept.position AND oldest.position < $2 AND oldest.position < leader.head_position
            AND oldest.position < coalesce(young.position, 9223372036854775807)
    ), moved AS (
        UPDATE slipway.leader SET anchor_position = upto.position, anchor_hash = next.previous
        FROM upto, slipway.record AS next
        WHERE next.position = upto.position + 1 AND leader.anchor_position < upto.position
        RETURNING anchor_position, anchor_hash
    ), gone AS (
        DELETE FROM slipway.record USING moved WHERE record.position <= moved.anchor_position
    )
    SELECT anchor_position, anchor_hash FROM moved";

const SAVE: &str = "INSERT INTO slipway.snapshot (position, version, checksum, size_bytes, state)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (position) DO UPDATE SET version = excluded.version,
    checksum = excluded.checksum, size_bytes = excluded.size_bytes, state = excluded.state";

const FORGET: &str = "DELETE FROM slipway.snapshot WHERE position NOT IN
    (SELECT position FROM slipway.snapshot ORDER BY position DESC LIMIT $1)";

impl Engine {
    pub(super) async fn read(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        let place = self.place.clone();
        // With the record before, whose hash the first one carries. The row comes first: whatever it names is there by the time
        // the records are read.
        let (row, mut records) = self
            .ask(async |session| {
                let records = page(session, &place, position.max(1), most + usize::from(position > 0));
                tokio::try_join!(leader_row(session, &place), records)
            })
            .await?;
        self.anchor = row.anchor;
        let known = self.head;
        if row.head.position < known.position {
            return Err(self.lost(row.head.position));
        }
        let mut previous = if position == row.anchor.position {
            row.anchor.hash
        } else if records.first().is_some_and(|first| first.position == position) {
            records.remove(0).hash()
        } else if position > row.head.position {
            return Ok(Vec::new());
        } else {
            return Err(self.missing(position).await?);
        };
        // The record that the journal begins after may still lie there.
        records.retain(|record| record.position > position);
        records.truncate(most);
        if position == known.position && previous != known.hash {
            return Err(self.lost(row.head.position));
        }
        for (record, expected) in records.iter().zip(position + 1..) {
            record.check(expected, &previous)?;
            previous = record.hash();
            if expected == known.position && previous != known.hash {
                return Err(self.lost(row.head.position));
            }
        }
        let end = records.last().map_or(position, |record| record.position);
        if records.is_empty() && end < row.head.position {
            return Err(self.missing(end + 1).await?);
        }
        if end > known.position {
            self.head = Mark { position: end, hash: previous };
        }
        Ok(records)
    }

    /// What it means that a record is not there.
    async fn missing(&mut self, position: u64) -> Result<JournalError, JournalError> {
        let place = self.place.clone();
        let anchor = self.ask(async |session| Ok(leader_row(session, &place).await?.anchor)).await?;
        Ok(if position <= anchor.position {
            JournalError::Pruned { position: anchor.position }
        } else {
            JournalError::Damaged { position, reason: "it is missing".to_owned() }
        })
    }

    pub(super) async fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        let place = self.place.clone();
        self.ask(async |session| {
            let row = leader_row(session, &place).await?;
            hash_of(session, &place, &row, position).await
        })
        .await
    }

    pub(super) async fn save_snapshot(&mut self, snapshot: Snapshot) -> Result<(), JournalError> {
        let place = self.place.clone();
        self.ask(async |session| {
            let error = of_statement(&place);
            let parameters: [&(dyn ToSql + Sync); 5] = [
                &integer(snapshot.position),
                &i64::from(snapshot.version),
                &i64::from(crc32fast::hash(&snapshot.packed)),
                &integer(snapshot.size_bytes as u64),
                &snapshot.packed,
            ];
            session.client.execute(SAVE, &parameters).await.map_err(error)?;
            // By itself: one snapshot too many for a moment is no harm.
            session.client.execute(FORGET, &[&(KEPT_SNAPSHOTS as i64)]).await.map_err(error)?;
            Ok(())
        })
        .await
    }

    pub(super) async fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        let place = self.place.clone();
        self.ask(async |session| {
            let query = "SELECT position, version, checksum, size_bytes, state, (SELECT head_position FROM slipway.leader) \
                         FROM slipway.snapshot ORDER BY position DESC";
            let rows = session.client.query(query, &[]).await.map_err(of_statement(&place))?;
            let mut snapshots = Vec::with_capacity(rows.len());
            for row in &rows {
                let fields = Fields { row, place: &place };
                let (position, packed): (u64, Vec<u8>) = (fields.number(0)?, fields.get(4)?);
                if u64::from(crc32fast::hash(&packed)) != fields.number(2)? || position > fields.number(5)? {
                    tracing::warn!(position, "a damaged snapshot is left out");
                    continue;
                }
                let version = u32::try_from(fields.number(1)?).unwrap_or(u32::MAX);
                let size_bytes = usize::try_from(fields.number(3)?).unwrap_or(usize::MAX);
                snapshots.push(Snapshot { position, version, size_bytes, packed });
            }
            Ok(snapshots)
        })
        .await
    }

    pub(super) async fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError> {
        let place = self.place.clone();
        let moved = self
            .ask(async |session| {
                let parameters: [&(dyn ToSql + Sync); 4] = [
                    &(PRUNE_BATCH as i64),
                    &integer(before),
                    &integer(older_than_ms),
                    &(KEPT_SNAPSHOTS as i64),
                ];
                session.client.query_opt(PRUNE, &parameters).await.map_err(of_statement(&place))?;
                // Not from the answer: a try whose answer was lost may have done it.
                Ok(leader_row(session, &place).await?.anchor)
            })
            .await?;
        let gone = moved.position.saturating_sub(self.anchor.position);
        self.anchor = moved;
        Ok(gone)
    }
}
