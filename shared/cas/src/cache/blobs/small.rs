//! Many small blobs at once: what batch calls of protocols need, with nothing between them and the engine but the
//! digest's check.

use bytes::Bytes;

use super::fetch::checked;
use super::{BlobCache, CacheError, codec, is_chunked};
use crate::Digest;
use crate::cache::engine::{EngineError, Found, Keep, Put};
use crate::cache::key::Kind;

impl BlobCache {
    /// These blobs, in their order; `None` for one that is not here, or longer than one value. When the engine cannot
    /// be asked, none is here.
    pub async fn read_many(&self, digests: &[Digest]) -> Vec<Option<Bytes>> {
        let keys: Vec<_> = digests.iter().map(|digest| self.key(Kind::Chunk, *digest)).collect();
        let found = match self.shared.engine.get_many(&keys).await {
            Ok(found) => found,
            Err(_) => vec![Found::Missing; keys.len()],
        };
        let (mut blobs, mut wrong) = (Vec::with_capacity(keys.len()), Vec::new());
        for ((digest, key), found) in digests.iter().zip(keys).zip(found) {
            let blob = match found {
                _ if *digest == Digest::EMPTY => Some(Bytes::new()),
                _ if is_chunked(*digest) => None,
                Found::Value(value) => {
                    let blob = checked(*digest, value).await;
                    if blob.is_none() {
                        wrong.push(key);
                    }
                    blob
                }
                Found::Missing | Found::Damaged => None,
            };
            blobs.push(blob);
        }
        if !wrong.is_empty() {
            // They were given out as missing: that they could not be removed now is noticed at the next read.
            let _ = self.shared.engine.delete_many(&wrong).await;
        }
        blobs
    }

    /// Stores these blobs, each of which is checked against its digest and is at most one value long. Says of each
    /// whether it was what it was said to be; those that were are here now, unless the engine failed.
    ///
    /// # Errors
    /// For each blob: [`CacheError::Mismatch`], [`CacheError::TooLong`].
    pub async fn write_many(&self, blobs: Vec<(Digest, Bytes)>) -> Vec<Result<(), CacheError>> {
        let mut results = Vec::with_capacity(blobs.len());
        let mut puts = Vec::with_capacity(blobs.len());
        for (digest, bytes) in blobs {
            if is_chunked(digest) {
                let limit_bytes = crate::cache::limits::CHUNKED_ABOVE_BYTES;
                results.push(Err(CacheError::TooLong { limit_bytes }));
                continue;
            }
            let compression = self.shared.compression;
            let length = bytes.len();
            let work = move || (Digest::of(&bytes), codec::pack(bytes, compression));
            let Some((actual, value)) = super::fetch::busy(length, work).await else {
                let ended = EngineError::unavailable("this process", "the hashing was ended");
                results.push(Err(ended.into()));
                continue;
            };
            if actual != digest {
                results.push(Err(CacheError::Mismatch { expected: digest.to_string(), actual }));
                continue;
            }
            if digest.size_bytes() > 0 {
                puts.push(Put { key: self.key(Kind::Chunk, digest), value, keep: Keep::Normal });
            }
            results.push(Ok(()));
        }
        if !puts.is_empty() {
            // Lost writes are counted where the engine is guarded; a build goes on without them.
            let _ = self.shared.engine.put_many(puts).await;
        }
        results
    }
}
