//! The coordinator's blobs: small ones together in one SQLite file, larger ones as files in a folder.
//!
//! Every job has a specification of a few kilobytes. As a file of its own each would wait for the file system's journal,
//! twice; in the [file](small) all that come at a time are made durable by one commit.
//!
//! Invariants: what [`Store::put`] returned for is durable; a reader sees committed blobs only; every blob is checked
//! against its digest when it is read whole. One process at a time owns the folder (its caller locks it).

pub(crate) mod collector;
mod hashes;
mod small;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use slipway_cas::store::MAX_PIECE_BYTES;
use slipway_cas::{BlobWriter, Collected, Digest, FolderStore, Named, Pending, Store, StoreError};

use small::{SMALL_MAX_BYTES, SmallBlobs};

/// The two places as one store.
#[derive(Clone)]
pub(crate) struct BlobStore {
    folder: FolderStore,
    small: SmallBlobs,
}

impl BlobStore {
    /// Opens folder and file below `root`, making them if need be.
    ///
    /// # Errors
    /// [`StoreError::Io`] when one of them can't be used.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let folder = FolderStore::open(root)?;
        let small = SmallBlobs::open(&root.join("small.sqlite"))?;
        Ok(Self { folder, small })
    }
}

impl Store for BlobStore {
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest> {
        if bytes.len() > SMALL_MAX_BYTES { self.folder.put(bytes) } else { Box::pin(self.small.put(bytes)) }
    }

    fn writer(&self, limit_bytes: u64) -> Pending<'_, Box<dyn BlobWriter>> {
        self.folder.writer(limit_bytes)
    }

    fn get(&self, digest: Digest) -> Pending<'_, Bytes> {
        Box::pin(async move {
            match self.small.find(digest).await? {
                Some(bytes) if digest.matches(&bytes) => Ok(bytes),
                Some(_) => Err(StoreError::Damaged(digest)),
                None => self.folder.get(digest).await,
            }
        })
    }

    fn read(&self, digest: Digest, offset: u64, length: usize) -> Pending<'_, Bytes> {
        Box::pin(async move {
            let Some(bytes) = self.small.find(digest).await? else {
                return self.folder.read(digest, offset, length).await;
            };
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = start.saturating_add(length.min(MAX_PIECE_BYTES)).min(bytes.len());
            Ok(bytes.slice(start..end))
        })
    }

    fn exists(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move { Ok(self.small.has(digest).await? || self.folder.exists(digest).await?) })
    }

    fn renew(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move { Ok(self.small.renew(digest).await? || self.folder.renew(digest).await?) })
    }

    fn delete(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move {
            let deleted = self.small.delete(digest).await?;
            Ok(self.folder.delete(digest).await? || deleted)
        })
    }

    fn collect(&self, before: SystemTime, named: Named) -> Pending<'_, Collected> {
        Box::pin(async move {
            let mut collected = self.small.collect(before, named.clone()).await?;
            let files = self.folder.collect(before, named).await?;
            collected.blobs += files.blobs;
            collected.bytes += files.bytes;
            Ok(collected)
        })
    }
}
