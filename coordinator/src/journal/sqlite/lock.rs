//! One process at a time has a journal's file open.
//!
//! SQLite's own lock for that (`locking_mode=EXCLUSIVE`) would keep out the second connection too, which moves the write-ahead log.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::cut::beside;
use crate::journal::JournalError;

/// What is said when another one has it.
pub(super) const HELD: &str = "another process has it open; stop that one, or choose another data directory";

/// A lock beside the file; the system gives it back when the process dies. The file that is locked stays: removing it could
/// take away somebody else's lock.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// [`JournalError::Engine`] when another process, or another journal of this one, has it.
    pub(super) fn take(path: &Path) -> Result<Self, JournalError> {
        let place = beside(path, "-lock");
        let failed = |reason: String| JournalError::Engine { place: path.display().to_string(), reason };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&place);
        let file = file.map_err(|error| failed(format!("{}: {error}", place.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(failed(HELD.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error.to_string())),
        }
    }
}
