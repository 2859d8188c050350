//! Keeping what is good of a damaged file.
//!
//! Nothing is thrown away: the good part is copied into a new file, what can be read after it is written out as text, and the
//! damaged file itself is put aside. Invariant: at any moment either the old file or the new one is in its place, whole, or
//! (between two renames) none is, and then the coordinator's watermark keeps it from beginning an empty journal.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rusqlite::params;
use serde_json::json;

use super::lock::Lock;
use super::scan::{Scan, scan};
use super::{SELECT, SqliteJournal, engine, insert, read_row};
use crate::journal::{Journal as _, JournalError, MAX_READ, Mark, Record};

/// What is wrong with a file and what would stay of it.
#[derive(Debug)]
pub struct Damage {
    /// The last record that is good, with all before it.
    pub good: Mark,
    /// The first thing that is wrong.
    pub error: JournalError,
    /// Where the journal should end, if the file still says so.
    pub should_end: Option<u64>,
}

/// What was done.
#[derive(Debug)]
pub struct Cut {
    /// What was wrong.
    pub damage: Damage,
    /// The epoch of the new file.
    pub epoch: u64,
    /// How many records were cut off that could still be read.
    pub records: u64,
    /// They are here, one JSON object a line.
    pub side_file: PathBuf,
    /// The damaged file, as it was.
    pub damaged_file: PathBuf,
}

/// Why nothing was cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// There is nothing wrong with it.
    #[error("{place} is whole up to position {end}: there is nothing to cut")]
    Whole {
        /// The file.
        place: String,
        /// Where it ends.
        end: u64,
    },
    /// It cannot be read at all, or is of a newer version.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file that cannot be written; the journal is as it was.
    #[error("{place}: {source}")]
    Io {
        /// Which.
        place: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Reads the whole file and says what is wrong with it.
///
/// # Errors
/// [`CutError::Whole`], [`CutError::Journal`].
pub fn examine(path: &Path) -> Result<Damage, CutError> {
    let (journal, found) = open(path)?;
    Ok(diagnosis(&journal, found)?.0)
}

/// Cuts the file after its last good record. `unix_s` is for the names of the files beside it.
///
/// # Errors
/// [`CutError`]; then the file is as it was.
pub fn cut(path: &Path, unix_s: u64) -> Result<Cut, CutError> {
    let io_at = |place: &Path| {
        let place = place.display().to_string();
        move |source| CutError::Io { place, source }
    };
    let (journal, found) = open(path)?;
    let anchor = found.anchor;
    let (damage, mut epoch) = diagnosis(&journal, found)?;
    let position = damage.good.position;
    let side_file = path.with_extension(format!("cut-{position}-{unix_s}"));
    let after = write_out(&journal, position, &side_file).map_err(io_at(&side_file))?;
    epoch = epoch.max(after.epoch);

    let new = path.with_extension("db.new");
    for leftover in [new.clone(), beside(&new, "-wal"), beside(&new, "-shm")] {
        remove(&leftover).map_err(io_at(&leftover))?;
    }
    copy(&journal, anchor, damage.good, epoch, &new)?;
    drop(journal);
    fs::File::open(&new).and_then(|file| file.sync_all()).map_err(io_at(&new))?;

    let damaged_file = path.with_extension(format!("damaged-{position}-{unix_s}.db"));
    // What a file of another name has in its log must not be taken for the new one's.
    for (from, to) in [
        (beside(path, "-wal"), beside(&damaged_file, "-wal")),
        (beside(path, "-shm"), beside(&damaged_file, "-shm")),
        (path.to_owned(), damaged_file.clone()),
        (new, path.to_owned()),
    ] {
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && from != path => {}
            result => result.map_err(io_at(&from))?,
        }
    }
    if let Some(folder) = path.parent() {
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at(folder))?;
    }
    Ok(Cut { damage, epoch, records: after.records, side_file, damaged_file })
}

fn open(path: &Path) -> Result<(SqliteJournal, Scan), CutError> {
    if !path.exists() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return Err(CutError::Io { place: path.display().to_string(), source });
    }
    let mut journal = SqliteJournal::connect(path, Some(Lock::take(path)?))?;
    match journal.migrate() {
        // The tables of an older form may be damaged too: then what can be read of them is read as it is.
        Err(JournalError::Damaged { .. }) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let found = scan(&journal)?;
    Ok((journal, found))
}

/// What is wrong, and the newest epoch that the good part and the leader's row know of.
fn diagnosis(journal: &SqliteJournal, found: Scan) -> Result<(Damage, u64), CutError> {
    let Some(error) = found.damage else {
        let (place, end) = (journal.place.clone(), found.good.position);
        return Err(CutError::Whole { place, end });
    };
    let row = journal.leader_row().ok();
    let last = journal.record(found.good.position).ok().flatten().map_or(0, |record| record.epoch);
    // A leader's row that is gone may have had a newer epoch than any record.
    let epoch = row.map_or(last + 1, |(epoch, _, _)| epoch.max(last));
    let should_end = row.map(|(_, head, _)| head.position);
    Ok((Damage { good: found.good, error, should_end }, epoch))
}

/// What was found after the good part.
#[derive(Default)]
struct After {
    records: u64,
    epoch: u64,
}

/// Writes what can be read after a position: forwards up to what is unreadable, and backwards from the end.
fn write_out(journal: &SqliteJournal, position: u64, path: &Path) -> io::Result<After> {
    let mut file = BufWriter::new(fs::File::options().write(true).create_new(true).open(path)?);
    let mut after = After::default();
    let mut last = position;
    let mut write = |record: &Record, after: &mut After| {
        after.records += 1;
        after.epoch = after.epoch.max(record.epoch);
        let line = json!({
            "position": record.position, "version": record.version, "epoch": record.epoch,
            "time_ms": record.time_ms, "previous": hex::encode(record.previous), "checksum": record.checksum,
            "payload": BASE64_STANDARD.encode(&record.payload),
        });
        writeln!(file, "{line}")
    };
    while let Some(record) = one(journal, "ASC", last, i64::MAX as u64) {
        last = record.position;
        write(&record, &mut after)?;
    }
    let mut next = i64::MAX as u64;
    while let Some(record) = one(journal, "DESC", last, next) {
        next = record.position;
        write(&record, &mut after)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(after)
}

/// The first or last record between two positions; none when there is none or it cannot be read. A damaged tree may lead
/// elsewhere: what is not between them counts as unreadable.
fn one(journal: &SqliteJournal, order: &str, after: u64, before: u64) -> Option<Record> {
    let query = format!("{SELECT} WHERE position > ?1 AND position < ?2 ORDER BY position {order} LIMIT 1");
    let mut statement = journal.connection.prepare_cached(&query).ok()?;
    let record = statement.query_row(params![after, before], read_row).ok()?;
    (record.position > after && record.position < before).then_some(record)
}

/// Copies the good part into a new file.
fn copy(
    journal: &SqliteJournal,
    anchor: Mark,
    good: Mark,
    epoch: u64,
    path: &Path,
) -> Result<(), JournalError> {
    let mut new = SqliteJournal::load(path, None)?;
    let error = engine(&new.place);
    let mut at = anchor;
    loop {
        let transaction = new.connection.transaction().map_err(&error)?;
        // One by one where a page of them cannot be read.
        let records = match journal.page(at, MAX_READ) {
            Ok(records) => records,
            Err(JournalError::Damaged { .. }) => journal.record(at.position + 1)?.into_iter().collect(),
            Err(error) => return Err(error),
        };
        let before = at;
        for record in records.iter().take_while(|record| record.position <= good.position) {
            insert(&transaction, record).map_err(&error)?;
            at = record.mark();
        }
        transaction
            .execute(
                "UPDATE leader SET epoch = ?1, head_position = ?2, head_hash = ?3, anchor_position = ?4, anchor_hash = ?5",
                params![epoch, at.position, at.hash, anchor.position, anchor.hash],
            )
            .map_err(&error)?;
        transaction.commit().map_err(&error)?;
        if at == good {
            break;
        }
        if at == before {
            // It was readable a moment ago.
            let reason = "it cannot be read again".to_owned();
            return Err(JournalError::Damaged { position: at.position + 1, reason });
        }
    }
    new.head = at;
    for snapshot in journal.readable_snapshots(good.position)? {
        new.save_snapshot(&snapshot)?;
    }
    // Everything into the file itself: its log goes with this connection.
    new.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&error)
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
