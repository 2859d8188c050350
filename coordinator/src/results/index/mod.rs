//! What there is of uploads, cache entries and artifacts: in one SQLite file, or in the PostgreSQL database of a journal that
//! several coordinators share.
//!
//! Every upload has a row and parts of the same number; numbers are never given twice. A cache entry or an artifact is an
//! upload with a name, and nobody sees it before it is *ready*. What is done stands here once, in the SQL that both engines
//! speak ([`sql`]); an engine does it in one transaction, and gives each change the tables to itself. Both pass
//! [`super::conformance`].
//!
//! Invariants: a part's row is written after its bytes are durable, so what the index names is there; rows go before
//! bytes, so a crash leaves bytes that no row names, and those go when the next leader looks.

mod artifacts;
mod caches;
mod copy;
mod postgres;
mod sql;
mod sqlite;
mod uploads;
mod usage;

use std::path::{Path, PathBuf};

use rusqlite::TransactionBehavior;

pub(super) use artifacts::{Artifact, NewArtifact};
pub(super) use caches::{CacheEntry, NewCache};
pub(super) use copy::Taken;
pub(super) use uploads::{Named, Part, Placed, too_large};
pub use usage::{Unused, Usage};

use self::postgres::{Access, PostgresIndex};
use self::sql::{Fault, Sql};
use self::sqlite::SqliteIndex;
use super::error::ResultsError;
use crate::journal::postgres::PostgresOptions;

/// Whether other coordinators open the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody does.
    Alone,
    /// They may, on other machines too: a write-ahead log would need memory that all of them share.
    Among,
}

/// Where an index is.
#[derive(Debug, Clone)]
pub(crate) enum IndexPlace {
    /// In this file.
    File(PathBuf, Sharing),
    /// In the journal's database.
    Postgres(PostgresOptions),
}

/// The index; cheap to clone.
#[derive(Clone)]
pub(super) enum Index {
    Sqlite(SqliteIndex),
    Postgres(PostgresIndex),
}

impl Index {
    /// Opens it, making file or tables if need be.
    pub(super) async fn open(place: &IndexPlace) -> Result<Self, ResultsError> {
        match place {
            IndexPlace::File(path, sharing) => Self::open_file(path, *sharing),
            IndexPlace::Postgres(options) => Ok(Self::Postgres(PostgresIndex::open(options.clone()).await?)),
        }
    }

    /// Opens a file.
    pub(super) fn open_file(path: &Path, sharing: Sharing) -> Result<Self, ResultsError> {
        Ok(Self::Sqlite(SqliteIndex::open(path, sharing)?))
    }

    /// This coordinator leads: from now on an index that others open too is changed in this epoch alone.
    pub(super) fn lead(&self, epoch: u64) {
        match self {
            // A file says nothing of epochs.
            Self::Sqlite(_) => {}
            Self::Postgres(index) => index.lead(epoch),
        }
    }

    /// Does something in one transaction. An error takes it back. It may be done more than once, each time after the one
    /// before was taken back, or after it was done and nobody heard of it.
    async fn change<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Sql) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, ResultsError> {
        match self {
            Self::Sqlite(index) => index.transaction(TransactionBehavior::Immediate, work).await,
            Self::Postgres(index) => index.transaction(Access::Change, work).await,
        }
    }

    /// The same for what changes nothing: all of it is as of one moment.
    async fn look<T: Send + 'static>(
        &self,
        work: impl Fn(&mut dyn Sql) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, ResultsError> {
        match self {
            Self::Sqlite(index) => index.transaction(TransactionBehavior::Deferred, work).await,
            Self::Postgres(index) => index.transaction(Access::Look, work).await,
        }
    }
}
