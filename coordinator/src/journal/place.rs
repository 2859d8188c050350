//! Which engine a coordinator's journal is in, and opening it.

use std::path::Path;

use super::postgres::{PostgresJournal, PostgresOptions};
use super::sqlite::SqliteJournal;
use super::{Journal, JournalError};

/// The file of the SQLite engine in the data directory.
pub const SQLITE_FILE: &str = "journal.db";

/// Where the journal is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum JournalPlace {
    /// In one file of the data directory.
    #[default]
    Sqlite,
    /// In a PostgreSQL database.
    Postgres(PostgresOptions),
}

impl JournalPlace {
    /// Reads `sqlite` or a URL.
    ///
    /// # Errors
    /// What to write instead; a password is never in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text == "sqlite" => Ok(Self::Sqlite),
            Some(("postgres" | "postgresql", _)) => PostgresOptions::parse(text).map(Self::Postgres),
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => Err(format!(
                "`{scheme}` is no engine of this build; write postgres://USER:PASSWORD@HOST/DATABASE, or leave it out \
                 for SQLite in the data directory"
            )),
            // Not shown: it may be a URL with a slip of the pen, and a password.
            _ => Err("write `sqlite` or postgres://USER:PASSWORD@HOST/DATABASE".to_owned()),
        }
    }
}

/// Opens the journal of a coordinator with this data directory. Blocks; a server may take seconds to answer.
///
/// # Errors
/// As the engine's `open`.
pub fn open(place: &JournalPlace, data_dir: &Path) -> Result<Box<dyn Journal>, JournalError> {
    Ok(match place {
        JournalPlace::Sqlite => Box::new(SqliteJournal::open(&data_dir.join(SQLITE_FILE))?),
        JournalPlace::Postgres(options) => Box::new(PostgresJournal::open(options.clone())?),
    })
}
