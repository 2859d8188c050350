//! Bytes as files: `data/<upload>/<part>`.
//!
//! Invariants: a part is durable when [`Incoming::finish`] returned; memory holds at most [`WRITE_BYTES`] and one piece of
//! the network for each part under way, and [`READ_BYTES`] twice for each download; no thread waits for the network.

use std::fs::{self, File};
use std::io::{IoSlice, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, stream};
use sha2::{Digest as _, Sha256};

use super::super::error::{ResultsError, io_at};
use super::super::index::{Named, Part, too_large};
use super::super::limits::{READ_BYTES, WRITE_BYTES};

/// The folder of all uploads; cheap to clone.
#[derive(Debug, Clone)]
pub(in super::super) struct Folder {
    root: Arc<PathBuf>,
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ResultsError> + Send + 'static,
) -> Result<T, ResultsError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ResultsError::Failed(error.to_string())))
}

impl Folder {
    /// Opens the folder, making it if need be.
    pub(super) fn open(root: PathBuf) -> Result<Self, ResultsError> {
        fs::create_dir_all(&root).map_err(io_at(&root))?;
        Ok(Self { root: Arc::new(root) })
    }

    fn folder(&self, id: i64) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Begins a part of at most so many bytes.
    pub(super) async fn begin(&self, id: i64, limit_bytes: u64) -> Result<Incoming, ResultsError> {
        let (root, folder) = (Arc::clone(&self.root), self.folder(id));
        blocking(move || {
            match fs::create_dir(&folder) {
                Ok(()) => File::open(&*root).and_then(|root| root.sync_all()).map_err(io_at(&root))?,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_at(&folder)(error)),
            }
            let name = uuid::Uuid::new_v4().simple().to_string();
            let path = folder.join(&name);
            let file = File::options().write(true).create_new(true).open(&path).map_err(io_at(&path))?;
            let open = Open { file, hash: crc32fast::Hasher::new(), size_bytes: 0 };
            let drop = Unfinished { path, keep: false };
            Ok(Incoming { open: Some(open), name, drop, waiting: Vec::new(), waiting_bytes: 0, limit_bytes })
        })
        .await
    }

    /// Removes parts of an upload. What can't be removed now goes with the upload.
    pub(super) async fn remove_parts(&self, id: i64, names: Vec<String>) {
        let folder = self.folder(id);
        let removed = blocking(move || {
            for name in names {
                let path = folder.join(name);
                if let Err(error) = fs::remove_file(&path) {
                    tracing::debug!(path = %path.display(), %error, "a replaced block stays for now");
                }
            }
            Ok(())
        });
        // As it says.
        let _ = removed.await;
    }

    /// Removes all files of uploads that the index has forgotten.
    pub(super) async fn remove(&self, ids: Vec<i64>) {
        let files = self.clone();
        let removed = blocking(move || {
            for id in ids {
                remove_folder(&files.folder(id));
            }
            Ok(())
        });
        // What stays goes when the coordinator starts again.
        let _ = removed.await;
    }

    /// Removes what belongs to none of these uploads, if it is older than this: left by a crash.
    pub(super) async fn keep_only(
        &self,
        named: Arc<Named>,
        age: Duration,
        now_ms: u64,
    ) -> Result<(), ResultsError> {
        let root = Arc::clone(&self.root);
        blocking(move || {
            for entry in fs::read_dir(&*root).map_err(io_at(&root))? {
                let path = entry.map_err(io_at(&root))?.path();
                let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                if id.is_none_or(|id: i64| !named.contains_key(&id)) && is_older(&path, age, now_ms) {
                    remove_folder(&path);
                }
            }
            Ok(())
        })
        .await
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(&*self.root).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Bytes `from..until` of an upload with these parts. A part that is read whole is checked.
    pub(super) fn read(
        &self,
        id: i64,
        parts: Vec<Part>,
        from: u64,
        until: u64,
    ) -> impl Stream<Item = Result<Bytes, ResultsError>> + Send + use<> {
        let mut begin = 0_u64;
        let mut pieces = Vec::new();
        for part in parts {
            let end = begin.saturating_add(part.size_bytes);
            let (first, last) = (from.max(begin), until.min(end));
            if first < last {
                pieces.push((part, first - begin, last - begin));
            }
            begin = end;
        }
        let folder = self.folder(id);
        stream::try_unfold((pieces.into_iter(), None::<Reading>), move |(mut pieces, mut reading)| {
            let folder = folder.clone();
            async move {
                if reading.as_ref().is_none_or(|reading| reading.offset >= reading.until) {
                    let Some((part, from, until)) = pieces.next() else { return Ok(None) };
                    reading = Some(Reading::open(folder.join(&part.file), part, from, until).await?);
                }
                let Some(reading) = reading else { return Ok(None) };
                let (bytes, reading) = reading.next().await?;
                Ok(Some((bytes, (pieces, Some(reading)))))
            }
        })
    }

    /// The SHA-256 of an upload with these parts.
    pub(super) async fn sha256(&self, id: i64, parts: Vec<Part>) -> Result<[u8; 32], ResultsError> {
        let folder = self.folder(id);
        blocking(move || {
            let mut hash = Sha256::new();
            let mut bytes = vec![0; READ_BYTES];
            for part in parts {
                let path = folder.join(&part.file);
                let file = File::open(&path).map_err(io_at(&path))?;
                let mut offset = 0;
                loop {
                    let count = file.read_at(&mut bytes, offset).map_err(io_at(&path))?;
                    let Some(read) = bytes.get(..count).filter(|read| !read.is_empty()) else { break };
                    hash.update(read);
                    offset += count as u64;
                }
                if offset != part.size_bytes {
                    return Err(damaged(&path));
                }
            }
            Ok(hash.finalize().into())
        })
        .await
    }
}

/// Without an age everything is old.
fn is_older(path: &Path, age: Duration, now_ms: u64) -> bool {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    // One that is gone needs no removing.
    let since = changed.ok().and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
    age.is_zero() || since.is_some_and(|since| since + age < Duration::from_millis(now_ms))
}

fn remove_folder(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "files of an upload that is over stay behind");
        }
        _ => {}
    }
}

fn damaged(path: &Path) -> ResultsError {
    ResultsError::Failed(format!(
        "{} is not what was written: the disk or a person damaged it",
        path.display()
    ))
}

/// A part's file while it is read.
struct Reading {
    file: Arc<File>,
    path: PathBuf,
    offset: u64,
    until: u64,
    /// The checksum so far and the expected one, where the part is read whole.
    check: Option<(crc32fast::Hasher, u32)>,
}

impl Reading {
    async fn open(path: PathBuf, part: Part, from: u64, until: u64) -> Result<Self, ResultsError> {
        blocking(move || {
            let file = File::open(&path).map_err(io_at(&path))?;
            let whole = from == 0 && until == part.size_bytes;
            let check = whole.then(|| (crc32fast::Hasher::new(), part.crc32));
            Ok(Self { file: Arc::new(file), path, offset: from, until, check })
        })
        .await
    }

    async fn next(mut self) -> Result<(Bytes, Self), ResultsError> {
        blocking(move || {
            let left = usize::try_from(self.until - self.offset).unwrap_or(READ_BYTES);
            let mut bytes = vec![0; left.min(READ_BYTES)];
            self.file.read_exact_at(&mut bytes, self.offset).map_err(io_at(&self.path))?;
            self.offset += bytes.len() as u64;
            if let Some((hash, expected)) = &mut self.check {
                hash.update(&bytes);
                if self.offset >= self.until && hash.clone().finalize() != *expected {
                    return Err(damaged(&self.path));
                }
            }
            Ok((bytes.into(), self))
        })
        .await
    }
}

struct Open {
    file: File,
    hash: crc32fast::Hasher,
    size_bytes: u64,
}

/// Removes its file unless that became a part.
pub(super) struct Unfinished {
    path: PathBuf,
    keep: bool,
}

impl Unfinished {
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.keep {
            // It goes with its upload otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A part on its way in.
pub(in super::super) struct Incoming {
    /// `None` while a write is under way, and after one failed.
    open: Option<Open>,
    name: String,
    drop: Unfinished,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    limit_bytes: u64,
}

impl Incoming {
    /// Appends bytes.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), ResultsError> {
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_bytes < WRITE_BYTES {
            return Ok(());
        }
        self.flush(false).await
    }

    async fn flush(&mut self, last: bool) -> Result<(), ResultsError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let lost = || ResultsError::Failed("an earlier write of this block failed".to_owned());
        let mut open = self.open.take().ok_or_else(lost)?;
        let (path, limit_bytes) = (self.drop.path.clone(), self.limit_bytes);
        let open = blocking(move || {
            for bytes in &waiting {
                open.size_bytes = open.size_bytes.saturating_add(bytes.len() as u64);
                open.hash.update(bytes);
            }
            if open.size_bytes > limit_bytes {
                return Err(too_large(limit_bytes));
            }
            write_all(&mut open.file, &waiting).map_err(io_at(&path))?;
            if last {
                open.file.sync_data().map_err(io_at(&path))?;
                if let Some(folder) = path.parent() {
                    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at(folder))?;
                }
            }
            Ok(open)
        })
        .await?;
        self.open = Some(open);
        Ok(())
    }

    /// Makes it durable.
    pub(super) async fn finish(mut self) -> Result<(Part, Unfinished), ResultsError> {
        self.flush(true).await?;
        let lost = || ResultsError::Failed("an earlier write of this block failed".to_owned());
        let open = self.open.take().ok_or_else(lost)?;
        let part = Part { file: self.name, size_bytes: open.size_bytes, crc32: open.hash.finalize() };
        Ok((part, self.drop))
    }
}

fn write_all(file: &mut File, pieces: &[Bytes]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = slices.as_mut_slice();
    // Pieces without bytes.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
