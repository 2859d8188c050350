//! A blob on its way in.
//!
//! Whatever its length, at most [`PENDING_CHUNKS`] of it are held: further bytes wait until earlier ones are stored. The hash
//! of the whole and those of its chunks are computed side by side, by other tasks than the sender's.
//! Chunks are stored as temporary ones, and the manifest only after the whole digest was checked and all chunks were
//! found there once more, which makes them last; so an upload that is given up leaves nothing that can be read and
//! nothing that stays.
//!
//! An engine that fails does not fail the write: the rest is hashed and dropped, and [`Written::kept`] says so.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::chunking::Chunking;
use super::error::mismatch;
use super::fetch::hashing;
use super::whole::Whole;
use super::{BlobCache, CacheError, codec, manifest};
use crate::Digest;
use crate::cache::engine::{EngineError, Keep, Put};
use crate::cache::key::Kind;
use crate::cache::limits::{
    BATCH_KEYS, CHUNKED_ABOVE_BYTES, CUT_BUFFER_BYTES, CUT_STEP_BYTES, MAX_CHUNKS, PENDING_CHUNKS,
};
use crate::store::Expected;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// What was written.
    pub digest: Digest,
    /// Whether it is here now. If not, the engine failed: to the client the write went well, and the blob is missing
    /// when next asked for.
    pub kept: bool,
}

/// A blob on its way in. Dropped before [`BlobWriter::finish`], it leaves nothing that can be read.
pub struct BlobWriter {
    cache: BlobCache,
    limit_bytes: u64,
    size_bytes: u64,
    whole: Whole,
    /// The first piece, as long as it is the only one: it need not be copied.
    first: Bytes,
    /// What came and was not cut off.
    buffer: BytesMut,
    /// So many bytes of the buffer have no cut.
    uncut: usize,
    chunking: Chunking,
    /// Digests of the chunks, by their place; filled in as their tasks end.
    chunks: Vec<Option<Digest>>,
    tasks: JoinSet<(usize, Digest, Result<(), EngineError>)>,
    room: Arc<Semaphore>,
    /// The engine failed: what comes is hashed only.
    lost: bool,
}

impl BlobCache {
    /// Starts a blob of at most `limit_bytes`.
    #[must_use]
    pub fn writer(&self, limit_bytes: u64) -> BlobWriter {
        BlobWriter {
            cache: self.clone(),
            limit_bytes,
            size_bytes: 0,
            whole: Whole::default(),
            first: Bytes::new(),
            buffer: BytesMut::new(),
            uncut: 0,
            chunking: Chunking::default(),
            chunks: Vec::new(),
            tasks: JoinSet::new(),
            room: Arc::new(Semaphore::new(PENDING_CHUNKS)),
            lost: false,
        }
    }

    /// Writes a blob that is in memory.
    ///
    /// # Errors
    /// [`CacheError::Mismatch`], [`CacheError::TooManyChunks`].
    pub async fn write(&self, bytes: Bytes, expected: Expected) -> Result<Written, CacheError> {
        if bytes.len() as u64 > CHUNKED_ABOVE_BYTES {
            let mut writer = self.writer(u64::MAX);
            writer.write(bytes).await?;
            return writer.finish(expected).await;
        }
        let length = bytes.len();
        let hashed = bytes.clone();
        let digest = hashing(length, move || Digest::of(&hashed)).await;
        let digest =
            digest.ok_or_else(|| EngineError::unavailable("this process", "the hashing was ended"))?;
        expected.check(digest).map_err(|error| mismatch(error, digest))?;
        let kept = self.store_chunk(digest, bytes, Keep::Normal).await.is_ok();
        Ok(Written { digest, kept })
    }
}

impl BlobWriter {
    /// Bytes taken so far.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Appends bytes. Waits while too many are on their way to the engine.
    ///
    /// # Errors
    /// [`CacheError::TooLong`], [`CacheError::TooManyChunks`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), CacheError> {
        self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        if self.size_bytes > self.limit_bytes {
            return Err(CacheError::TooLong { limit_bytes: self.limit_bytes });
        }
        // In parts, so that a long piece is neither held twice as a whole nor hashed in one go.
        for part in Parts(bytes) {
            self.whole.update(part.clone()).await?;
            if !self.lost {
                self.take(part);
                self.cut_what_is_whole().await?;
            }
        }
        Ok(())
    }

    /// Puts a part behind what came before it.
    fn take(&mut self, part: Bytes) {
        if self.first.is_empty() && self.buffer.is_empty() && self.chunks.is_empty() {
            self.first = part;
            return;
        }
        let first = std::mem::take(&mut self.first);
        for piece in [first, part] {
            if self.buffer.capacity() - self.buffer.len() < piece.len() {
                self.buffer.reserve(self.room().max(piece.len()));
            }
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// How much the buffer is to take at once.
    fn room(&self) -> usize {
        let limit_bytes = usize::try_from(self.limit_bytes).unwrap_or(usize::MAX);
        match self.size_bytes > CHUNKED_ABOVE_BYTES || limit_bytes <= CUT_BUFFER_BYTES {
            // Once for several chunks: what is left of the last one is copied each time. And a blob whose length was announced
            // takes no more than that.
            true => limit_bytes.min(CUT_BUFFER_BYTES),
            // It may be a short one: the buffer grows with it.
            false => 0,
        }
    }

    /// Has the chunks stored that later bytes do not change.
    async fn cut_what_is_whole(&mut self) -> Result<(), CacheError> {
        while self.size_bytes > CHUNKED_ABOVE_BYTES
            && self.buffer.len() >= self.chunking.max_bytes().min(self.uncut + CUT_STEP_BYTES)
        {
            let Some(length) = self.chunking.first_of_more(&self.buffer) else {
                self.uncut = self.buffer.len();
                return Ok(());
            };
            self.uncut = 0;
            self.cut(length).await?;
        }
        Ok(())
    }

    /// Cuts a chunk of this length off the buffer and has it stored.
    async fn cut(&mut self, length: usize) -> Result<(), CacheError> {
        if self.chunks.len() == MAX_CHUNKS {
            return Err(CacheError::TooManyChunks);
        }
        let chunk = self.buffer.split_to(length).freeze();
        let (at, cache) = (self.chunks.len(), self.cache.clone());
        self.chunks.push(None);
        while let Some(done) = self.tasks.try_join_next() {
            self.note(done);
        }
        let own = Arc::clone(&self.room).acquire_owned().await.ok();
        let all = Arc::clone(&self.cache.shared.pending).acquire_owned().await.ok();
        self.tasks.spawn(async move {
            let _room = (own, all);
            let bytes = chunk.clone();
            let Some(digest) = hashing(chunk.len(), move || Digest::of(&bytes)).await else {
                let error = EngineError::unavailable("this process", "the hashing was ended");
                return (at, Digest::EMPTY, Err(error));
            };
            (at, digest, cache.store_chunk(digest, chunk, Keep::Temporary).await)
        });
        Ok(())
    }

    fn note(&mut self, done: Result<(usize, Digest, Result<(), EngineError>), tokio::task::JoinError>) {
        match done {
            Ok((at, digest, Ok(()))) => self.chunks[at] = Some(digest),
            Ok((_, _, Err(_))) | Err(_) => {
                self.lost = true;
                (self.first, self.buffer) = (Bytes::new(), BytesMut::new());
            }
        }
    }

    /// The hash of all that came. What is left of a long blob is stored meanwhile.
    async fn hash_all(&mut self) -> Result<[u8; 32], CacheError> {
        if self.size_bytes > CHUNKED_ABOVE_BYTES {
            while !self.lost && !self.buffer.is_empty() {
                self.cut(self.chunking.first(&self.buffer)).await?;
            }
        }
        Ok(std::mem::take(&mut self.whole).finish().await?)
    }

    /// Checks the whole and makes it visible.
    ///
    /// # Errors
    /// [`CacheError::Mismatch`]; nothing is visible then.
    pub async fn finish(mut self, expected: Expected) -> Result<Written, CacheError> {
        if self.size_bytes <= CHUNKED_ABOVE_BYTES {
            return self.finish_one(expected).await;
        }
        let digest = Digest::from_parts(self.hash_all().await?, self.size_bytes);
        expected.check(digest).map_err(|error| mismatch(error, digest))?;
        while let Some(done) = self.tasks.join_next().await {
            self.note(done);
        }
        let chunks: Option<Vec<_>> = self.chunks.iter().copied().collect();
        let kept = match chunks {
            Some(chunks) if !self.lost => self.cache.publish(digest, &chunks).await.unwrap_or(false),
            _ => false,
        };
        Ok(Written { digest, kept })
    }

    /// The same for a blob of one value: what it is said to be is looked for while the last of it is hashed.
    async fn finish_one(mut self, expected: Expected) -> Result<Written, CacheError> {
        let cache = self.cache.clone();
        let (hash, looked) = tokio::join!(self.hash_all(), async {
            match expected {
                Expected::Digest(digest) => cache.look_for(digest).await,
                Expected::Anything | Expected::Hash(_) => None,
            }
        });
        let digest = Digest::from_parts(hash?, self.size_bytes);
        expected.check(digest).map_err(|error| mismatch(error, digest))?;
        let bytes = match self.first.is_empty() {
            true => std::mem::take(&mut self.buffer).freeze(),
            false => std::mem::take(&mut self.first),
        };
        let kept = cache.store_looked_for(digest, bytes, Keep::Normal, looked).await.is_ok();
        Ok(Written { digest, kept })
    }
}

impl BlobCache {
    /// Makes these chunks last and the blob visible, if all of them are here. They were checked to be the blob's.
    pub(super) async fn publish(&self, blob: Digest, chunks: &[Digest]) -> Result<bool, CacheError> {
        for part in chunks.chunks(BATCH_KEYS) {
            if !self.lost_chunks(part).await?.is_empty() {
                return Ok(false);
            }
        }
        let list = manifest::encode(chunks);
        // Hashes do not pack.
        let value = codec::pack(list, codec::Compression::Off);
        let put = Put { key: self.key(Kind::Manifest, blob), value, keep: Keep::Normal };
        self.shared.engine.put_many(vec![put]).await?;
        Ok(true)
    }
}

/// A long piece in parts.
struct Parts(Bytes);

impl Iterator for Parts {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        const PART_BYTES: usize = 1 << 20;
        let part = self.0.split_to(self.0.len().min(PART_BYTES));
        (!part.is_empty()).then_some(part)
    }
}
