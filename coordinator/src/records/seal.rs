//! Sealing: an attempt's chunks become one compressed log when it has ended.
//!
//! The order is what makes it safe at every instant: the sealed log is written and durable as a whole, and only then are
//! the chunks removed. Until it is there, readers use the chunks; from then on, only it. Whatever a crash leaves in between
//! is finished by the next sweep: chunks beside a sealed log go, chunks without one are sealed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use slipway_cas::Digest;
use slipway_wire::record_digest::RecordDigest;

use super::chunk;
use super::cursor::{Cursor, Until};
use super::engine::{Engine, PartName, SealWriter};
use super::limits::{SEAL_PART_BYTES, SEALED_FRAME_BYTES};
use super::seekable::Packer;
use super::{AttemptKey, Ended, RecordsError};

/// A point at which a test stops sealing, as if the process were killed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Some of the sealed log is written.
    Written,
    /// It is there.
    Finished,
    /// Chunks are gone.
    Removed,
}

/// Seals an attempt whose records all are durable. One that is sealed already only loses what is left of its chunks.
pub(super) async fn seal(
    engine: &Arc<dyn Engine>,
    key: AttemptKey,
    ended: Ended,
) -> Result<(), RecordsError> {
    seal_until(engine, key, ended, |_| true).await
}

pub(super) async fn seal_until(
    engine: &Arc<dyn Engine>,
    key: AttemptKey,
    ended: Ended,
    go_on: impl Fn(Step) -> bool,
) -> Result<(), RecordsError> {
    let parts = engine.parts(key).await?;
    let Some(first) = parts.first() else {
        return compare(engine, key, ended, 0, Digest::of(b""));
    };
    if !parts.iter().any(|part| part.name == PartName::Sealed) {
        if first.name != PartName::Chunk(1) {
            return Err(RecordsError::Missing { record: 1, place: engine.place(key) });
        }
        let mut writer =
            Writer { out: engine.seal(key).await?, packer: Packer::default(), buffer: BytesMut::new() };
        let (records, digest) = copy(engine, key, &mut writer, &go_on).await?;
        if records == 0 {
            // Torn before its first record was whole.
            return engine.remove_chunks(key).await;
        }
        compare(engine, key, ended, records, digest)?;
        if !go_on(Step::Written) {
            return Ok(());
        }
        writer.finish(records, digest).await?;
        if !go_on(Step::Finished) {
            return Ok(());
        }
    }
    engine.remove_chunks(key).await?;
    go_on(Step::Removed);
    Ok(())
}

/// What is sealed has to be what was reported: otherwise the chunks stay as they are, for whoever looks into it.
fn compare(
    engine: &Arc<dyn Engine>,
    key: AttemptKey,
    ended: Ended,
    found: u64,
    found_digest: Digest,
) -> Result<(), RecordsError> {
    let Some((reported, digest)) = ended.reported else { return Ok(()) };
    if reported == found && digest.is_none_or(|digest| digest == found_digest) {
        return Ok(());
    }
    let reported_digest = digest.map_or_else(|| "no digest".to_owned(), |digest| digest.to_string());
    Err(RecordsError::Differs { place: engine.place(key), found, found_digest, reported, reported_digest })
}

/// Copies all records, in larger frames than they came in.
async fn copy(
    engine: &Arc<dyn Engine>,
    key: AttemptKey,
    writer: &mut Writer,
    go_on: &impl Fn(Step) -> bool,
) -> Result<(u64, Digest), RecordsError> {
    let mut cursor = Cursor::new(Arc::clone(engine), key);
    let mut digest = RecordDigest::new();
    let (mut next, mut first, mut count) = (1, 1, 0);
    let mut records = BytesMut::new();
    while let Some((head, bytes)) = cursor.frame(next, Until::End).await? {
        if head.first != next {
            return Err(RecordsError::Missing { record: next, place: engine.place(key) });
        }
        digest.push_delimited(&bytes);
        if !records.is_empty() && records.len() + bytes.len() > SEALED_FRAME_BYTES {
            writer.frame(first, count, records.split().freeze()).await?;
            (first, count) = (next, 0);
            go_on(Step::Written);
        }
        records.extend_from_slice(&bytes);
        count += head.count;
        next = head.next();
    }
    if count > 0 {
        writer.frame(first, count, records.freeze()).await?;
    }
    Ok((next - 1, digest.digest()))
}

struct Writer {
    out: Box<dyn SealWriter>,
    packer: Packer,
    buffer: BytesMut,
}

impl Writer {
    async fn frame(&mut self, first: u64, count: u32, records: Bytes) -> Result<(), RecordsError> {
        let mut packer = std::mem::take(&mut self.packer);
        let packed = tokio::task::spawn_blocking(move || {
            let frame = chunk::of_delimited(first, count, records);
            (packer.pack(first, &frame.to_vec()), packer)
        });
        let failed = |source| RecordsError::Io { place: "packing a log".to_owned(), source };
        let (packed, packer) = packed.await.map_err(|error| failed(std::io::Error::other(error)))?;
        self.packer = packer;
        self.put(packed.map_err(failed)?).await
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), RecordsError> {
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() >= SEAL_PART_BYTES {
            let part = self.buffer.split_to(SEAL_PART_BYTES).freeze();
            self.out.write(part).await?;
        }
        Ok(())
    }

    async fn finish(mut self, records: u64, digest: Digest) -> Result<(), RecordsError> {
        let end = std::mem::take(&mut self.packer).finish(records, digest);
        self.put(end).await?;
        if !self.buffer.is_empty() {
            self.out.write(self.buffer.split().freeze()).await?;
        }
        self.out.finish().await
    }
}
