//! The data directory: its layout, and the lock that keeps a second coordinator out.
//!
//! ```text
//! lock            held by the coordinator that uses the directory
//! ca.key          from which the certificate authority's key follows (0600); ca.pem is its certificate
//! admin.token     who has it may use the API (0600)
//! agent.token     who has it may be an agent (0600)
//! journal.db      docs/JOURNAL.md; journal.db-lock is held by who has it open
//! history.db      what the journal says, as tables (docs/HISTORY.md)
//! secrets/        secrets of runs that are not finished (0600)
//! vault/          secrets that are kept, sealed
//! vault.key       what they are sealed with, unless --vault-key says so (0600)
//! mirrors/        bare git repositories from which workflow files are read
//! repositories/   what is known of each repository: its default branch, its schedules
//! results.key     what the tokens of jobs and the addresses of their uploads are signed with (0600)
//! objects/        blobs (docs/BLOBS.md) and records (docs/RECORDS.md); elsewhere with --objects
//! uploads/        large blobs on their way to an object store
//! journal.watermark  how far the journal was seen, so that one that lost something is noticed
//! ```
//!
//! Of several coordinators on one journal each has a data directory of its own, and `secrets/` (sealed) and `repositories/`
//! lie with the objects (in their folder or object store), where the next leader finds them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the data directory cannot be used. Each text names the directory and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error(
        "data directory {place} is in use by another process; stop that one, or choose another --data-dir"
    )]
    Locked {
        /// The directory.
        place: String,
    },
    /// It cannot be made, read or written.
    #[error(
        "data directory {place} cannot be used: {source}; make it writable, or choose another --data-dir"
    )]
    Io {
        /// The file or folder.
        place: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A locked data directory. Dropping it gives the lock back.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be (mode 0700) and locks it.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let io_at = |place: &Path| {
            let place = place.display().to_string();
            move |source| DataDirError::Io { place, source }
        };
        for folder in [root.to_owned(), root.join("secrets"), root.join("mirrors")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_at(&folder))?;
        }
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_at(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(DataDirError::Locked { place: root.display().to_string() })
            }
            Err(error) => Err(io_at(&path)(error.into())),
        }
    }

    /// Its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/er");
        let first = DataDir::open(&root).unwrap();
        let error = DataDir::open(&root).unwrap_err().to_string();
        assert!(error.contains("in use by another process"), "{error}");
        drop(first);
        DataDir::open(&root).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("--data-dir"), "{error}");
    }
}
