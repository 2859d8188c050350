//! Taking over records of another journal.

use tokio_postgres::types::ToSql;

use super::engine::{Engine, leader_row};
use super::failure::of_statement;
use super::row::integer;
use crate::journal::{JournalError, Mark, Record, import};

/// `$1` and `$2` the head before, `$3` and `$4` the head after, `$5` and `$6` the anchor, `$7` the least epoch, `$8` positions, `$9`
/// forms, `$10` epochs, `$11` times, `$12` hashes of the records before, `$13` payloads, `$14` checksums. One row when it was done.
const IMPORT: &str = "WITH held AS (
        UPDATE slipway.leader SET head_position = $3, head_hash = $4, anchor_position = $5, anchor_hash = $6,
            epoch = greatest(epoch, $7)
        WHERE head_position = $1 AND head_hash = $2 RETURNING 1
    ), kept AS (
        INSERT INTO slipway.record (position, version, epoch, time_ms, previous, payload, checksum)
        SELECT entry.* FROM held, unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[],
            $13::bytea[], $14::bigint[]) AS entry
    )
    SELECT 1 FROM held";

impl Engine {
    pub(super) async fn import(&mut self, records: Vec<Record>, epoch: u64) -> Result<(), JournalError> {
        let (place, before) = (self.place.clone(), self.head);
        let (anchor, after) = import::follow(before, &records)?;
        let anchor = anchor.unwrap_or(self.anchor);
        let column = |value: fn(&Record) -> i64| records.iter().map(value).collect::<Vec<i64>>();
        let positions = column(|record| integer(record.position));
        let versions = column(|record| i64::from(record.version));
        let epochs = column(|record| integer(record.epoch));
        let times = column(|record| integer(record.time_ms));
        let checksums = column(|record| i64::from(record.checksum));
        let previous: Vec<&[u8]> = records.iter().map(|record| record.previous.as_slice()).collect();
        let payloads: Vec<&[u8]> = records.iter().map(|record| record.payload.as_slice()).collect();
        let found = self
            .ask(async |session| {
                let parameters: [&(dyn ToSql + Sync); 14] = [
                    &integer(before.position),
                    &before.hash.as_slice(),
                    &integer(after.position),
                    &after.hash.as_slice(),
                    &integer(anchor.position),
                    &anchor.hash.as_slice(),
                    &integer(epoch),
                    &positions,
                    &versions,
                    &epochs,
                    &times,
                    &previous,
                    &payloads,
                    &checksums,
                ];
                session.client.query(IMPORT, &parameters).await.map_err(of_statement(&place))?;
                // Not from the answer: a try whose answer was lost may have done it.
                Ok(leader_row(session, &place).await?.head)
            })
            .await?;
        if found != after {
            let Mark { position, .. } = found;
            let reason = "somebody else writes this journal; restore into one that nobody uses".to_owned();
            return Err(JournalError::Damaged { position, reason });
        }
        (self.head, self.anchor) = (after, anchor);
        Ok(())
    }
}
