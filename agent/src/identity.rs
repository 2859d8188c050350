//! Which agent this is: an id made once and kept in the data directory.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;
use uuid::Uuid;

/// The data directory, held by one process at a time.
#[derive(Debug)]
pub struct Identity {
    /// The agent's id.
    pub id: Uuid,
    /// Held until this is dropped, or the process ends however it ends.
    _lock: File,
}

/// Why the data directory can't be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file operation failed.
    #[error("cannot use the data directory {path}: {source}; choose another with --data-dir")]
    Io {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another agent runs with it.
    #[error("another agent already works in {0}: stop it, or give this one its own --data-dir")]
    InUse(String),
    /// The id file is damaged.
    #[error("{0} does not hold an agent's id: remove the file to start as a new agent")]
    Damaged(String),
}

impl Identity {
    /// Takes the data directory, makes it and the id if there is none.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn take(data_dir: &Path) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: data_dir.display().to_string(), source };
        std::fs::create_dir_all(data_dir).map_err(io)?;
        let path = data_dir.join("agent.id");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(IdentityError::InUse(data_dir.display().to_string()));
            }
            Err(errno) => return Err(io(errno.into())),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let id = if text.trim().is_empty() {
            let id = Uuid::new_v4();
            file.write_all(format!("{id}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            id
        } else {
            Uuid::parse_str(text.trim()).map_err(|_| IdentityError::Damaged(path.display().to_string()))?
        };
        Ok(Self { id, _lock: file })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_id_stays_and_the_folder_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::take(folder.path()).unwrap();
        assert!(matches!(Identity::take(folder.path()), Err(IdentityError::InUse(_))));
        let id = first.id;
        drop(first);
        assert_eq!(Identity::take(folder.path()).unwrap().id, id);
        std::fs::write(folder.path().join("agent.id"), "nonsense").unwrap();
        assert!(matches!(Identity::take(folder.path()), Err(IdentityError::Damaged(_))));
    }
}
