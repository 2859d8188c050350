//! Which engine a coordinator's journal is in, opening it, and what an admin does about one that lost something.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::postgres::{PostgresJournal, PostgresOptions};
use super::sqlite::{self, Cut, CutError, SqliteJournal};
use super::watched::Watched;
use super::watermark::{self, Loss, WATERMARK_FILE, Watermark};
use super::{Journal, JournalError};

/// The file of the SQLite engine in the data directory.
pub const SQLITE_FILE: &str = "journal.db";

/// Where the journal is, as it was given; `Debug` hides it, since a URL may hold a password.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct JournalUrl(pub String);

impl From<&str> for JournalUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl std::fmt::Debug for JournalUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JournalUrl(…)")
    }
}

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

/// Opens the journal of a coordinator with this data directory, and compares it with what the coordinator saw of it. Blocks;
/// a server may take seconds to answer. `keep`: for how long records are kept; `None`: for ever.
///
/// # Errors
/// As the engine's `open`, and [`JournalError::Lost`] when something is missing.
pub fn open(
    place: &JournalPlace,
    data_dir: &Path,
    keep: Option<Duration>,
) -> Result<Box<dyn Journal>, JournalError> {
    let watermark = data_dir.join(WATERMARK_FILE);
    let inner = open_engine(place, data_dir)?;
    Ok(Box::new(Watched::open(inner, &shown(place, data_dir), watermark, keep)?))
}

fn open_engine(place: &JournalPlace, data_dir: &Path) -> Result<Box<dyn Journal>, JournalError> {
    Ok(match place {
        JournalPlace::Sqlite => Box::new(SqliteJournal::open(&data_dir.join(SQLITE_FILE))?),
        JournalPlace::Postgres(options) => Box::new(PostgresJournal::open(options.clone())?),
    })
}

fn shown(place: &JournalPlace, data_dir: &Path) -> String {
    match place {
        JournalPlace::Sqlite => data_dir.join(SQLITE_FILE).display().to_string(),
        JournalPlace::Postgres(options) => options.to_string(),
    }
}

/// What the journal has lost of what this coordinator saw; the data directory has to be locked.
///
/// # Errors
/// As the engine's `open`, and [`JournalError::Engine`] when the watermark cannot be read.
pub fn loss(place: &JournalPlace, data_dir: &Path) -> Result<Option<Loss>, JournalError> {
    let path = data_dir.join(WATERMARK_FILE);
    let watermark = Watermark::load(&path).map_err(file_error(&path))?;
    watermark.loss(&mut *open_engine(place, data_dir)?)
}

/// Takes the journal as it is from now on: what this coordinator saw of it is put away under the name that is given back.
///
/// # Errors
/// As the engine's `open`, and [`JournalError::Engine`] when the watermark cannot be written.
pub fn accept_loss(
    place: &JournalPlace,
    data_dir: &Path,
    unix_s: u64,
) -> Result<Option<PathBuf>, JournalError> {
    let path = data_dir.join(WATERMARK_FILE);
    let mut journal = open_engine(place, data_dir)?;
    let epoch = journal.leader()?.epoch;
    watermark::accept(&path, epoch, journal.head(), unix_s).map_err(file_error(&path))
}

/// Cuts a damaged SQLite journal after its last good record; the data directory has to be locked.
///
/// # Errors
/// [`CutError`].
pub fn cut_journal(data_dir: &Path, unix_s: u64) -> Result<Cut, CutError> {
    let cut = sqlite::cut(&data_dir.join(SQLITE_FILE), unix_s)?;
    // Whoever cuts knows that something is lost: the next start is not to complain of it again.
    let path = data_dir.join(WATERMARK_FILE);
    watermark::accept(&path, cut.epoch, cut.damage.good, unix_s)
        .map_err(|source| CutError::Io { place: path.display().to_string(), source })?;
    Ok(cut)
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> JournalError {
    let place = path.display().to_string();
    move |error| JournalError::Engine { place: place.clone(), reason: error.to_string() }
}
