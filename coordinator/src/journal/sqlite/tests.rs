#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::cut::beside;
use super::{CutError, SqliteJournal, cut, examine};
use crate::journal::{
    Address, Entry, FORMAT, Journal, JournalError, JournalPlace, Record, SQLITE_FILE, Snapshot, accept_loss,
    cut_journal, lead, loss, open, verify,
};

/// A journal in a folder: records of different lengths in batches, under three epochs, and snapshots.
fn fill(path: &Path, records: u64) -> SqliteJournal {
    let mut journal = SqliteJournal::open(path).unwrap();
    let mut epoch = 0;
    while journal.end() < records {
        if journal.end().is_multiple_of(100) {
            epoch = lead(&mut journal, &Address::default()).unwrap();
        }
        let entry = |n: u64| {
            let n = journal.end() + n;
            Entry { time_ms: 1_000 + n, payload: vec![n as u8; (n * 37 % 400) as usize] }
        };
        let entries: Vec<Entry> = (1..=5).map(entry).collect();
        journal.append(epoch, &entries).unwrap();
    }
    for position in [records / 3, records - 10] {
        journal.save_snapshot(&Snapshot::pack(position, 1, &[9; 5_000]).unwrap()).unwrap();
    }
    journal
}

/// All records up to the first error.
fn read_all(journal: &mut SqliteJournal) -> (Vec<Record>, Option<JournalError>) {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let position = records.last().map_or(journal.anchor().position, |record| record.position);
        match journal.read(position) {
            Ok(more) if more.is_empty() => return (records, None),
            Ok(more) => records.extend(more),
            Err(error) => return (records, Some(error)),
        }
    }
}

fn tamper(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_journal_of_format_1_is_migrated_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SQLITE_FILE);
    fs::write(&path, include_bytes!("../../../tests/fixtures/journal-format-1.db")).unwrap();
    let mut journal = SqliteJournal::open(&path).unwrap();
    assert_eq!((journal.end(), journal.anchor().position), (40, 0));
    assert_eq!(verify(&mut journal).unwrap(), 40);
    let (records, _) = read_all(&mut journal);
    assert_eq!(records[0].payload, br#"{"epoch":1,"batch":0,"n":0}"#);
    assert_eq!((records[39].epoch, records[39].time_ms), (2, 1_700_000_002_043));
    let positions: Vec<u64> = journal.snapshots().unwrap().iter().map(|snapshot| snapshot.position).collect();
    assert_eq!(positions, [40, 36]);
    let epoch = lead(&mut journal, &Address::default()).unwrap();
    assert_eq!(epoch, 3);
    assert_eq!(journal.append(epoch, &[Entry { time_ms: 1, payload: vec![1] }]).unwrap(), 41);
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), 36);
    drop(journal);
    assert_eq!(verify(&mut SqliteJournal::open(&path).unwrap()).unwrap(), 5);
    let format: u32 =
        Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(format, FORMAT);
}

#[test]
fn damage_is_told_with_the_first_position_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (sql, position)) in [
        // Only the last one is looked at with every start; what is wrong before it shows then too.
        ("DELETE FROM record WHERE position IN (40, 60)", 40),
        ("UPDATE record SET payload = x'00' WHERE position IN (17, 60)", 17),
        ("DELETE FROM record WHERE position > 50", 51),
        ("UPDATE leader SET head_position = 70", 61),
        ("UPDATE leader SET head_hash = zeroblob(32)", 60),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{number}.db"));
        drop(fill(&path, 60));
        tamper(&path, sql);
        let error = SqliteJournal::open(&path).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { position: p, .. } if p == position),
            "{sql}: {error}"
        );
        assert!(error.to_string().contains("slipway admin cut-journal"), "{error}");
        assert_eq!(examine(&path).unwrap().good.position, position - 1, "{sql}");
    }
}

#[test]
fn a_cut_keeps_what_is_good_and_puts_the_rest_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SQLITE_FILE);
    let mut whole = fill(&path, 300);
    let original = read_all(&mut whole).0;
    drop(whole);
    let refused = cut(&path, 1).unwrap_err();
    assert!(matches!(refused, CutError::Whole { end: 300, .. }), "{refused}");

    tamper(&path, "UPDATE record SET payload = x'00' WHERE position = 280");
    let done = cut(&path, 77).unwrap();
    assert_eq!((done.damage.good.position, done.damage.should_end, done.records), (279, Some(300), 21));
    let side = fs::read_to_string(&done.side_file).unwrap();
    assert!(done.side_file.ends_with("journal.cut-279-77"), "{}", done.side_file.display());
    let lines: Vec<serde_json::Value> =
        side.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let positions: Vec<u64> = lines.iter().map(|line| line["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (280..=300).collect::<Vec<_>>());
    assert_eq!(lines[0]["payload"], "AA==");
    assert!(done.damaged_file.exists());

    let mut journal = SqliteJournal::open(&path).unwrap();
    assert_eq!(read_all(&mut journal).0, original[..279]);
    let positions: Vec<u64> = journal.snapshots().unwrap().iter().map(|snapshot| snapshot.position).collect();
    assert_eq!(positions, [100], "a snapshot of what was cut goes with it");
    assert_eq!(lead(&mut journal, &Address::default()).unwrap(), 4);
}

#[test]
fn a_coordinator_learns_of_an_older_copy_and_of_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, place) = (folder.path(), JournalPlace::Sqlite);
    let path = data_dir.join(SQLITE_FILE);
    let append = |count: usize| {
        let mut journal = open(&place, data_dir, None)?;
        let epoch = lead(&mut *journal, &Address::default())?;
        let entries = vec![Entry { time_ms: 1, payload: vec![1] }; count];
        journal.append(epoch, &entries)
    };
    append(5).unwrap();
    let backup = fs::read(&path).unwrap();
    append(5).unwrap();
    assert_eq!(loss(&place, data_dir).unwrap(), None);
    fs::write(&path, backup).unwrap();
    let error = append(1).unwrap_err();
    assert!(matches!(error, JournalError::Lost { known: 10, found: 5, .. }), "{error}");
    let lost = loss(&place, data_dir).unwrap().unwrap();
    assert_eq!((lost.agreed, lost.known, lost.found), (5, 10, 5));
    let kept = accept_loss(&place, data_dir, 9).unwrap().unwrap();
    assert!(kept.exists());
    assert_eq!(append(1).unwrap(), 6);

    tamper(&path, "DELETE FROM record WHERE position = 6");
    append(1).unwrap_err();
    assert_eq!(cut_journal(data_dir, 10).unwrap().damage.good.position, 5);
    assert_eq!(append(2).unwrap(), 7, "whoever cuts has accepted the loss");
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound) as usize
    }

    /// Flips bytes, wipes a sector, or cuts the end off.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let length = bytes.len() as u64;
        match self.below(4) {
            0 => bytes.truncate(self.below(length)),
            1 => {
                let start = self.below(length / 512) * 512;
                bytes[start..start + 512].fill(0);
            }
            _ => {
                for _ in 0..=self.below(8) {
                    bytes[self.below(length)] ^= 1 << self.below(8);
                }
            }
        }
    }
}

/// The journal, its log if there is one, and what it holds.
fn original(folder: &Path, in_log: bool) -> (Vec<u8>, Option<Vec<u8>>, Vec<Record>) {
    let path = folder.join("original.db");
    let mut journal = fill(&path, 300);
    let records = read_all(&mut journal).0;
    // With the journal open, its last pages are in the log.
    let log = in_log.then(|| fs::read(beside(&path, "-wal")).unwrap());
    if in_log {
        return (fs::read(&path).unwrap(), log, records);
    }
    drop(journal);
    (fs::read(&path).unwrap(), None, records)
}

/// A folder in memory where there is one: these tests sync often, and need no disk for it.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[test]
fn whatever_happens_to_the_file_is_an_error_or_changes_nothing() {
    const SEEDS: u64 = 80;
    let folder = quick_folder();
    let (file, _, records) = original(folder.path(), false);
    let (mut whole, mut cuts) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut bytes = file.clone();
        random.damage(&mut bytes);
        let path = folder.path().join(format!("{seed}.db"));
        fs::write(&path, &bytes).unwrap();
        if let Ok(mut journal) = SqliteJournal::open(&path) {
            let (read, error) = read_all(&mut journal);
            assert_eq!(read, records[..read.len()], "seed {seed}: wrong data");
            if error.is_none() && verify(&mut journal).is_ok() {
                assert_eq!(read.len(), records.len(), "seed {seed}: the end is missing");
            }
        }
        match cut(&path, seed) {
            Ok(done) => {
                cuts += 1;
                let mut journal = SqliteJournal::open(&path).unwrap();
                let (read, error) = read_all(&mut journal);
                assert!(error.is_none(), "seed {seed}: {error:?}");
                assert_eq!(read, records[..done.damage.good.position as usize], "seed {seed}");
                let epoch = lead(&mut journal, &Address::default()).unwrap();
                journal.append(epoch, &[Entry { time_ms: 1, payload: vec![1] }]).unwrap();
                assert_eq!(verify(&mut journal).unwrap(), done.damage.good.position + 1, "seed {seed}");
            }
            Err(CutError::Whole { end, .. }) => {
                whole += 1;
                assert_eq!(end, 300, "seed {seed}");
            }
            // Its tables cannot be found any more.
            Err(CutError::Journal(_)) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(whole > 2 && cuts > 20, "both must occur: {whole} whole, {cuts} cut");
}

#[test]
fn a_damaged_log_gives_a_prefix() {
    const SEEDS: u64 = 40;
    let folder = quick_folder();
    let (file, log, records) = original(folder.path(), true);
    let log = log.unwrap();
    let mut shorter = 0;
    for seed in 0..SEEDS {
        let (mut random, mut damaged) = (Random(seed), log.clone());
        random.damage(&mut damaged);
        let path: PathBuf = folder.path().join(format!("log-{seed}.db"));
        fs::write(&path, &file).unwrap();
        fs::write(beside(&path, "-wal"), &damaged).unwrap();
        // SQLite leaves out what its own checksums refuse; a coordinator's watermark shows what went with it.
        let Ok(mut journal) = SqliteJournal::open(&path) else { continue };
        let (read, error) = read_all(&mut journal);
        assert!(error.is_none(), "seed {seed}: {error:?}");
        assert_eq!(read, records[..read.len()], "seed {seed}: wrong data");
        assert_eq!(verify(&mut journal).unwrap(), read.len() as u64);
        shorter += u32::from(read.len() < records.len());
    }
    assert!(shorter > 5, "only {shorter} lost something");
}
