//! Storing one chunk: hashed, asked for, packed, put.

use bytes::Bytes;

use super::fetch::busy;
use super::{BlobCache, codec};
use crate::Digest;
use crate::cache::engine::{EngineError, Keep, Put};
use crate::cache::key::Kind;
use crate::cache::limits::ASK_BEFORE_PUT_BYTES;

/// Whether a chunk that is about to be stored is there already; none: nobody looked.
pub(super) type Looked = Option<Result<bool, EngineError>>;

impl BlobCache {
    /// Looks for a chunk that is about to be stored, if that is cheaper than storing it.
    pub(super) async fn look_for(&self, digest: Digest) -> Looked {
        if digest.size_bytes() < ASK_BEFORE_PUT_BYTES as u64 {
            return None;
        }
        let there = self.shared.engine.have_many(&[self.key(Kind::Chunk, digest)]).await;
        Some(there.map(|there| there.first() == Some(&true)))
    }

    /// Stores bytes whose digest is known to be `digest`. Many who store the same at a time store it once; so do
    /// those who come later, if asking for it is cheaper than storing it.
    pub(super) async fn store_chunk(
        &self,
        digest: Digest,
        bytes: Bytes,
        keep: Keep,
    ) -> Result<(), EngineError> {
        self.store_looked_for(digest, bytes, keep, None).await
    }

    /// The same by somebody who may have looked for it.
    pub(super) async fn store_looked_for(
        &self,
        digest: Digest,
        bytes: Bytes,
        keep: Keep,
        looked: Looked,
    ) -> Result<(), EngineError> {
        if bytes.is_empty() || matches!(looked, Some(Ok(true))) {
            return Ok(());
        }
        let flights = match keep {
            Keep::Normal => &self.shared.writes,
            Keep::Temporary => &self.shared.temporary_writes,
        };
        let key = self.key(Kind::Chunk, digest);
        let work = self.clone().put_unless_there(digest, bytes, keep, looked);
        match flights.join(key, work).await {
            Some(result) => result,
            None => Err(EngineError::unavailable("this process", "the write was ended")),
        }
    }

    async fn put_unless_there(
        self,
        digest: Digest,
        bytes: Bytes,
        keep: Keep,
        looked: Looked,
    ) -> Result<(), EngineError> {
        let looked = match looked {
            None => self.look_for(digest).await,
            known => known,
        };
        if looked.transpose()? == Some(true) {
            return Ok(());
        }
        let compression = self.shared.compression;
        let value = match codec::may_pay(&bytes, compression) {
            true => busy(bytes.len(), move || codec::pack(bytes, compression)).await,
            // Not worth another thread.
            false => Some(codec::plain(bytes)),
        };
        let value = value.ok_or_else(|| EngineError::unavailable("this process", "the packing was ended"))?;
        let key = self.key(Kind::Chunk, digest);
        self.shared.engine.put_many(vec![Put { key, value, keep }]).await
    }
}
