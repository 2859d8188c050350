#![allow(clippy::unwrap_used)]

use std::io::Write as _;

use bytes::Bytes;

use super::reader::{Batch, Reader};
use super::*;

fn numbered(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..=to).map(|number| format!("record {number}").into_bytes()).collect()
}

fn row(records: &[Vec<u8>]) -> Records {
    records.iter().cloned().map(Bytes::from).collect::<Vec<_>>().into()
}

/// A whole group with the state `s2`.
fn group(records: &[Vec<u8>]) -> Vec<u8> {
    let records = row(records);
    [&format::encode_group(&records, None, Some(b"s2")).unwrap()[..], records.bytes()].concat()
}

fn most(bytes: usize) -> Batch {
    Batch { count: 100, bytes }
}

fn all(journal: &Journal, from: u64) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(journal.progress());
    let mut records = Vec::new();
    loop {
        let more = reader.read(from + records.len() as u64, most(100)).unwrap();
        if more.is_empty() {
            return records;
        }
        records.extend(more.iter().map(<[u8]>::to_vec));
    }
}

#[test]
fn what_was_written_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), b"j0".to_vec(), b"s0".to_vec()).unwrap();
    assert_eq!(journal.append(&row(&numbered(1, 3)), None, Some(b"s1".to_vec()), false).unwrap(), 3);
    assert_eq!(journal.append(&row(&[]), Some(b"j1".to_vec()), None, true).unwrap(), 3);
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
    journal.append(&row(&numbered(1, 2)), None, Some(b"s1".to_vec()), false).unwrap();
    let whole = group(&numbered(3, 4));
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
    assert_eq!(journal.append(&row(&numbered(3, 3)), None, None, false).unwrap(), 3);
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
    let big = row(&vec![vec![7u8; 1024 * 1024]; 3]);
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
    assert!(reader.read(1, most(10)).unwrap().is_empty());
    let mut next = 1;
    for _ in 0..30 {
        journal.append(&row(&vec![vec![1u8; 700_000]; 2]), None, None, false).unwrap();
        while let Some(count) = Some(reader.read(next, most(1)).unwrap().count()).filter(|count| *count > 0) {
            next += count as u64;
        }
        journal.progress().release(next.saturating_sub(3));
    }
    assert_eq!(next, 61);
    // A resend starts earlier than where the reader stands, as long as that is not released.
    assert_eq!(reader.read(59, most(1)).unwrap().count(), 1);
}

#[test]
fn a_group_that_could_not_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), b"s0".to_vec()).unwrap();
    journal.append(&row(&numbered(1, 2)), None, Some(b"s1".to_vec()), false).unwrap();
    let path = segment_path(folder.path(), 1);
    // As on a full disk: half of a group is there, then there is an error; and cutting it off does not work at once.
    let whole = group(&numbered(3, 4));
    let disk = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[..whole.len() / 2]).unwrap();
    journal.append(&row(&numbered(3, 4)), None, Some(b"s2".to_vec()), false).unwrap_err();
    assert_eq!(journal.last_record(), 2);
    // There is room again.
    journal.file = disk;
    assert_eq!(journal.append(&row(&numbered(3, 3)), None, None, true).unwrap(), 3);
    assert_eq!(all(&journal, 1), numbered(1, 3));
    drop(journal);
    let found = Journal::open(folder.path()).unwrap().unwrap();
    assert_eq!((found.journal.last_record(), found.stream.as_slice()), (3, b"s1".as_slice()));
}

#[test]
fn a_segment_that_cannot_be_begun_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), Vec::new()).unwrap();
    let large = row(&vec![vec![b'x'; 1 << 20]; 1 + (SEGMENT_BYTES >> 20) as usize]);
    // A folder where the next segment's draft would be.
    std::fs::create_dir(folder.path().join("next")).unwrap();
    let count = large.count() as u64;
    assert_eq!(
        journal.append(&large, None, None, false).unwrap(),
        count,
        "it is there: it may not be told as failed"
    );
    std::fs::remove_dir(folder.path().join("next")).unwrap();
    assert_eq!(journal.append(&row(&numbered(1, 1)), None, None, false).unwrap(), count + 1);
    assert_eq!(all(&journal, 1).len() as u64, count + 1);
    assert_eq!(journal.sequence, 2, "the next segment was begun");
}

#[test]
fn a_journal_of_an_earlier_agent_is_read_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), b"j".to_vec(), b"s0".to_vec()).unwrap();
    // Each record with a u32 before it, as agents wrote that knew no other way.
    let records = numbered(1, 3);
    let mut payload = [0_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
    payload.extend(b"s1");
    payload.extend(3_u32.to_le_bytes());
    for record in &records {
        payload.extend((record.len() as u32).to_le_bytes());
        payload.extend(record);
    }
    let crc = crc32fast::hash(&payload).to_le_bytes();
    let group = [&(payload.len() as u32).to_le_bytes()[..], &crc[..], &payload[..]].concat();
    journal.file.write_all(&group).unwrap();
    drop(journal);
    let Recovered { mut journal, stream, .. } = Journal::open(folder.path()).unwrap().unwrap();
    assert_eq!((journal.last_record(), stream.as_slice()), (3, b"s1".as_slice()));
    journal.append(&row(&numbered(4, 6)), None, None, false).unwrap();
    assert_eq!(all(&journal, 1), numbered(1, 6));
    drop(journal);
    assert_eq!(all(&Journal::open(folder.path()).unwrap().unwrap().journal, 1), numbered(1, 6));
}

#[test]
fn what_is_in_memory_and_what_is_not_are_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), Vec::new(), Vec::new()).unwrap();
    let record = |number: usize| vec![number as u8; 1 + number * 37 % 90_000];
    let count = 400;
    for first in (0..count).step_by(4) {
        let group: Vec<_> = (first..first + 4).map(record).collect();
        journal.append(&row(&group), None, None, false).unwrap();
    }
    for (step, most_bytes) in [(1, 200_000), (97, 1), (211, 3_000_000), (399, 60_000)] {
        // It begins anywhere, as after a lost connection.
        let (mut reader, mut next) = (Reader::new(journal.progress()), step as u64);
        loop {
            let most = Batch { count: 7, bytes: most_bytes };
            let records = reader.read(next, most).unwrap();
            assert!(records.count() <= 1 || (records.count() <= 7 && records.bytes().len() <= most_bytes));
            for found in records.iter() {
                assert!(found == record(next as usize - 1), "record {next}");
                next += 1;
            }
            if records.is_empty() {
                break;
            }
        }
        assert_eq!(next, count as u64 + 1);
    }
}
