//! What is here and what is not.
//!
//! Always asked of the engine, never remembered: what was there a moment ago may be evicted now. Each "yes" makes what
//! it is about young again, so that it stays while it is needed.
//!
//! A build asks about thousands at once: what is done for each of them is to make its key, and nothing else as long as
//! it is there.

use std::collections::HashSet;

use super::{BlobCache, CacheError, is_chunked};
use crate::Digest;
use crate::cache::key::{Key, Kind};
use crate::cache::limits::{BATCH_KEYS, MANIFESTS_AT_ONCE};

impl BlobCache {
    /// Which of these blobs are not here, in the order given and each once. A blob of several chunks is here only if
    /// all of them are. When the engine cannot be asked, all are missing: the caller uploads, and nothing is lost but
    /// time.
    pub async fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        match self.absent(digests).await {
            Ok(absent) => absent,
            Err(_) => each_once(digests.iter().copied()),
        }
    }

    /// The same, and an error when the engine cannot be asked.
    pub(crate) async fn absent(&self, digests: &[Digest]) -> Result<Vec<Digest>, CacheError> {
        let there = self.there(digests).await?;
        Ok(each_once(digests.iter().zip(there).filter(|(_, there)| !there).map(|(digest, _)| *digest)))
    }

    /// Whether each of these is here, in their order.
    async fn there(&self, digests: &[Digest]) -> Result<Vec<bool>, CacheError> {
        let keys: Vec<_> = digests
            .iter()
            .filter(|digest| **digest != Digest::EMPTY)
            .map(|digest| self.head(*digest))
            .collect();
        let mut heads = self.have(&keys).await?.into_iter();
        let is_there = |digest: &Digest| *digest == Digest::EMPTY || heads.next().unwrap_or(false);
        let mut there: Vec<_> = digests.iter().map(is_there).collect();
        let listed: Vec<_> = (0..digests.len()).filter(|&at| there[at] && is_chunked(digests[at])).collect();
        for places in listed.chunks(MANIFESTS_AT_ONCE) {
            let blobs: Vec<_> = places.iter().map(|&at| digests[at]).collect();
            for (&at, is_whole) in places.iter().zip(self.are_whole(&blobs).await?) {
                there[at] = is_whole;
            }
        }
        Ok(there)
    }

    /// Whether all chunks of each of these blobs are here.
    async fn are_whole(&self, blobs: &[Digest]) -> Result<Vec<bool>, CacheError> {
        let lists = self.chunks_of_many(blobs).await?;
        let chunks = each_once(lists.iter().flatten().flatten().copied());
        let lost: HashSet<_> = self.lost_chunks(&chunks).await?.into_iter().collect();
        let is_whole = |list: &Option<Vec<Digest>>| {
            list.as_ref()
                .is_some_and(|list| lost.is_empty() || !list.iter().any(|chunk| lost.contains(chunk)))
        };
        Ok(lists.iter().map(is_whole).collect())
    }

    /// Those of these chunks that are not here; the others are young again.
    pub(super) async fn lost_chunks(&self, chunks: &[Digest]) -> Result<Vec<Digest>, CacheError> {
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

/// These in their order, without those that came before.
fn each_once(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut digests: Vec<_> = digests.collect();
    if digests.len() > 1 {
        let mut seen = HashSet::with_capacity(digests.len());
        digests.retain(|digest| seen.insert(*digest));
    }
    digests
}
