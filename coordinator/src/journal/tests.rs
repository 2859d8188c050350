#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::conformance::{self, Factory};
use super::memory::MemoryJournal;
use super::sqlite::SqliteJournal;
use super::{Address, Entry, FORMAT, Journal, JournalError, Snapshot, lead, verify};

struct Memory;

impl Factory for Memory {
    type Place = MemoryJournal;
    type Journal = MemoryJournal;
    fn place(&mut self) -> MemoryJournal {
        MemoryJournal::new()
    }
    fn open(&mut self, place: &MemoryJournal) -> MemoryJournal {
        place.clone()
    }
}

struct Sqlite(tempfile::TempDir, u32);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), 0)
    }
}

impl Factory for Sqlite {
    type Place = PathBuf;
    type Journal = SqliteJournal;
    fn place(&mut self) -> PathBuf {
        self.1 += 1;
        self.0.path().join(format!("{}.db", self.1))
    }
    fn open(&mut self, place: &PathBuf) -> SqliteJournal {
        SqliteJournal::open(place).unwrap()
    }
}

#[test]
fn memory_conforms() {
    conformance::check(&mut Memory);
    conformance::check_shared(&mut Memory);
}

#[test]
fn sqlite_conforms() {
    conformance::check(&mut Sqlite::new());
}

fn filled(factory: &mut Sqlite, records: usize) -> PathBuf {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal, &Address::default()).unwrap();
    let entries: Vec<Entry> =
        (0..records).map(|n| Entry { time_ms: 5, payload: vec![n as u8; 20] }).collect();
    journal.append(epoch, &entries).unwrap();
    journal.save_snapshot(&Snapshot::pack(2, 1, &[1; 100]).unwrap()).unwrap();
    place
}

/// Changes the file behind the journal's back, as a person or a bad disk would.
fn tamper(place: &Path, sql: &str) {
    Connection::open(place).unwrap().execute_batch(sql).unwrap();
}

fn open_and_verify(place: &Path) -> Result<u64, JournalError> {
    SqliteJournal::open(place).and_then(|mut journal| verify(&mut journal))
}

#[test]
fn whatever_was_changed_shows() {
    let mut factory = Sqlite::new();
    for (sql, position) in [
        ("UPDATE record SET payload = x'00' WHERE position = 3", 3),
        ("UPDATE record SET time_ms = 6 WHERE position = 4", 4),
        ("UPDATE record SET epoch = 2 WHERE position = 1", 1),
        ("UPDATE record SET checksum = checksum + 1 WHERE position = 2", 2),
        ("DELETE FROM record WHERE position = 3", 3),
        ("DELETE FROM record WHERE position = 5", 5),
        ("DELETE FROM record", 1),
    ] {
        let place = filled(&mut factory, 5);
        assert_eq!(open_and_verify(&place).unwrap(), 5);
        tamper(&place, sql);
        let error = open_and_verify(&place).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { position: p, .. } if p == position),
            "{sql}: {error}"
        );
    }
}

#[test]
fn a_forged_record_with_a_good_checksum_breaks_the_chain() {
    let mut factory = Sqlite::new();
    let place = filled(&mut factory, 3);
    let original = SqliteJournal::open(&place).unwrap().read(1).unwrap().remove(0);
    let forged = super::Record::new(
        original.position,
        original.epoch,
        original.time_ms,
        original.previous,
        b"forged".to_vec(),
    );
    let connection = Connection::open(&place).unwrap();
    connection
        .execute(
            "UPDATE record SET payload = ?1, checksum = ?2 WHERE position = 2",
            params![forged.payload, forged.checksum],
        )
        .unwrap();
    drop(connection);
    let error = open_and_verify(&place).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { position: 3, .. }), "{error}");
}

#[test]
fn a_newer_data_directory_is_refused_by_its_format() {
    let mut factory = Sqlite::new();
    let place = filled(&mut factory, 1);
    tamper(&place, "PRAGMA user_version = 9");
    let error = SqliteJournal::open(&place).unwrap_err().to_string();
    let wanted =
        format!("data directory was written by a newer version (format 9, this build reads ≤ {FORMAT})");
    assert!(error.starts_with(&wanted), "{error}");

    let place = filled(&mut factory, 2);
    tamper(&place, "UPDATE record SET version = 7 WHERE position = 1");
    let error = open_and_verify(&place).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 7, supported: 1 }), "{error}");
}

#[test]
fn another_programs_file_is_refused() {
    let mut factory = Sqlite::new();
    let place = factory.place();
    tamper(&place, "CREATE TABLE theirs (x)");
    let error = SqliteJournal::open(&place).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    std::fs::write(&place, vec![b'x'; 8_192]).unwrap();
    let error = SqliteJournal::open(&place).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
}

#[test]
fn an_open_journal_is_locked() {
    let mut factory = Sqlite::new();
    let place = filled(&mut factory, 1);
    let mut first = SqliteJournal::open(&place).unwrap();
    lead(&mut first, &Address::default()).unwrap();
    let error = SqliteJournal::open(&place).unwrap_err().to_string();
    assert!(error.contains("another process has it open"), "{error}");
}

#[test]
fn a_damaged_snapshot_is_left_out() {
    let mut factory = Sqlite::new();
    let place = filled(&mut factory, 5);
    tamper(&place, "UPDATE snapshot SET state = x'00'");
    assert!(SqliteJournal::open(&place).unwrap().snapshots().unwrap().is_empty());
}
