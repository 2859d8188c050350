//! Reads an attempt's records from any number on.
//!
//! A reader of a live attempt sees what came, durable or not yet; each reads for itself, so that it never holds up whoever
//! writes. A reader of stored records needs no writer in this process.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use slipway_proto::v1::Record;
use tokio::sync::watch;

use super::chunk::take_next;
use super::cursor::{Cursor, Until};
use super::engine::Engine;
use super::limits::READ_BYTES;
use super::{AttemptKey, AttemptLog, Progress, RecordsError};

/// A place in an attempt's records.
#[derive(Debug)]
pub struct Reader {
    cursor: Cursor,
    /// The stream, and how far it is; none when only what is stored is read.
    live: Option<(AttemptLog, watch::Receiver<Progress>)>,
    next: u64,
}

impl Reader {
    /// A reader of a stream, whose first record is the one of number `from` (0 counts as 1).
    #[must_use]
    pub fn new(log: AttemptLog, from: u64) -> Self {
        let progress = log.progress();
        let cursor = Cursor::new(Arc::clone(&log.shared.engine), log.shared.key);
        Self { cursor, live: Some((log, progress)), next: from.max(1) }
    }

    /// A reader of what is stored. While another process writes, later calls find more.
    pub(super) fn stored(engine: Arc<dyn Engine>, key: AttemptKey, from: u64) -> Self {
        Self { cursor: Cursor::new(engine, key), live: None, next: from.max(1) }
    }

    /// Number of the record that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Waits until there is a record that was not read yet; `false` when no more come from here: the stream broke, or
    /// only stored records are read.
    pub async fn ready(&mut self) -> bool {
        let next = self.next;
        let Some((_, progress)) = &mut self.live else { return false };
        let progress = progress.wait_for(|progress| progress.written >= next || progress.broken).await;
        progress.is_ok_and(|progress| !progress.broken || progress.durable >= next)
    }

    /// The next records, about a mebibyte of them; none when all were read.
    ///
    /// # Errors
    /// [`RecordsError::Damaged`], [`RecordsError::Missing`], [`RecordsError::Io`].
    pub async fn next(&mut self) -> Result<Vec<Record>, RecordsError> {
        let raw = self.next_raw().await?;
        let first = self.next - raw.len() as u64;
        let decode = |(record, number): (Bytes, u64)| {
            // It was looked at when it came: a record that makes no sense was damaged before it got its checksum.
            Record::decode(record).map_err(|_| self.cursor.missing(number))
        };
        raw.into_iter().zip(first..).map(decode).collect()
    }

    /// The same, as the bytes that the agent sent.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub async fn next_raw(&mut self) -> Result<Vec<Bytes>, RecordsError> {
        let until = match &mut self.live {
            Some((log, progress)) => {
                let Progress { durable, written, broken } = *progress.borrow_and_update();
                if self.next > written || (broken && self.next > durable) {
                    return Ok(Vec::new());
                }
                let recent = recent(log, self.next);
                if !recent.is_empty() {
                    self.next += recent.len() as u64;
                    return Ok(recent);
                }
                // It became durable since.
                Until::Durable(log.durable())
            }
            None => Until::End,
        };
        let mut records = Vec::new();
        let mut size_bytes = 0;
        while size_bytes < READ_BYTES {
            let Some(more) = self.cursor.records(self.next, until).await? else { break };
            self.next += more.len() as u64;
            size_bytes += more.iter().map(Bytes::len).sum::<usize>();
            records.extend(more);
        }
        Ok(records)
    }
}

/// Records from number `next` on that are only in memory.
fn recent(log: &AttemptLog, next: u64) -> Vec<Bytes> {
    let mut records = Vec::new();
    for frame in log.shared.recent(next) {
        let mut bytes = frame.records.clone();
        let mut number = frame.first;
        while let Some(record) = take_next(&mut bytes) {
            if number >= next {
                records.push(record);
            }
            number += 1;
        }
    }
    records
}
