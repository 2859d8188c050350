//! Blobs in memory, for tests and for what may be lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

use crate::Digest;
use crate::store::{BlobWriter, Collected, Expected, MAX_PIECE_BYTES, Named, Pending, Store, StoreError};

/// A store that forgets everything when it is dropped. Clones share their blobs.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    blobs: Blobs,
}

/// With when each was put or renewed last.
type Blobs = Arc<Mutex<BTreeMap<Digest, (Bytes, SystemTime)>>>;

fn lock(blobs: &Blobs) -> MutexGuard<'_, BTreeMap<Digest, (Bytes, SystemTime)>> {
    // A panic elsewhere cannot leave a map of immutable blobs half changed.
    blobs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, digest: Digest) -> Result<Bytes, StoreError> {
        let found = lock(&self.blobs).get(&digest).map(|(bytes, _)| bytes.clone());
        found.ok_or(StoreError::NotFound(digest))
    }

    /// Makes a blob look as if it had been put then, for tests.
    pub fn date(&self, digest: Digest, at: SystemTime) {
        if let Some((_, put)) = lock(&self.blobs).get_mut(&digest) {
            *put = at;
        }
    }
}

impl Store for MemoryStore {
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest> {
        Box::pin(async move {
            let digest = Digest::of(&bytes);
            lock(&self.blobs).insert(digest, (bytes, SystemTime::now()));
            Ok(digest)
        })
    }

    fn writer(&self, limit_bytes: u64) -> Pending<'_, Box<dyn BlobWriter>> {
        Box::pin(async move {
            let writer = MemoryWriter { blobs: Arc::clone(&self.blobs), bytes: BytesMut::new(), limit_bytes };
            Ok(Box::new(writer) as Box<dyn BlobWriter>)
        })
    }

    fn get(&self, digest: Digest) -> Pending<'_, Bytes> {
        Box::pin(async move { self.find(digest) })
    }

    fn read(&self, digest: Digest, offset: u64, length: usize) -> Pending<'_, Bytes> {
        Box::pin(async move {
            let blob = self.find(digest)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
            let end = start.saturating_add(length.min(MAX_PIECE_BYTES)).min(blob.len());
            Ok(blob.slice(start..end))
        })
    }

    fn exists(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move { Ok(lock(&self.blobs).contains_key(&digest)) })
    }

    fn renew(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut blobs = lock(&self.blobs);
            let found = blobs.get_mut(&digest);
            Ok(found.map(|(_, put)| *put = SystemTime::now()).is_some())
        })
    }

    fn delete(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move { Ok(lock(&self.blobs).remove(&digest).is_some()) })
    }

    fn collect(&self, before: SystemTime, named: Named) -> Pending<'_, Collected> {
        Box::pin(async move {
            let mut collected = Collected::default();
            lock(&self.blobs).retain(|digest, (_, put)| {
                let stays = named.contains(digest.hash()) || *put >= before;
                if !stays {
                    collected.add(digest.size_bytes());
                }
                stays
            });
            Ok(collected)
        })
    }
}

struct MemoryWriter {
    blobs: Blobs,
    bytes: BytesMut,
    limit_bytes: u64,
}

impl BlobWriter for MemoryWriter {
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()> {
        Box::pin(async move {
            if (self.bytes.len() + bytes.len()) as u64 > self.limit_bytes {
                return Err(StoreError::TooLong { limit_bytes: self.limit_bytes });
            }
            self.bytes.extend_from_slice(&bytes);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, expected: Expected) -> Pending<'static, Digest> {
        Box::pin(async move {
            let bytes = self.bytes.freeze();
            let digest = Digest::of(&bytes);
            expected.check(digest)?;
            lock(&self.blobs).insert(digest, (bytes, SystemTime::now()));
            Ok(digest)
        })
    }
}
