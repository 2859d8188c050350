//! Storing one chunk: hashed, asked for, packed, put.

use std::sync::Arc;

use bytes::Bytes;

use super::fetch::busy;
use super::{BlobCache, codec};
use crate::Digest;
use crate::cache::engine::{EngineError, Keep, Put};
use crate::cache::key::{Key, Kind};
use crate::cache::limits::ASK_BEFORE_PUT_BYTES;

impl BlobCache {
    /// Stores bytes whose digest is known to be `digest`. Many who store the same at a time store it once; so do
    /// those who come later, if asking for it is cheaper than storing it.
    pub(super) async fn store_chunk(
        &self,
        digest: Digest,
        bytes: Bytes,
        keep: Keep,
    ) -> Result<(), EngineError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let key = self.key(Kind::Chunk, digest);
        let flights = match keep {
            Keep::Normal => &self.shared.writes,
            Keep::Temporary => &self.shared.temporary_writes,
        };
        let work = self.clone().put_unless_there(key.clone(), bytes, keep);
        match flights.join(key, work).await {
            Some(result) => result,
            None => Err(EngineError::unavailable("this process", "the write was ended")),
        }
    }

    async fn put_unless_there(self, key: Key, bytes: Bytes, keep: Keep) -> Result<(), EngineError> {
        let engine = Arc::clone(&self.shared.engine);
        if bytes.len() >= ASK_BEFORE_PUT_BYTES
            && engine.have_many(std::slice::from_ref(&key)).await?.first() == Some(&true)
        {
            return Ok(());
        }
        let compression = self.shared.compression;
        let value = match codec::may_pay(&bytes, compression) {
            true => busy(bytes.len(), move || codec::pack(bytes, compression)).await,
            // Not worth another thread.
            false => Some(codec::plain(bytes)),
        };
        let value = value.ok_or_else(|| EngineError::unavailable("this process", "the packing was ended"))?;
        engine.put_many(vec![Put { key, value, keep }]).await
    }
}
