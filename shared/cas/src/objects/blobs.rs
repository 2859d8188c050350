//! Blobs as objects: `blobs/WEEK/ab/cdef…` holds a blob that was put or renewed in that week, whose SHA-256 starts with
//! `ab`.
//!
//! An object appears whole or not at all, so a name that can be seen has all its bytes. What a writer gets is kept here
//! until its digest is known (a little in memory, more in a file that has no name), because an object cannot be renamed;
//! only then is it sent, in parts if it is large. So what does not match its announcement never leaves this machine.
//!
//! Why weeks: no object store removes an object only if it is still old. Who puts a blob looks for it in this week alone,
//! and writes it there; a collection removes from weeks that are long over. So the two never meet, on whichever machines.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, WriteMultipart};
use sha2::{Digest as _, Sha256};

use super::week::{Places, Week};
use super::{Bucket, collect, describe};
use crate::Digest;
use crate::store::{BlobWriter, Collected, Expected, MAX_PIECE_BYTES, Named, Pending, Store, StoreError};

/// Above this size a blob is sent in parts, and a writer's bytes go to a file.
const PART_BYTES: usize = 16 << 20;

/// Parts that are sent at a time: with one more being filled, that is what a large blob takes of memory.
const PARTS_AT_ONCE: usize = 2;

/// A blob above this size is looked for before it is sent.
const LOOK_FIRST_BYTES: usize = 64 << 10;

/// The longest blob that is copied from one week to another, in bytes: S3 copies no more in one request.
const COPY_MAX_BYTES: u64 = 5 << 30;

/// Blobs in an object store.
#[derive(Debug, Clone)]
pub struct ObjectBlobs {
    pub(super) bucket: Bucket,
    /// Where files of writers are made.
    spool: Arc<PathBuf>,
    places: Arc<Places>,
}

impl ObjectBlobs {
    /// Blobs in this bucket. Large ones pass through files in the folder `spool`, which is made.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be made.
    pub fn open(bucket: Bucket, spool: PathBuf) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&spool)
            .map_err(|source| StoreError::Io { place: spool.display().to_string(), source })?;
        Ok(Self { bucket, spool: Arc::new(spool), places: Arc::default() })
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &**self.bucket.store()
    }

    fn failed(&self, digest: Digest) -> impl FnOnce(Error) -> StoreError {
        let place = format!("{} blob {}", self.bucket.url(), digest.hash_hex());
        move |error| match error {
            Error::NotFound { .. } => StoreError::NotFound(digest),
            error => StoreError::Io { place, source: io::Error::other(describe(&error)) },
        }
    }

    /// Whether the blob is in that week.
    async fn is_in(&self, week: Week, digest: Digest) -> Result<bool, StoreError> {
        match self.store().head(&week.path(digest)).await.map_err(self.failed(digest)) {
            Ok(meta) => Ok(meta.size == digest.size_bytes()),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The week that the blob is in: where it was last, this week, the one before, or any that there are.
    async fn find(&self, digest: Digest) -> Result<Option<Week>, StoreError> {
        let mut tried = Vec::new();
        for week in self.places.likely(digest, Week::now()) {
            if self.is_in(week, digest).await? {
                self.places.remember(digest, week);
                return Ok(Some(week));
            }
            tried.push(week);
        }
        for week in collect::weeks(&self.bucket).await? {
            if !tried.contains(&week) && self.is_in(week, digest).await? {
                self.places.remember(digest, week);
                return Ok(Some(week));
            }
        }
        self.places.forget(digest);
        Ok(None)
    }

    /// Where the blob is, without a question if it was read or written here before.
    async fn place(&self, digest: Digest) -> Result<Path, StoreError> {
        if let Some(week) = self.places.remembered(digest) {
            return Ok(week.path(digest));
        }
        self.find(digest).await?.map(|week| week.path(digest)).ok_or(StoreError::NotFound(digest))
    }

    /// The same after nothing was found where it was remembered: it was collected there, or another machine renewed it.
    async fn place_again(&self, digest: Digest) -> Result<Path, StoreError> {
        self.places.forget(digest);
        self.place(digest).await
    }

    async fn send(&self, digest: Digest, bytes: Bytes) -> Result<(), StoreError> {
        let week = Week::now();
        if bytes.len() > LOOK_FIRST_BYTES && self.is_in(week, digest).await? {
            self.places.remember(digest, week);
            return Ok(());
        }
        if bytes.len() <= PART_BYTES {
            let sent = self.store().put(&week.path(digest), bytes.into()).await;
            sent.map_err(self.failed(digest))?;
            self.places.remember(digest, week);
            return Ok(());
        }
        let mut parts = bytes;
        self.send_parts(week, digest, move || Ok(parts.split_to(PART_BYTES.min(parts.len())))).await
    }

    /// Sends what `next` gives until that is empty, as one object.
    async fn send_parts(
        &self,
        week: Week,
        digest: Digest,
        mut next: impl FnMut() -> io::Result<Bytes> + Send + 'static,
    ) -> Result<(), StoreError> {
        let upload = self.store().put_multipart(&week.path(digest)).await.map_err(self.failed(digest))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let sent = async {
            loop {
                upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(self.failed(digest))?;
                let (part, reader) = tokio::task::spawn_blocking(move || (next(), next))
                    .await
                    .map_err(|error| self.spool_failed(io::Error::other(error)))?;
                next = reader;
                match part.map_err(|error| self.spool_failed(error))? {
                    part if part.is_empty() => return Ok(()),
                    part => upload.put(part),
                }
            }
        };
        match sent.await {
            Ok(()) => {
                upload.finish().await.map_err(self.failed(digest))?;
                self.places.remember(digest, week);
                Ok(())
            }
            Err(error) => {
                // An upload that cannot even be given up is the store's own rules' to forget; the first error is told.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    fn spool_failed(&self, source: io::Error) -> StoreError {
        StoreError::Io { place: self.spool.display().to_string(), source }
    }

    /// A file without a name: it goes with whoever holds it.
    fn file(&self) -> io::Result<File> {
        let path = self.spool.join(uuid::Uuid::new_v4().to_string());
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }
}

impl Store for ObjectBlobs {
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest> {
        Box::pin(async move {
            let digest = Digest::of(&bytes);
            self.send(digest, bytes).await?;
            Ok(digest)
        })
    }

    fn writer(&self, limit_bytes: u64) -> Pending<'_, Box<dyn BlobWriter>> {
        let writer = ObjectWriter {
            store: self.clone(),
            head: BytesMut::new(),
            file: None,
            hash: Sha256::new(),
            size_bytes: 0,
            limit_bytes,
            broken: false,
        };
        Box::pin(async move { Ok(Box::new(writer) as Box<dyn BlobWriter>) })
    }

    fn get(&self, digest: Digest) -> Pending<'_, Bytes> {
        Box::pin(async move {
            let found = match self.store().get(&self.place(digest).await?).await {
                Err(Error::NotFound { .. }) => self.store().get(&self.place_again(digest).await?).await,
                found => found,
            };
            let found = found.map_err(self.failed(digest))?;
            if found.meta.size != digest.size_bytes() {
                return Err(StoreError::NotFound(digest));
            }
            let bytes = found.bytes().await.map_err(self.failed(digest))?;
            if digest.matches(&bytes) { Ok(bytes) } else { Err(StoreError::Damaged(digest)) }
        })
    }

    fn read(&self, digest: Digest, offset: u64, length: usize) -> Pending<'_, Bytes> {
        Box::pin(async move {
            let length = length.min(MAX_PIECE_BYTES) as u64;
            let end = offset.saturating_add(length).min(digest.size_bytes());
            if offset >= end {
                return match self.find(digest).await? {
                    Some(_) => Ok(Bytes::new()),
                    None => Err(StoreError::NotFound(digest)),
                };
            }
            let options =
                || GetOptions { range: Some(GetRange::Bounded(offset..end)), ..GetOptions::default() };
            let found = match self.store().get_opts(&self.place(digest).await?, options()).await {
                Err(Error::NotFound { .. }) => {
                    self.store().get_opts(&self.place_again(digest).await?, options()).await
                }
                found => found,
            };
            let found = match found {
                Ok(found) => found,
                // Another blob of this hash, and shorter than the piece's beginning: nobody has the one asked for.
                Err(error) if self.find(digest).await?.is_none() => {
                    drop(error);
                    return Err(StoreError::NotFound(digest));
                }
                Err(error) => return Err(self.failed(digest)(error)),
            };
            if found.meta.size != digest.size_bytes() {
                return Err(StoreError::NotFound(digest));
            }
            found.bytes().await.map_err(self.failed(digest))
        })
    }

    fn exists(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move { Ok(self.find(digest).await?.is_some()) })
    }

    fn renew(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move {
            let now = Week::now();
            match self.find(digest).await? {
                Some(week) if week == now => Ok(true),
                Some(week) if digest.size_bytes() <= COPY_MAX_BYTES => {
                    match self.store().copy(&week.path(digest), &now.path(digest)).await {
                        Ok(()) => {
                            self.places.remember(digest, now);
                            Ok(true)
                        }
                        // Collected since it was found.
                        Err(Error::NotFound { .. }) => Ok(false),
                        Err(error) => Err(self.failed(digest)(error)),
                    }
                }
                Some(_) | None => Ok(false),
            }
        })
    }

    fn delete(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move {
            let mut deleted = false;
            while let Some(week) = self.find(digest).await? {
                match self.store().delete(&week.path(digest)).await.map_err(self.failed(digest)) {
                    Ok(()) => deleted = true,
                    Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(deleted)
        })
    }

    fn collect(&self, before: SystemTime, named: Named) -> Pending<'_, Collected> {
        Box::pin(collect::collect(&self.bucket, before, named))
    }
}

struct ObjectWriter {
    store: ObjectBlobs,
    /// The blob's bytes while they are few.
    head: BytesMut,
    /// All of them, once they are more.
    file: Option<File>,
    hash: Sha256,
    size_bytes: u64,
    limit_bytes: u64,
    /// A write failed: the file may lack bytes.
    broken: bool,
}

impl ObjectWriter {
    async fn take(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (file, head) = match self.file.take() {
            Some(file) => (file, Bytes::new()),
            None if self.head.len() + bytes.len() <= PART_BYTES => {
                self.head.extend_from_slice(&bytes);
                self.hash.update(&bytes);
                return Ok(());
            }
            None => {
                let file = self.store.file().map_err(|error| self.store.spool_failed(error))?;
                (file, std::mem::take(&mut self.head).freeze())
            }
        };
        let mut hash = std::mem::take(&mut self.hash);
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file;
            file.write_all(&head)?;
            file.write_all(&bytes)?;
            hash.update(&bytes);
            Ok((file, hash))
        });
        let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (file, hash) = written.map_err(|error| self.store.spool_failed(error))?;
        (self.file, self.hash) = (Some(file), hash);
        Ok(())
    }
}

impl BlobWriter for ObjectWriter {
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()> {
        Box::pin(async move {
            let limit_bytes = self.limit_bytes;
            self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
            if self.size_bytes > limit_bytes {
                return Err(StoreError::TooLong { limit_bytes });
            }
            if std::mem::replace(&mut self.broken, true) {
                return Err(self
                    .store
                    .spool_failed(io::Error::other("an earlier write of this blob failed")));
            }
            self.take(bytes).await?;
            self.broken = false;
            Ok(())
        })
    }

    fn finish(self: Box<Self>, expected: Expected) -> Pending<'static, Digest> {
        Box::pin(async move {
            let Self { store, head, file, hash, size_bytes, broken, .. } = *self;
            if broken {
                return Err(store.spool_failed(io::Error::other("an earlier write of this blob failed")));
            }
            let digest = Digest::from_parts(hash.finalize().into(), size_bytes);
            expected.check(digest)?;
            let Some(mut file) = file else {
                store.send(digest, head.freeze()).await?;
                return Ok(digest);
            };
            let week = Week::now();
            if store.is_in(week, digest).await? {
                store.places.remember(digest, week);
                return Ok(digest);
            }
            file.seek(SeekFrom::Start(0)).map_err(|error| store.spool_failed(error))?;
            let next = move || {
                let mut part = Vec::with_capacity(PART_BYTES);
                (&mut file).take(PART_BYTES as u64).read_to_end(&mut part)?;
                Ok(Bytes::from(part))
            };
            store.send_parts(week, digest, next).await?;
            Ok(digest)
        })
    }
}
