//! What is here and what is not.
//!
//! Always asked of the engine, never remembered: what was there a moment ago may be evicted now. Each "yes" makes what
//! it is about young again, so that it stays while it is needed.

use std::collections::{BTreeSet, HashSet};

use super::{BlobCache, CacheError, is_chunked};
use crate::Digest;
use crate::cache::key::{Key, Kind};
use crate::cache::limits::BATCH_KEYS;

impl BlobCache {
    /// Which of these blobs are not here, in the order given and each once. A blob of several chunks is here only if
    /// all of them are. When the engine cannot be asked, all are missing: the caller uploads, and nothing is lost but
    /// time.
    pub async fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let absent = self.absent(digests).await.unwrap_or_else(|_| digests.iter().copied().collect());
        if absent.is_empty() {
            return Vec::new();
        }
        let mut seen = HashSet::new();
        digests.iter().copied().filter(|digest| absent.contains(digest) && seen.insert(*digest)).collect()
    }

    /// The same as a set, and an error when the engine cannot be asked.
    pub(crate) async fn absent(&self, digests: &[Digest]) -> Result<HashSet<Digest>, CacheError> {
        let empty = Digest::of(b"");
        let mut seen = HashSet::with_capacity(digests.len());
        let asked: Vec<_> =
            digests.iter().copied().filter(|digest| *digest != empty && seen.insert(*digest)).collect();
        let heads: Vec<_> = asked.iter().map(|digest| self.head(*digest)).collect();
        let there = self.have(&heads).await?;
        let mut absent: HashSet<_> =
            asked.iter().zip(&there).filter(|(_, there)| !**there).map(|(digest, _)| *digest).collect();
        let chunked: Vec<_> =
            asked.iter().copied().filter(|digest| is_chunked(*digest) && !absent.contains(digest)).collect();
        for part in chunked.chunks(BATCH_KEYS) {
            absent.extend(self.incomplete(part).await?);
        }
        Ok(absent)
    }

    /// Those of these blobs of several chunks that lack one.
    async fn incomplete(&self, blobs: &[Digest]) -> Result<Vec<Digest>, CacheError> {
        let lists = self.chunks_of_many(blobs).await?;
        let chunks: BTreeSet<_> = lists.iter().flatten().flatten().copied().collect();
        let lost = self.lost_chunks(&chunks.into_iter().collect::<Vec<_>>()).await?;
        let is_whole = |list: &Option<Vec<Digest>>| {
            list.as_ref().is_some_and(|chunks| chunks.iter().all(|chunk| !lost.contains(chunk)))
        };
        Ok(blobs.iter().zip(&lists).filter(|(_, list)| !is_whole(list)).map(|(blob, _)| *blob).collect())
    }

    /// Those of these chunks that are not here; the others are young again.
    pub(super) async fn lost_chunks(&self, chunks: &[Digest]) -> Result<HashSet<Digest>, CacheError> {
        let keys: Vec<_> = chunks.iter().map(|chunk| self.key(Kind::Chunk, *chunk)).collect();
        let there = self.have(&keys).await?;
        Ok(chunks.iter().zip(there).filter(|(_, there)| !there).map(|(chunk, _)| *chunk).collect())
    }

    async fn have(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        let mut there = Vec::with_capacity(keys.len());
        for part in keys.chunks(BATCH_KEYS) {
            there.extend(self.shared.engine.have_many(part).await?);
        }
        Ok(there)
    }
}
