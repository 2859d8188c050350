//! What is appended at once.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::failure::{Failure, of_statement};
use super::row::integer;
use super::session::Session;
use crate::journal::{Entry, JournalError, MAX_PAYLOAD_BYTES, Mark, Record};

/// The most bytes of payload in one append: a message to the server holds less than 1 GiB.
const BATCH_BYTES_MAX: usize = 512 << 20;

/// Records, and the head before and after them.
pub(super) struct Batch {
    epoch: u64,
    before: Mark,
    pub(super) after: Mark,
    records: Vec<Record>,
}

impl Batch {
    pub(super) fn new(
        place: &str,
        epoch: u64,
        before: Mark,
        entries: Vec<Entry>,
    ) -> Result<Self, JournalError> {
        if let Some(entry) = entries.iter().find(|entry| entry.payload.len() > MAX_PAYLOAD_BYTES) {
            return Err(JournalError::TooLong { size_bytes: entry.payload.len() });
        }
        let whole: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        if whole > BATCH_BYTES_MAX || entries.iter().any(|entry| i64::try_from(entry.time_ms).is_err()) {
            let reason = format!("a batch of {whole} bytes, or a time in it, is too large");
            return Err(JournalError::Engine { place: place.to_owned(), reason });
        }
        let (mut records, mut after) = (Vec::with_capacity(entries.len()), before);
        for entry in entries {
            let record = Record::new(after.position + 1, epoch, entry.time_ms, after.hash, entry.payload);
            after = record.mark();
            records.push(record);
        }
        Ok(Self { epoch, before, after, records })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends it in one statement; `false` when epoch, claim or head are others.
    pub(super) async fn append(&self, session: &Session, place: &str, claim: Uuid) -> Result<bool, Failure> {
        let column = |value: fn(&Record) -> i64| self.records.iter().map(value).collect::<Vec<i64>>();
        let times = column(|record| integer(record.time_ms));
        let checksums = column(|record| i64::from(record.checksum));
        let previous: Vec<&[u8]> = self.records.iter().map(|record| record.previous.as_slice()).collect();
        let payloads: Vec<&[u8]> = self.records.iter().map(|record| record.payload.as_slice()).collect();
        let version = self.records.first().map_or(0, |record| i64::from(record.version));
        let parameters: [&(dyn ToSql + Sync); 11] = [
            &integer(self.epoch),
            &claim.as_bytes().as_slice(),
            &integer(self.before.position),
            &self.before.hash.as_slice(),
            &integer(self.after.position),
            &self.after.hash.as_slice(),
            &version,
            &times,
            &previous,
            &payloads,
            &checksums,
        ];
        let rows = session.client.query(&session.statements.append, &parameters).await;
        Ok(!rows.map_err(of_statement(place))?.is_empty())
    }
}
