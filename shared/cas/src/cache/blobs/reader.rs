//! A blob on its way out.
//!
//! Chunks are asked for [`READ_AHEAD_CHUNKS`] at a time, so that a network's round trips overlap, and each is checked
//! before a byte of it is given out.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{BlobCache, CacheError, is_chunked};
use crate::Digest;
use crate::cache::engine::EngineError;
use crate::cache::limits::READ_AHEAD_CHUNKS;

/// A part of a blob, piece by piece.
pub struct BlobReader {
    cache: BlobCache,
    blob: Digest,
    /// Chunks that are not asked for yet.
    ahead: std::vec::IntoIter<Digest>,
    asked: VecDeque<Fetch>,
    /// Bytes at the start of the next chunk that are before the part asked for.
    skip: usize,
    /// Bytes still to give out.
    remaining: u64,
}

impl BlobCache {
    /// Opens the part of a blob from `offset` on, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`CacheError::NotFound`], [`CacheError::OutOfRange`], [`CacheError::Unavailable`].
    pub async fn read(
        &self,
        blob: Digest,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<BlobReader, CacheError> {
        let Some(rest) = blob.size_bytes().checked_sub(offset) else {
            return Err(CacheError::OutOfRange { blob, offset });
        };
        let remaining = limit.map_or(rest, |limit| rest.min(limit));
        let mut reader = BlobReader {
            cache: self.clone(),
            blob,
            ahead: Vec::new().into_iter(),
            asked: VecDeque::new(),
            skip: 0,
            remaining,
        };
        if is_chunked(blob) {
            let chunks = self.chunks_of(blob).await?.ok_or(CacheError::NotFound(blob))?;
            reader.place(&chunks, offset);
            reader.ask();
        } else {
            // At once: a client is told that the blob is missing instead of being given a stream that breaks.
            let bytes = self.chunk(blob).await?.ok_or(CacheError::NotFound(blob))?;
            reader.skip = usize::try_from(offset).unwrap_or(usize::MAX);
            reader.asked.push_back(Fetch::Here(blob, bytes));
        }
        Ok(reader)
    }

    /// A whole blob; for those known to be small.
    ///
    /// # Errors
    /// As [`BlobCache::read`] and [`BlobReader::next`].
    pub async fn read_all(&self, blob: Digest) -> Result<Bytes, CacheError> {
        let mut reader = self.read(blob, 0, None).await?;
        let first = reader.next().await?.unwrap_or_default();
        if reader.remaining == 0 {
            return Ok(first);
        }
        let mut all = Vec::with_capacity(usize::try_from(blob.size_bytes()).unwrap_or(0));
        all.extend_from_slice(&first);
        while let Some(piece) = reader.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl BlobReader {
    /// Bytes still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next piece, at most a chunk; `None` at the end.
    ///
    /// # Errors
    /// [`CacheError::Gone`] when a chunk is not here any more, [`CacheError::Unavailable`]. The reader has no more to
    /// give then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CacheError> {
        while self.remaining > 0 {
            let Some(fetch) = self.asked.pop_front() else { break };
            let (chunk, bytes) = fetch.wait().await;
            self.ask();
            let bytes = bytes.and_then(|bytes| bytes.ok_or(CacheError::Gone { blob: self.blob, chunk }));
            let mut piece = match bytes {
                Ok(bytes) => bytes.slice(self.skip.min(bytes.len())..),
                Err(error) => {
                    self.stop();
                    return Err(error);
                }
            };
            self.skip = 0;
            piece.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
            self.remaining -= piece.len() as u64;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        self.stop();
        Ok(None)
    }

    fn stop(&mut self) {
        self.remaining = 0;
        self.asked.clear();
        self.ahead = Vec::new().into_iter();
    }

    /// Leaves of the chunks those that the part touches.
    fn place(&mut self, chunks: &[Digest], offset: u64) {
        let (mut at, end) = (0, offset + self.remaining);
        let mut touched = Vec::new();
        for chunk in chunks {
            let (start, stop) = (at, at + chunk.size_bytes());
            if stop > offset && start < end {
                if touched.is_empty() {
                    self.skip = usize::try_from(offset - start).unwrap_or(usize::MAX);
                }
                touched.push(*chunk);
            }
            at = stop;
        }
        self.ahead = touched.into_iter();
    }

    fn ask(&mut self) {
        while self.asked.len() < READ_AHEAD_CHUNKS {
            let Some(chunk) = self.ahead.next() else { break };
            let cache = self.cache.clone();
            self.asked.push_back(Fetch::Asked(chunk, tokio::spawn(async move { cache.chunk(chunk).await })));
        }
    }
}

type Answer = Result<Option<Bytes>, CacheError>;

/// A chunk that is here or on its way.
enum Fetch {
    Here(Digest, Bytes),
    Asked(Digest, JoinHandle<Answer>),
}

impl Fetch {
    async fn wait(self) -> (Digest, Answer) {
        match self {
            Self::Here(chunk, bytes) => (chunk, Ok(Some(bytes))),
            Self::Asked(chunk, task) => {
                let ended = || Err(EngineError::unavailable("this process", "the read was ended").into());
                (chunk, task.await.unwrap_or_else(|_| ended()))
            }
        }
    }
}
