//! Opening a folder, and emptying one whose index is unreadable.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::index::Index;
use super::{Disk, DiskOptions, MIN_BOUND_BYTES};
use crate::cache::counters::Counters;

/// Why a folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another process has it.
    #[error("the cache folder {0} is used by another process: give each its own")]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("the cache folder {root}: {source}")]
    Io {
        /// The folder.
        root: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The index cannot be opened, nor made anew.
    #[error("the index of the cache folder {root}: {source}")]
    Index {
        /// The folder.
        root: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A bound too small to work with.
    #[error("a disk cache needs at least {MIN_BOUND_BYTES} bytes")]
    TooSmall,
}

pub(super) fn open(options: &DiskOptions) -> Result<Disk, DiskError> {
    let root = &options.root;
    let io = |source| DiskError::Io { root: root.clone(), source };
    if options.max_bytes < MIN_BOUND_BYTES {
        return Err(DiskError::TooSmall);
    }
    fs::create_dir_all(root).map_err(io)?;
    let lock =
        File::options().write(true).create(true).truncate(false).open(root.join("lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DiskError::InUse(root.clone())),
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    let index = match Index::open(root, options.max_bytes, &options.quotas) {
        Ok(index) => index,
        Err(_) => {
            // Whatever is wrong with it, the values are worth less than a cache that starts.
            empty(root).map_err(io)?;
            let index = |source| DiskError::Index { root: root.clone(), source };
            Index::open(root, options.max_bytes, &options.quotas).map_err(index)?
        }
    };
    let files = Files::open(root).map_err(io)?;
    files.recover(|name| index.refers_to(name)).map_err(io)?;
    let place = root.display().to_string().into();
    let disk = Disk { index, files, counters: Counters::default(), place, _lock: lock };
    disk.clear();
    Ok(disk)
}

/// Puts everything aside, to be removed while the cache is in use already.
fn empty(root: &Path) -> io::Result<()> {
    let incoming = root.join("incoming");
    fs::create_dir_all(&incoming)?;
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "unreadable"] {
        match fs::remove_file(root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::rename(root.join("files"), incoming.join(uuid::Uuid::now_v7().simple().to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
