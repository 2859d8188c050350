//! Getting values and checking them.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{BlobCache, CacheError, codec, manifest};
use crate::Digest;
use crate::cache::engine::{Codec, EngineError, Found, Value};
use crate::cache::key::Kind;
use crate::cache::limits::{INLINE_HASH_BYTES, INLINE_WORK_BYTES};

/// One permit for each processor: more threads at once would only keep those from running that wait for the network.
static PROCESSORS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Arc::new(Semaphore::new(processors))
});

/// Runs work over this many bytes: here if they are few, else on a thread that may be busy for a while. `None` when
/// the work panicked or the runtime ends.
pub(super) async fn busy<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    here_up_to(INLINE_WORK_BYTES, bytes, work).await
}

/// The same for work that does no more than hash them.
pub(super) async fn hashing<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    here_up_to(INLINE_HASH_BYTES, bytes, work).await
}

async fn here_up_to<T: Send + 'static>(
    few: usize,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes <= few {
        return Some(work());
    }
    let processor = Arc::clone(&PROCESSORS).acquire_owned().await.ok()?;
    let work = move || {
        // Given back when the work is done, not when somebody takes the result.
        let _processor = processor;
        work()
    };
    tokio::task::spawn_blocking(work).await.ok()
}

/// The bytes of this value, if they are those of the digest.
pub(crate) async fn checked(digest: Digest, value: Value) -> Option<Bytes> {
    let length = usize::try_from(value.plain_bytes).unwrap_or(usize::MAX);
    let is_plain = value.codec == Codec::Plain;
    let work = move || codec::unpack(value).filter(|bytes| digest.matches(bytes));
    let checked = if is_plain { hashing(length, work).await } else { busy(length, work).await };
    checked.flatten()
}

impl BlobCache {
    /// A chunk, or a blob that is one value; `None` if it is not here. One that is damaged is removed, and not here.
    pub(super) async fn chunk(&self, digest: Digest) -> Result<Option<Bytes>, CacheError> {
        if digest.size_bytes() == 0 {
            return Ok((digest == Digest::EMPTY).then(Bytes::new));
        }
        let (this, key) = (self.clone(), self.key(Kind::Chunk, digest));
        let work = async move {
            let key = this.key(Kind::Chunk, digest);
            let engine = &this.shared.engine;
            match engine.get_many(std::slice::from_ref(&key)).await?.pop() {
                Some(Found::Value(value)) => match checked(digest, value).await {
                    Some(bytes) => Ok(Some(bytes)),
                    None => engine.delete_many(&[key]).await.map(|_| None),
                },
                Some(Found::Missing | Found::Damaged) | None => Ok(None),
            }
        };
        match self.shared.reads.join(key, work).await {
            Some(result) => Ok(result?),
            None => Err(EngineError::unavailable("this process", "the read was ended").into()),
        }
    }

    /// The chunks of a blob that has several; `None` if its manifest is not here or is not one.
    pub(super) async fn chunks_of(&self, blob: Digest) -> Result<Option<Vec<Digest>>, CacheError> {
        Ok(self.chunks_of_many(&[blob]).await?.pop().flatten())
    }

    /// The same for many blobs.
    pub(super) async fn chunks_of_many(
        &self,
        blobs: &[Digest],
    ) -> Result<Vec<Option<Vec<Digest>>>, CacheError> {
        let keys: Vec<_> = blobs.iter().map(|blob| self.key(Kind::Manifest, *blob)).collect();
        let found = self.shared.engine.get_many(&keys).await?;
        let (mut lists, mut wrong) = (Vec::with_capacity(keys.len()), Vec::new());
        for ((blob, key), found) in blobs.iter().zip(keys).zip(found) {
            let value = found.value();
            let there = value.is_some();
            let chunks = value.and_then(codec::unpack).and_then(|bytes| manifest::decode(*blob, &bytes));
            if there && chunks.is_none() {
                wrong.push(key);
            }
            lists.push(chunks);
        }
        if !wrong.is_empty() {
            self.shared.engine.delete_many(&wrong).await?;
        }
        Ok(lists)
    }
}
