//! One kept tree and the note beside it, which says what it must be and is locked by whoever uses the tree.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Fetched;
use super::digest::digest;
use super::name::RepositoryName;
use crate::limits::ACTION_MARKER_MAX_BYTES;

/// The note's format.
const VERSION: u32 = 1;

/// The note.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    version: u32,
    commit: String,
    /// Of the tree, see `digest`.
    digest: String,
    /// What it takes of the disk.
    pub(super) size_bytes: u64,
}

impl Marker {
    pub(super) fn new(commit: &str, digest: String, size_bytes: u64) -> Self {
        Self { version: VERSION, commit: commit.to_owned(), digest, size_bytes }
    }

    pub(super) fn read(file: &File) -> Option<Self> {
        let mut text = Vec::new();
        file.take(ACTION_MARKER_MAX_BYTES as u64).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok().filter(|marker: &Self| marker.version == VERSION)
    }
}

/// Where one commit of a repository is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) tree: PathBuf,
    pub(super) marker: PathBuf,
    commit: String,
}

impl Kept {
    pub(super) fn new(store: &Path, name: &RepositoryName, commit: &str) -> Self {
        let folder = store.join(name.key());
        Self {
            tree: folder.join(commit),
            marker: folder.join(format!("{commit}.json")),
            commit: commit.to_owned(),
        }
    }

    /// Takes it into use, if it is there. An error says how it is damaged.
    pub(super) fn open(&self) -> Result<Option<Fetched>, String> {
        let Ok(file) = File::open(&self.marker) else { return Ok(None) };
        // Only a removal holds it alone, and that is soon over.
        flock(&file, FlockOperation::LockShared).map_err(|errno| errno.to_string())?;
        if file.metadata().map_or(0, |found| found.nlink()) == 0 {
            return Ok(None);
        }
        let marker = Marker::read(&file).ok_or("its note cannot be read")?;
        if marker.commit != self.commit {
            return Err("its note names another commit".to_owned());
        }
        let found = digest(&self.tree).map_err(|error| format!("its files cannot be read: {error}"))?;
        if found != marker.digest {
            return Err("its files have changed".to_owned());
        }
        // The least recently used goes first; when it can't be noted, it goes too early.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(Fetched {
            folder: self.tree.clone(),
            commit: Some(self.commit.clone()),
            _in_use: Some(Arc::new(file)),
        }))
    }

    /// Gives a finished tree its name, in place of what is there, and takes it into use. The caller holds the
    /// repository's lock; `aside` is a free name in the staging folder.
    pub(super) fn keep(&self, made: &Path, marker: &Marker, aside: &Path) -> std::io::Result<Fetched> {
        for old in [&self.marker, &self.tree] {
            if std::fs::symlink_metadata(old).is_ok() {
                std::fs::rename(old, aside)?;
                crate::checkout::remove(aside)?;
            }
        }
        if let Some(folder) = self.tree.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::rename(made, &self.tree)?;
        // The note last: a tree without one is no tree.
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(aside)?;
        file.write_all(&serde_json::to_vec(marker)?)?;
        file.sync_all()?;
        flock(&file, FlockOperation::LockShared)?;
        std::fs::rename(aside, &self.marker)?;
        Ok(Fetched {
            folder: self.tree.clone(),
            commit: Some(self.commit.clone()),
            _in_use: Some(Arc::new(file)),
        })
    }

    /// Removes it unless somebody uses it; whether it is gone. The caller holds the repository's lock.
    pub(super) fn remove_unused(&self) -> std::io::Result<bool> {
        let file = match File::open(&self.marker) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        // The note first: from here on the tree is none.
        std::fs::remove_file(&self.marker)?;
        crate::checkout::remove(&self.tree)?;
        Ok(true)
    }
}
