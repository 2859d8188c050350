//! Chunks by themselves: what REAPI's `SplitBlob` and `SpliceBlob` ask for.

use bytes::BytesMut;
use sha2::{Digest as _, Sha256};

use super::{BlobCache, CacheError, Written, is_chunked, manifest};
use crate::Digest;
use crate::cache::engine::Keep;
use crate::cache::limits::READ_AHEAD_CHUNKS;

impl BlobCache {
    /// The chunks of a blob, all of which are here; a blob that is one value is its own chunk.
    ///
    /// # Errors
    /// [`CacheError::NotFound`] also if a single chunk is gone; [`CacheError::Unavailable`].
    pub async fn split(&self, blob: Digest) -> Result<Vec<Digest>, CacheError> {
        let chunks = match is_chunked(blob) {
            true => self.chunks_of(blob).await?.ok_or(CacheError::NotFound(blob))?,
            false => vec![blob],
        };
        // Asks for the chunks too, and for the manifest once more, which keeps all of them young.
        match self.absent(&[blob]).await?.is_empty() {
            true => Ok(chunks),
            false => Err(CacheError::NotFound(blob)),
        }
    }

    /// Makes a blob of chunks that are here, after reading all of them to check the whole.
    ///
    /// # Errors
    /// [`CacheError::BadChunks`], [`CacheError::Mismatch`]; [`CacheError::NotFound`] names a chunk that is not here;
    /// [`CacheError::Unavailable`].
    pub async fn splice(&self, blob: Digest, chunks: &[Digest]) -> Result<Written, CacheError> {
        if !manifest::is_possible(blob, chunks) {
            return Err(CacheError::BadChunks(blob));
        }
        let mut hash = Sha256::new();
        let mut whole = BytesMut::new();
        for part in chunks.chunks(READ_AHEAD_CHUNKS) {
            let part_bytes =
                futures_util::future::join_all(part.iter().map(|chunk| self.chunk(*chunk))).await;
            for (chunk, bytes) in part.iter().zip(part_bytes) {
                let bytes = bytes?.ok_or(CacheError::NotFound(*chunk))?;
                hash.update(&bytes);
                if !is_chunked(blob) {
                    whole.extend_from_slice(&bytes);
                }
            }
        }
        let actual = Digest::from_parts(hash.finalize().into(), blob.size_bytes());
        if actual != blob {
            return Err(CacheError::Mismatch { expected: blob.to_string(), actual });
        }
        let kept = match is_chunked(blob) {
            true => self.publish(blob, chunks).await?,
            false => self.store_chunk(blob, whole.freeze(), Keep::Normal).await.is_ok(),
        };
        Ok(Written { digest: blob, kept })
    }
}
