//! A place in the parts of an attempt: gives frames from any record on, whether they lie in chunks or in a sealed log.
//!
//! What is before the record is not read (but for the rest of its own chunk). What is damaged or missing is told with file
//! and offset. A part that goes away meanwhile was sealed: its records are looked for again.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};

use super::chunk::{FRAME_HEAD_BYTES, FrameHead, MAGIC, take_next};
use super::engine::{Engine, Part, PartName};
use super::limits::READ_BYTES;
use super::seekable::{self, FOOTER_BYTES, Index};
use super::{AttemptKey, RecordsError};

/// How often a record is looked for again whose part went away.
const LOOKS: u32 = 3;

/// Where the records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// All up to this number are durable: one that is not there is missing.
    Durable(u64),
    /// Nobody here knows: they end with the last whole frame. Another process may be writing the next.
    End,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cursor {
    engine: Arc<dyn Engine>,
    key: AttemptKey,
    place: Option<Place>,
}

#[derive(Debug)]
enum Place {
    Chunk(ChunkPlace),
    Sealed { index: Arc<Index> },
}

#[derive(Debug)]
struct ChunkPlace {
    name: PartName,
    /// Whether another chunk follows.
    last: bool,
    /// Where `ahead` begins in the part.
    offset: u64,
    /// Bytes that were read and not used.
    ahead: BytesMut,
}

/// What a look at a place gives.
enum Found {
    Frame(FrameHead, Bytes),
    /// The part ends before the record.
    End,
    /// It ends in the middle of a frame.
    Torn(u64),
}

impl Cursor {
    pub(super) fn new(engine: Arc<dyn Engine>, key: AttemptKey) -> Self {
        Self { engine, key, place: None }
    }

    /// The frame that has record `wanted`, and its number of the first record; none at the end.
    pub(super) async fn frame(
        &mut self,
        wanted: u64,
        until: Until,
    ) -> Result<Option<(FrameHead, Bytes)>, RecordsError> {
        if matches!(until, Until::Durable(durable) if wanted > durable) {
            return Ok(None);
        }
        let mut looks = 0;
        loop {
            match self.look(wanted, until).await {
                Err(RecordsError::Vanished { .. }) if looks < LOOKS => {
                    looks += 1;
                    self.place = None;
                }
                Err(RecordsError::Vanished { .. }) => return Err(self.missing(wanted)),
                found => return found,
            }
        }
    }

    /// The records of [`Cursor::frame`] from `wanted` on.
    pub(super) async fn records(
        &mut self,
        wanted: u64,
        until: Until,
    ) -> Result<Option<Vec<Bytes>>, RecordsError> {
        let Some((head, mut bytes)) = self.frame(wanted, until).await? else { return Ok(None) };
        let mut records = Vec::with_capacity(head.count as usize);
        let mut number = head.first;
        while let Some(record) = take_next(&mut bytes) {
            let durable = !matches!(until, Until::Durable(durable) if number > durable);
            if number >= wanted && durable {
                records.push(record);
            }
            number += 1;
        }
        // Its checksum was right: whoever wrote it counted wrong.
        if number != head.next() || !bytes.is_empty() {
            return Err(RecordsError::Damaged { place: self.engine.place(self.key), offset: 0 });
        }
        Ok(Some(records))
    }

    /// Digest and number of records of a sealed log; none where there is none.
    pub(super) async fn sealed(&mut self) -> Result<Option<Arc<Index>>, RecordsError> {
        let parts = self.engine.parts(self.key).await?;
        match parts.iter().find(|part| part.name == PartName::Sealed) {
            Some(part) => self.index(*part).await.map(Some),
            None => Ok(None),
        }
    }

    async fn look(&mut self, wanted: u64, until: Until) -> Result<Option<(FrameHead, Bytes)>, RecordsError> {
        loop {
            let place = match self.place.take() {
                Some(place) => place,
                None => match self.find(wanted).await? {
                    Some(place) => place,
                    None if until == Until::End => return Ok(None),
                    None => return Err(self.missing(wanted)),
                },
            };
            match place {
                Place::Sealed { index } => {
                    let found = self.sealed_frame(&index, wanted).await?;
                    self.place = Some(Place::Sealed { index });
                    return match (found, until) {
                        (None, Until::Durable(_)) => Err(self.missing(wanted)),
                        (found, _) => Ok(found),
                    };
                }
                Place::Chunk(mut chunk) => match self.chunk_frame(&mut chunk, wanted).await? {
                    Found::Frame(head, records) => {
                        self.place = Some(Place::Chunk(chunk));
                        return Ok(Some((head, records)));
                    }
                    Found::Torn(_) if chunk.last && until == Until::End => {
                        // Whoever writes may be in the middle of it: the next look reads it again.
                        return Ok(None);
                    }
                    // Whoever wrote it was replaced in the middle: what is missing is in the next one.
                    Found::Torn(offset) => match self.find(wanted).await? {
                        Some(Place::Chunk(next)) if next.name == chunk.name => {
                            return Err(self.damaged(chunk.name, offset));
                        }
                        None => return Err(self.damaged(chunk.name, offset)),
                        next => self.place = next,
                    },
                    Found::End if chunk.last && until == Until::End => {
                        // More may come, here or in another chunk.
                        return self.beyond(chunk.name, wanted).await;
                    }
                    // It is in a later one, or nowhere.
                    Found::End => match self.find(wanted).await? {
                        Some(Place::Chunk(next)) if next.name == chunk.name => {
                            return Err(self.missing(wanted));
                        }
                        None => return Err(self.missing(wanted)),
                        next => self.place = next,
                    },
                },
            }
        }
    }

    /// The last chunk that was known has been read: is there another by now?
    async fn beyond(
        &mut self,
        read: PartName,
        wanted: u64,
    ) -> Result<Option<(FrameHead, Bytes)>, RecordsError> {
        match self.find(wanted).await? {
            Some(Place::Sealed { index }) => {
                let found = self.sealed_frame(&index, wanted).await?;
                self.place = Some(Place::Sealed { index });
                Ok(found)
            }
            Some(Place::Chunk(mut chunk)) if chunk.name != read => {
                match self.chunk_frame(&mut chunk, wanted).await? {
                    Found::Frame(head, records) => {
                        self.place = Some(Place::Chunk(chunk));
                        Ok(Some((head, records)))
                    }
                    Found::End | Found::Torn(_) => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The part in which a record is or would be.
    async fn find(&self, wanted: u64) -> Result<Option<Place>, RecordsError> {
        let parts = self.engine.parts(self.key).await?;
        if let Some(part) = parts.iter().find(|part| part.name == PartName::Sealed) {
            return Ok(Some(Place::Sealed { index: self.index(*part).await? }));
        }
        let place =
            parts.iter().rposition(|part| matches!(part.name, PartName::Chunk(first) if first <= wanted));
        let Some(place) = place else {
            return match parts.first() {
                // Those before it are gone.
                Some(_) => Err(self.missing(wanted)),
                None => Ok(None),
            };
        };
        let last = place + 1 == parts.len();
        Ok(parts.get(place).map(|part| {
            Place::Chunk(ChunkPlace { name: part.name, last, offset: 0, ahead: BytesMut::new() })
        }))
    }

    async fn index(&self, part: Part) -> Result<Arc<Index>, RecordsError> {
        let read = async |bytes: usize| {
            let offset = part.size_bytes.checked_sub(bytes as u64);
            match offset {
                Some(offset) => self.engine.read(self.key, PartName::Sealed, offset, bytes).await,
                None => Ok(Bytes::new()),
            }
        };
        let footer = read(FOOTER_BYTES).await?;
        let damaged = || self.damaged(PartName::Sealed, part.size_bytes.saturating_sub(FOOTER_BYTES as u64));
        let end_bytes = seekable::end_bytes(&footer).ok_or_else(damaged)?;
        let end = read(end_bytes).await?;
        seekable::read_index(&end, part.size_bytes).map(Arc::new).ok_or_else(damaged)
    }

    async fn sealed_frame(
        &self,
        index: &Index,
        wanted: u64,
    ) -> Result<Option<(FrameHead, Bytes)>, RecordsError> {
        let Some(entry) = index.find(wanted).and_then(|place| index.entries.get(place)) else {
            return Ok(None);
        };
        let packed =
            self.engine.read(self.key, PartName::Sealed, entry.offset, entry.packed_bytes as usize).await?;
        let unpacked = seekable::unpack(entry, &packed).filter(|(head, _)| head.next() > wanted);
        unpacked.map(Some).ok_or_else(|| self.damaged(PartName::Sealed, entry.offset))
    }

    /// The next frame of a chunk that has record `wanted` or a later one.
    async fn chunk_frame(&self, chunk: &mut ChunkPlace, wanted: u64) -> Result<Found, RecordsError> {
        if chunk.offset == 0 {
            if !self.fill(chunk, MAGIC.len()).await? {
                return Ok(if chunk.ahead.is_empty() { Found::End } else { Found::Torn(0) });
            }
            if !chunk.ahead.starts_with(MAGIC) {
                return Err(self.damaged(chunk.name, 0));
            }
            chunk.advance(MAGIC.len());
        }
        loop {
            if !self.fill(chunk, FRAME_HEAD_BYTES).await? {
                return Ok(if chunk.ahead.is_empty() { Found::End } else { Found::Torn(chunk.offset) });
            }
            let head = FrameHead::read(&chunk.ahead).ok_or_else(|| self.damaged(chunk.name, chunk.offset))?;
            if !self.fill(chunk, head.whole_bytes()).await? {
                return Ok(Found::Torn(chunk.offset));
            }
            let offset = chunk.offset;
            if head.next() <= wanted {
                chunk.advance(head.whole_bytes());
                continue;
            }
            let mut records = chunk.ahead.split_to(head.whole_bytes()).freeze();
            chunk.offset += head.whole_bytes() as u64;
            records.advance(FRAME_HEAD_BYTES);
            if head.first > wanted || !head.matches(&records) {
                return Err(self.damaged(chunk.name, offset));
            }
            return Ok(Found::Frame(head, records));
        }
    }

    /// Reads until there are `wanted` bytes ahead; false at the part's end.
    async fn fill(&self, chunk: &mut ChunkPlace, wanted: usize) -> Result<bool, RecordsError> {
        while chunk.ahead.len() < wanted {
            let from = chunk.offset + chunk.ahead.len() as u64;
            let length = READ_BYTES.max(wanted - chunk.ahead.len());
            let bytes = self.engine.read(self.key, chunk.name, from, length).await?;
            if bytes.is_empty() {
                return Ok(false);
            }
            chunk.ahead.extend_from_slice(&bytes);
        }
        Ok(true)
    }

    pub(super) fn missing(&self, record: u64) -> RecordsError {
        RecordsError::Missing { record, place: self.engine.place(self.key) }
    }

    fn damaged(&self, part: PartName, offset: u64) -> RecordsError {
        RecordsError::Damaged { place: format!("{}/{part}", self.engine.place(self.key)), offset }
    }
}

impl ChunkPlace {
    fn advance(&mut self, bytes: usize) {
        self.ahead.advance(bytes);
        self.offset += bytes as u64;
    }
}
