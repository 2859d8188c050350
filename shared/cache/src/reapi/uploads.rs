//! Uploads that broke off, and may be resumed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use slipway_cas::Digest;
use slipway_cas::cache::{BlobCache, BlobWriter, Namespace, Written};
use slipway_cas::store::Expected;
use tonic::Status;

use super::re::compressor::Value as Compressor;
use super::status;
use super::unpack::Unpacker;
use crate::limits::{SUSPENDED_FOR, SUSPENDED_UPLOADS};

/// Which upload: where it goes, and what its client calls it.
pub(super) type Key = (Namespace, String);

/// What has come of an upload.
pub(super) struct Progress {
    digest: Digest,
    writer: BlobWriter,
    unpacker: Option<Unpacker>,
    /// Bytes that came, as they were sent.
    received: u64,
}

impl Progress {
    /// Nothing of it yet.
    pub(super) fn begin(blobs: &BlobCache, digest: Digest, compressor: Compressor) -> Result<Self, Status> {
        let unpacker = match compressor {
            Compressor::Zstd => Some(Unpacker::new(digest.size_bytes())?),
            _ => None,
        };
        Ok(Self { digest, writer: blobs.writer(digest.size_bytes()), unpacker, received: 0 })
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether no byte is lacking.
    pub(super) const fn is_complete(&self) -> bool {
        self.writer.size_bytes() == self.digest.size_bytes()
    }

    /// Takes the next bytes.
    pub(super) async fn take(&mut self, bytes: Bytes) -> Result<(), Status> {
        let length = bytes.len() as u64;
        match &mut self.unpacker {
            Some(unpacker) => unpacker.feed(&bytes, &mut self.writer).await?,
            None => self.writer.write(bytes).await.map_err(|error| status::of_cache(&error))?,
        }
        self.received += length;
        Ok(())
    }

    /// Checks the whole and keeps it.
    pub(super) async fn finish(self) -> Result<Written, Status> {
        if let Some(unpacker) = &self.unpacker {
            unpacker.finish()?;
        }
        self.writer.finish(Expected::Digest(self.digest)).await.map_err(|error| status::of_cache(&error))
    }
}

/// The uploads that broke off.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<Key, (Instant, Progress)>>);

impl Uploads {
    /// Takes one out, to go on with it.
    pub(super) fn resume(&self, key: &Key) -> Option<Progress> {
        let mut suspended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, progress) = suspended.remove(key)?;
        (since.elapsed() < SUSPENDED_FOR).then_some(progress)
    }

    /// How much has come of one.
    pub(super) fn received(&self, key: &Key) -> Option<u64> {
        let suspended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspended
            .get(key)
            .filter(|(since, _)| since.elapsed() < SUSPENDED_FOR)
            .map(|(_, progress)| progress.received)
    }

    fn suspend(&self, key: Key, progress: Progress) {
        let mut suspended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspended.retain(|_, (since, _)| since.elapsed() < SUSPENDED_FOR);
        if suspended.len() >= SUSPENDED_UPLOADS {
            let oldest = suspended.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                suspended.remove(&oldest);
            }
        }
        suspended.insert(key, (Instant::now(), progress));
    }
}

/// An upload under way. Dropped between two messages, as when its client is gone, it may be resumed.
pub(super) struct Active {
    uploads: Arc<Uploads>,
    key: Key,
    progress: Option<Progress>,
}

impl Active {
    pub(super) fn new(uploads: Arc<Uploads>, key: Key, progress: Progress) -> Self {
        Self { uploads, key, progress: Some(progress) }
    }

    pub(super) fn received(&self) -> u64 {
        self.progress.as_ref().map_or(0, Progress::received)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.progress.as_ref().is_some_and(Progress::is_complete)
    }

    /// Takes the next bytes. Dropped in the middle, or after an error, there is nothing to resume: nobody knows how far it came.
    pub(super) async fn take(&mut self, bytes: Bytes) -> Result<(), Status> {
        let mut progress = self.progress.take().ok_or_else(|| Status::internal("the upload is over"))?;
        progress.take(bytes).await?;
        self.progress = Some(progress);
        Ok(())
    }

    /// Gives it up: nobody will go on with it.
    pub(super) fn forget(mut self) {
        self.progress = None;
    }

    /// Checks the whole and keeps it.
    pub(super) async fn finish(mut self) -> Result<Written, Status> {
        let progress = self.progress.take().ok_or_else(|| Status::internal("the upload is over"))?;
        progress.finish().await
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(progress) = self.progress.take().filter(|progress| progress.received > 0) {
            self.uploads.suspend(self.key.clone(), progress);
        }
    }
}
