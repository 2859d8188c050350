#![allow(clippy::unwrap_used)]

use std::io::Write as _;

use super::reader::Reader;
use super::*;

fn numbered(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..=to).map(|number| format!("record {number}").into_bytes()).collect()
}

fn all(journal: &Journal, from: u64) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(journal.progress());
    let mut records = Vec::new();
    loop {
        let more = reader.read(from + records.len() as u64, 100).unwrap();
        if more.is_empty() {
            return records;
        }
        records.extend(more.iter().map(|record| record.to_vec()));
    }
}

#[test]
fn what_was_written_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), b"j0".to_vec(), b"s0".to_vec()).unwrap();
    assert_eq!(journal.append(&numbered(1, 3), None, Some(b"s1".to_vec()), false).unwrap(), 3);
    assert_eq!(journal.append(&[], Some(b"j1".to_vec()), None, true).unwrap(), 3);
    drop(journal);
    let found = Journal::open(folder.path()).unwrap().unwrap();
    assert_eq!((found.job.as_slice(), found.stream.as_slice()), (b"j1".as_slice(), b"s1".as_slice()));
    assert_eq!(found.journal.last_record(), 3);
    assert_eq!(all(&found.journal, 1), numbered(1, 3));
}

#[test]
fn a_torn_group_is_cut_off_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), b"s0".to_vec()).unwrap();
    journal.append(&numbered(1, 2), None, Some(b"s1".to_vec()), false).unwrap();
    let whole = format::encode_group(&numbered(3, 4), None, Some(b"s2")).unwrap();
    for cut in 1..whole.len() {
        let path = segment_path(folder.path(), 1);
        let before = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[..cut]).unwrap();
        let found = Journal::open(folder.path()).unwrap().unwrap();
        assert_eq!(
            (found.journal.last_record(), found.stream.as_slice()),
            (2, b"s1".as_slice()),
            "cut at {cut}"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
    }
    let mut journal = Journal::open(folder.path()).unwrap().unwrap().journal;
    assert_eq!(journal.append(&numbered(3, 3), None, None, false).unwrap(), 3);
    assert_eq!(all(&journal, 1), numbered(1, 3));
}

#[test]
fn an_unfinished_start_is_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("next"), b"half").unwrap();
    assert!(Journal::open(folder.path()).unwrap().is_none());
}

#[test]
fn released_segments_go_and_later_ones_stay_readable() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), b"j".to_vec(), b"s".to_vec()).unwrap();
    let big = vec![vec![7u8; 1024 * 1024]; 3];
    for _ in 0..8 {
        journal.append(&big, None, None, false).unwrap();
    }
    let files = || segment_sequences(folder.path()).unwrap().len();
    let before = files();
    assert!(before > 2, "{before} segments");
    let progress = journal.progress();
    progress.release(20);
    assert!(files() < before);
    assert_eq!(all(&journal, 21).len(), 4);
    progress.release(24);
    assert_eq!(files(), 1);
    // The states are in every segment's head.
    let found = Journal::open(folder.path()).unwrap().unwrap();
    assert_eq!((found.job, found.stream, found.journal.last_record()), (b"j".to_vec(), b"s".to_vec(), 24));
}

#[test]
fn a_reader_follows_the_writer_across_segments() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), Vec::new()).unwrap();
    let mut reader = Reader::new(journal.progress());
    assert!(reader.read(1, 10).unwrap().is_empty());
    let mut next = 1;
    for _ in 0..30 {
        journal.append(&vec![vec![1u8; 700_000]; 2], None, None, false).unwrap();
        while let Some(count) = Some(reader.read(next, 1).unwrap().len()).filter(|count| *count > 0) {
            next += count as u64;
        }
        journal.progress().release(next.saturating_sub(3));
    }
    assert_eq!(next, 61);
    // A resend starts earlier than where the reader stands, as long as that is not released.
    assert_eq!(reader.read(59, 1).unwrap().len(), 1);
}

#[test]
fn a_group_that_could_not_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), b"s0".to_vec()).unwrap();
    journal.append(&numbered(1, 2), None, Some(b"s1".to_vec()), false).unwrap();
    let path = segment_path(folder.path(), 1);
    // As on a full disk: half of a group is there, then there is an error; and cutting it off does not work at once.
    let whole = format::encode_group(&numbered(3, 4), None, Some(b"s2")).unwrap();
    let disk = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[..whole.len() / 2]).unwrap();
    journal.append(&numbered(3, 4), None, Some(b"s2".to_vec()), false).unwrap_err();
    assert_eq!(journal.last_record(), 2);
    // There is room again.
    journal.file = disk;
    assert_eq!(journal.append(&numbered(3, 3), None, None, true).unwrap(), 3);
    assert_eq!(all(&journal, 1), numbered(1, 3));
    drop(journal);
    let found = Journal::open(folder.path()).unwrap().unwrap();
    assert_eq!((found.journal.last_record(), found.stream.as_slice()), (3, b"s1".as_slice()));
}

#[test]
fn a_segment_that_cannot_be_begun_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), Vec::new()).unwrap();
    let large = vec![vec![b'x'; 1 << 20]; 1 + (SEGMENT_BYTES >> 20) as usize];
    // A folder where the next segment's draft would be.
    std::fs::create_dir(folder.path().join("next")).unwrap();
    let count = large.len() as u64;
    assert_eq!(
        journal.append(&large, None, None, false).unwrap(),
        count,
        "it is there: it may not be told as failed"
    );
    std::fs::remove_dir(folder.path().join("next")).unwrap();
    assert_eq!(journal.append(&numbered(1, 1), None, None, false).unwrap(), count + 1);
    assert_eq!(all(&journal, 1).len() as u64, count + 1);
    assert_eq!(journal.sequence, 2, "the next segment was begun");
}
