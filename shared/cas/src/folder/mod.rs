//! Blobs as files in a folder.
//!
//! `blobs/ab/cdef…` holds the blob whose SHA-256 starts with `ab`; `incoming/` holds what is being written. A blob is
//! written under a name of its own, synced, renamed, and its folder synced: a name that can be seen has all its bytes,
//! also after a power cut. A file's time of modification says when its blob was put or renewed last.
//!
//! One process at a time owns a folder (its caller locks it), so that what an earlier process left in `incoming/` may go
//! when the store is opened; of a folder that several share, only what is too old to be written still.

mod collect;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::Digest;
use crate::store::{BlobWriter, Collected, Expected, MAX_PIECE_BYTES, Named, Pending, Store, StoreError};

/// How long after its last byte a blob may still be on its way into a folder that several processes share.
const INCOMING_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder of blobs.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: Arc<PathBuf>,
}

fn io_at(place: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let place = place.display().to_string();
    move |source| StoreError::Io { place, source }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(StoreError::Io { place: "worker thread".to_owned(), source: io::Error::other(error) })
        }
    }
}

impl FolderStore {
    /// Opens the folder, making it if need be, and removes what an earlier process was writing when it died.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be made or written.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_and_sweep(root.into(), Duration::ZERO)
    }

    /// The same for a folder that other processes have open, too: what they are writing stays.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be made or written.
    pub fn open_shared(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_and_sweep(root.into(), INCOMING_MAX)
    }

    fn open_and_sweep(root: PathBuf, incoming_max: Duration) -> Result<Self, StoreError> {
        for folder in ["blobs", "incoming"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(io_at(&path))?;
        }
        let store = Self { root: Arc::new(root) };
        store.sweep_incoming(incoming_max)?;
        store.open_collection()?;
        sync_folder(&store.root)?;
        Ok(store)
    }

    fn sweep_incoming(&self, unless_younger: Duration) -> Result<(), StoreError> {
        let incoming = self.root.join("incoming");
        let now = SystemTime::now();
        for entry in fs::read_dir(&incoming).map_err(io_at(&incoming))? {
            let entry = entry.map_err(io_at(&incoming))?;
            let path = entry.path();
            let written = match entry.metadata().and_then(|metadata| metadata.modified()) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_at(&path)(error)),
            };
            if now.duration_since(written).unwrap_or_default() < unless_younger {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn shard(&self, digest: Digest) -> PathBuf {
        self.root.join("blobs").join(&digest.hash_hex()[..2])
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.shard(digest).join(&digest.hash_hex()[2..])
    }

    fn start(&self) -> Result<Incoming, StoreError> {
        let path = self.root.join("incoming").join(uuid::Uuid::new_v4().to_string());
        let file = File::options().write(true).create_new(true).open(&path).map_err(io_at(&path))?;
        Ok(Incoming { file, path, renamed: false })
    }

    /// Makes a written file durable under its blob's name.
    fn commit(&self, mut incoming: Incoming, digest: Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        if self.renewed(digest)? {
            return Ok(());
        }
        incoming.file.sync_all().map_err(io_at(&incoming.path))?;
        self.make_shard(digest)?;
        fs::rename(&incoming.path, &path).map_err(io_at(&path))?;
        incoming.renamed = true;
        sync_folder(&self.shard(digest))
    }

    fn make_shard(&self, digest: Digest) -> Result<(), StoreError> {
        let shard = self.shard(digest);
        match fs::create_dir(&shard) {
            Ok(()) => sync_folder(&self.root.join("blobs")),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io_at(&shard)(error)),
        }
    }

    fn has(&self, digest: Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.is_file() && metadata.len() == digest.size_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    fn open_blob(&self, digest: Digest) -> Result<File, StoreError> {
        let path = self.path(digest);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound(digest),
            _ => io_at(&path)(error),
        })?;
        let size_bytes = file.metadata().map_err(io_at(&path))?.len();
        // Same hash, other length: nobody has such a blob.
        if size_bytes == digest.size_bytes() { Ok(file) } else { Err(StoreError::NotFound(digest)) }
    }
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_at(path))
}

/// A file in `incoming/`, removed unless it was given a blob's name.
struct Incoming {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now goes when the store is opened next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Store for FolderStore {
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let digest = Digest::of(&bytes);
            if store.renewed(digest)? {
                return Ok(digest);
            }
            let mut incoming = store.start()?;
            incoming.file.write_all(&bytes).map_err(io_at(&incoming.path))?;
            store.commit(incoming, digest)?;
            Ok(digest)
        }))
    }

    fn writer(&self, limit_bytes: u64) -> Pending<'_, Box<dyn BlobWriter>> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let incoming = store.start()?;
            let open = Open { store, incoming, hash: Sha256::new(), size_bytes: 0 };
            Ok(Box::new(FolderWriter { open: Some(open), limit_bytes }) as Box<dyn BlobWriter>)
        }))
    }

    fn get(&self, digest: Digest) -> Pending<'_, Bytes> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let mut file = store.open_blob(digest)?;
            let mut bytes = Vec::with_capacity(usize::try_from(digest.size_bytes()).unwrap_or(0));
            file.read_to_end(&mut bytes).map_err(io_at(&store.path(digest)))?;
            if digest.matches(&bytes) { Ok(bytes.into()) } else { Err(StoreError::Damaged(digest)) }
        }))
    }

    fn read(&self, digest: Digest, offset: u64, length: usize) -> Pending<'_, Bytes> {
        let store = self.clone();
        Box::pin(blocking(move || {
            let mut file = store.open_blob(digest)?;
            if offset >= digest.size_bytes() {
                return Ok(Bytes::new());
            }
            let place = store.path(digest);
            file.seek(SeekFrom::Start(offset)).map_err(io_at(&place))?;
            let length = length.min(MAX_PIECE_BYTES) as u64;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes).map_err(io_at(&place))?;
            Ok(bytes.into())
        }))
    }

    fn exists(&self, digest: Digest) -> Pending<'_, bool> {
        let store = self.clone();
        Box::pin(blocking(move || store.has(digest)))
    }

    fn renew(&self, digest: Digest) -> Pending<'_, bool> {
        let store = self.clone();
        Box::pin(blocking(move || store.renewed(digest)))
    }

    fn collect(&self, before: SystemTime, named: Named) -> Pending<'_, Collected> {
        let store = self.clone();
        Box::pin(blocking(move || store.collect_all(before, &named)))
    }

    fn delete(&self, digest: Digest) -> Pending<'_, bool> {
        let store = self.clone();
        Box::pin(blocking(move || {
            if !store.has(digest)? {
                return Ok(false);
            }
            let path = store.path(digest);
            match fs::remove_file(&path) {
                Ok(()) => sync_folder(&store.shard(digest)).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(io_at(&path)(error)),
            }
        }))
    }
}

struct Open {
    store: FolderStore,
    incoming: Incoming,
    hash: Sha256,
    size_bytes: u64,
}

struct FolderWriter {
    /// `None` while a write is under way on another thread, and after one failed.
    open: Option<Open>,
    limit_bytes: u64,
}

impl FolderWriter {
    fn take(&mut self) -> Result<Open, StoreError> {
        self.open.take().ok_or_else(|| StoreError::Io {
            place: "incoming".to_owned(),
            source: io::Error::other("an earlier write of this blob failed"),
        })
    }
}

impl BlobWriter for FolderWriter {
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut open = self.take()?;
            let limit_bytes = self.limit_bytes;
            let open = blocking(move || {
                open.size_bytes = open.size_bytes.saturating_add(bytes.len() as u64);
                if open.size_bytes > limit_bytes {
                    return Err(StoreError::TooLong { limit_bytes });
                }
                open.incoming.file.write_all(&bytes).map_err(io_at(&open.incoming.path))?;
                open.hash.update(&bytes);
                Ok(open)
            })
            .await?;
            self.open = Some(open);
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>, expected: Expected) -> Pending<'static, Digest> {
        Box::pin(async move {
            let open = self.take()?;
            blocking(move || {
                let digest = Digest::from_parts(open.hash.finalize().into(), open.size_bytes);
                expected.check(digest)?;
                open.store.commit(open.incoming, digest)?;
                Ok(digest)
            })
            .await
        })
    }
}
