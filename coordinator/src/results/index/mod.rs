//! What there is of uploads, cache entries and artifacts, in one SQLite file.
//!
//! Every upload has a row and a folder of part files of the same number; numbers are never given twice. A cache entry or
//! an artifact is an upload with a name, and nobody sees it before it is *ready*.
//!
//! Invariants: a part's row is written after its file is durable, so what the index names is on the disk; rows go before
//! files, so a crash leaves files that no row names, and those go when the index is opened next.

mod artifacts;
mod caches;
mod uploads;
mod usage;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub(super) use artifacts::{Artifact, NewArtifact};
pub(super) use caches::{CacheEntry, NewCache};
pub(super) use uploads::{Part, Placed, too_large};
pub use usage::{Unused, Usage};

use super::error::ResultsError;

/// How long one connection waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Version of the tables.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE upload (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  lease TEXT NOT NULL,
  limit_bytes INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  size_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX upload_lease ON upload (lease);
CREATE TABLE part (
  upload INTEGER NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
  block TEXT NOT NULL,
  position INTEGER,
  file TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  crc32 INTEGER NOT NULL,
  PRIMARY KEY (upload, block)
) STRICT, WITHOUT ROWID;
CREATE TABLE cache (
  id INTEGER PRIMARY KEY REFERENCES upload (id) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  scope TEXT NOT NULL,
  version TEXT NOT NULL,
  key TEXT NOT NULL,
  ready INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX cache_key ON cache (repository, scope, version, key);
CREATE INDEX cache_used ON cache (used_ms);
CREATE TABLE artifact (
  id INTEGER PRIMARY KEY REFERENCES upload (id) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  family TEXT NOT NULL,
  run_attempt INTEGER NOT NULL,
  name TEXT NOT NULL,
  run TEXT NOT NULL,
  instance TEXT NOT NULL,
  mime_type TEXT NOT NULL,
  sha256 TEXT NOT NULL DEFAULT '',
  ready INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX artifact_name ON artifact (repository, family, run_attempt, name);
CREATE INDEX artifact_expires ON artifact (expires_ms);
";

/// Whether other coordinators open the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody does.
    Alone,
    /// They may, on other machines too: a write-ahead log would need memory that all of them share.
    Among,
}

impl Sharing {
    fn journal_mode(self) -> &'static str {
        match self {
            Self::Alone => "WAL",
            Self::Among => "DELETE",
        }
    }
}

/// The index; cheap to clone.
#[derive(Clone)]
pub(super) struct Index {
    connection: Arc<Mutex<Connection>>,
}

impl Index {
    /// Opens the file, making it if need be.
    pub(super) fn open(path: &Path, sharing: Sharing) -> Result<Self, ResultsError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = {}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            sharing.journal_mode()
        ))?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 => connection
                .execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?,
            VERSION => {}
            other => {
                return Err(ResultsError::Failed(format!(
                    "{}: its tables have version {other} and this coordinator knows {VERSION}; start a newer one",
                    path.display()
                )));
            }
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Does something in one transaction, where it may block. An error takes it back.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ResultsError> + Send + 'static,
    ) -> Result<T, ResultsError> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            // A panic in between took its transaction back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        done.await.unwrap_or_else(|error| Err(ResultsError::Failed(error.to_string())))
    }

    /// The same for what changes nothing.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, ResultsError> + Send + 'static,
    ) -> Result<T, ResultsError> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            work(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.unwrap_or_else(|error| Err(ResultsError::Failed(error.to_string())))
    }
}
