//! What one client sees of the cache.
//!
//! A client reads in several scopes and writes in one. A blob is here if one of its scopes has it; an entry is found in the nearest
//! scope that has it, and only if every blob it lists can be read.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use slipway_cas::Digest;
use slipway_cas::cache::entries::{EntryError, Subject};
use slipway_cas::cache::{BlobCache, BlobReader, CacheError, Entries, Entry, Key, Kind};

use crate::accounts::Account;
use crate::gate::{Access, Scope};

/// The cache as one client sees it.
#[derive(Clone)]
pub struct View {
    /// Where blobs are read, each place once, nearest first.
    blobs: Vec<BlobCache>,
    /// Where entries are read.
    entries: Vec<Entries>,
    write: Option<Writable>,
    account: Arc<Account>,
}

/// Where a client writes.
#[derive(Clone)]
pub struct Writable {
    /// Blobs.
    pub blobs: BlobCache,
    entries: Entries,
}

/// The client may read but not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this token may read this cache but not write to it")]
pub struct ReadOnly;

impl View {
    /// What `access` allows of this cache.
    #[must_use]
    pub fn new(cache: &BlobCache, access: Access) -> Self {
        let Access { read, write, account } = access;
        let mut seen = HashSet::new();
        let blobs = read
            .iter()
            .filter(|scope| seen.insert(scope.blobs.clone()))
            .map(|scope| cache.of(scope.blobs.clone()))
            .collect();
        let entries = read.into_iter().map(|scope| Entries::new(cache.of(scope.entries))).collect();
        let write = write.map(|Scope { blobs, entries }| Writable {
            blobs: cache.of(blobs),
            entries: Entries::new(cache.of(entries)),
        });
        Self { blobs, entries, write, account }
    }

    /// Whether it may write.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.write.is_some()
    }

    /// Where it writes.
    ///
    /// # Errors
    /// [`ReadOnly`].
    pub fn writable(&self) -> Result<&Writable, ReadOnly> {
        self.write.as_ref().ok_or(ReadOnly)
    }

    /// Which of these blobs cannot be read here, in their order and each once.
    pub async fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let mut missing = digests.to_vec();
        for blobs in &self.blobs {
            if missing.is_empty() {
                break;
            }
            missing = blobs.missing(&missing).await;
        }
        missing
    }

    /// Opens a part of a blob that a client asked for.
    ///
    /// # Errors
    /// As [`BlobCache::read`].
    pub async fn read(
        &self,
        blob: Digest,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<BlobReader, CacheError> {
        let opened = self.open(blob, offset, limit).await;
        match &opened {
            Ok(reader) => self.account.asked(1, 0, reader.remaining()),
            Err(error) if error.is_miss() => self.account.asked(0, 1, 0),
            Err(_) => {}
        }
        opened
    }

    /// The blob of an entry that was found: the entry was the hit.
    ///
    /// # Errors
    /// As [`BlobCache::read`].
    pub async fn read_listed(&self, blob: Digest) -> Result<BlobReader, CacheError> {
        let opened = self.open(blob, 0, None).await;
        if let Ok(reader) = &opened {
            self.account.asked(0, 0, reader.remaining());
        }
        opened
    }

    async fn open(&self, blob: Digest, offset: u64, limit: Option<u64>) -> Result<BlobReader, CacheError> {
        let mut last = CacheError::NotFound(blob);
        for blobs in &self.blobs {
            match blobs.read(blob, offset, limit).await {
                Err(error) if error.is_miss() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    /// The whole of a blob that is known to be small.
    ///
    /// # Errors
    /// As [`BlobCache::read_all`].
    pub async fn read_all(&self, blob: Digest) -> Result<Bytes, CacheError> {
        let mut last = CacheError::NotFound(blob);
        for blobs in &self.blobs {
            match blobs.read_all(blob).await {
                Err(error) if error.is_miss() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    /// Counts blobs that a client asked for, of these: those that are here, and those that are not.
    pub fn count_blobs<'a>(&self, blobs: impl Iterator<Item = Option<&'a Bytes>>) {
        let (mut hits, mut misses, mut read_bytes) = (0, 0, 0);
        for blob in blobs {
            match blob {
                Some(bytes) => (hits, read_bytes) = (hits + 1, read_bytes + bytes.len() as u64),
                None => misses += 1,
            }
        }
        self.account.asked(hits, misses, read_bytes);
    }

    /// Counts bytes that were kept.
    pub fn count_written(&self, bytes: u64) {
        self.account.wrote(bytes);
    }

    /// Many small blobs; `None` for each that is not here.
    pub async fn read_many(&self, digests: &[Digest]) -> Vec<Option<Bytes>> {
        let Some((first, others)) = self.blobs.split_first() else { return vec![None; digests.len()] };
        let mut found = first.read_many(digests).await;
        for blobs in others {
            let (places, wanted): (Vec<_>, Vec<_>) = found
                .iter()
                .zip(digests)
                .enumerate()
                .filter(|(_, (blob, _))| blob.is_none())
                .map(|(at, (_, digest))| (at, *digest))
                .unzip();
            if wanted.is_empty() {
                break;
            }
            for (at, blob) in places.into_iter().zip(blobs.read_many(&wanted).await) {
                if let Some(place) = found.get_mut(at) {
                    *place = blob;
                }
            }
        }
        found
    }

    /// The chunks of a blob, all of which can be read.
    ///
    /// # Errors
    /// As [`BlobCache::split`].
    pub async fn split(&self, blob: Digest) -> Result<Vec<Digest>, CacheError> {
        let mut last = CacheError::NotFound(blob);
        for blobs in &self.blobs {
            match blobs.split(blob).await {
                Err(error) if error.is_miss() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    /// The nearest entry whose blobs can all be read.
    pub async fn entry(&self, subject: &Subject) -> Option<Entry> {
        let found = self.find(subject).await;
        match &found {
            Some(entry) => self.account.asked(1, 0, entry.value.len() as u64),
            None => self.account.asked(0, 1, 0),
        }
        found
    }

    async fn find(&self, subject: &Subject) -> Option<Entry> {
        for entries in &self.entries {
            // One that cannot be asked does not have it.
            let Ok(Some(entry)) = entries.get(subject).await else { continue };
            if self.missing(&entry.references).await.is_empty() {
                return Some(entry);
            }
        }
        None
    }

    /// Whether each of these entries is here, in whichever scope; a cache that cannot be asked has none.
    pub async fn has_entries(&self, subjects: &[Subject]) -> bool {
        let mut wanted = subjects.to_vec();
        for entries in &self.entries {
            if wanted.is_empty() {
                break;
            }
            let Ok(there) = entries.have(&wanted).await else { continue };
            let mut there = there.into_iter();
            wanted.retain(|_| !there.next().unwrap_or(false));
        }
        wanted.is_empty()
    }

    /// Whether the cache can be asked at all: what tells a blob that is missing from one that nobody could look for.
    pub async fn answers(&self) -> bool {
        let Some(blobs) = self.blobs.first() else { return false };
        let key = Key { kind: Kind::Chunk, namespace: blobs.namespace().clone(), id: Digest::of(b"") };
        blobs.engine().have_many(&[key]).await.is_ok()
    }

    /// Stores an entry all of whose blobs can be read; says whether it was stored, or the cache could not be asked.
    ///
    /// # Errors
    /// [`PutError`].
    pub async fn put_entry(&self, subject: &Subject, entry: &Entry) -> Result<bool, PutError> {
        let write = self.writable()?;
        let missing = self.missing(&entry.references).await;
        if !missing.is_empty() {
            // Its blobs were taken and dropped a moment ago: so is the entry.
            return if self.answers().await {
                Err(EntryError::Incomplete(missing).into())
            } else {
                Ok(false)
            };
        }
        let kept = write.entries.put(subject, entry).await?;
        if kept {
            self.account.wrote(entry.value.len() as u64);
        }
        Ok(kept)
    }
}

/// Why an entry was not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PutError {
    /// The client may not write.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// The entry cannot be one.
    #[error(transparent)]
    Entry(#[from] EntryError),
}
