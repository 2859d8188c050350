#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use slipway_proto::v1::{LogLine, Record, record};
use slipway_scheduler::ids::{InstanceId, RunId};

use super::attempt::chunk_name;
use super::{AttemptKey, AttemptLog, CHUNK_BYTES, Reader, Records, RecordsError};

fn key(n: u128) -> AttemptKey {
    AttemptKey { run: RunId::from_u128(1), instance: InstanceId::from_u128(n), attempt: 1 }
}

fn line(text: impl Into<Vec<u8>>) -> Record {
    let line = LogLine { text: text.into().into(), ..LogLine::default() };
    Record { time_ms: 7, step: 1, record: Some(record::Record::Line(line)) }
}

fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    range.map(|n| line(format!("line {n}"))).collect()
}

async fn settled(log: &AttemptLog, durable: u64) {
    log.progress().wait_for(|progress| progress.durable >= durable).await.unwrap();
}

async fn read_all(log: &Arc<AttemptLog>, from: u64) -> Vec<Record> {
    let mut reader = Reader::new(Arc::clone(log), from);
    let mut all = Vec::new();
    loop {
        let records = reader.next().await.unwrap();
        if records.is_empty() {
            return all;
        }
        all.extend(records);
    }
}

#[tokio::test]
async fn repeats_count_once_and_gaps_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(folder.path()).unwrap());
    let log = records.attempt(key(1)).await.unwrap();
    assert_eq!(log.durable(), 0);
    log.append(1, lines(1..=3)).await.unwrap();
    log.append(2, lines(2..=5)).await.unwrap();
    log.append(1, lines(1..=5)).await.unwrap();
    log.append(6, Vec::new()).await.unwrap();
    settled(&log, 5).await;
    assert!(matches!(log.append(7, lines(7..=7)).await, Err(RecordsError::Gap { first: 7, next: 6 })));
    assert!(matches!(log.append(0, lines(1..=1)).await, Err(RecordsError::Zero)));
    log.append(6, lines(6..=6)).await.unwrap();
    settled(&log, 6).await;
    assert_eq!(read_all(&log, 0).await, lines(1..=6));
    assert_eq!(read_all(&log, 4).await, lines(4..=6));
    assert!(read_all(&log, 7).await.is_empty());
}

#[tokio::test]
async fn a_follower_gets_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(folder.path()).unwrap());
    let log = records.attempt(key(1)).await.unwrap();
    let mut reader = Reader::new(Arc::clone(&log), 1);
    let follower = tokio::spawn(async move {
        let mut all = Vec::new();
        while all.len() < 200 {
            assert!(reader.ready().await);
            all.extend(reader.next().await.unwrap());
        }
        all
    });
    for first in (1..=200).step_by(10) {
        log.append(first, lines(first..=first + 9)).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(follower.await.unwrap(), lines(1..=200));
}

#[tokio::test]
async fn long_streams_span_chunks_and_survive_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(folder.path()).unwrap());
    let log = records.attempt(key(1)).await.unwrap();
    let per_batch = 8_u64;
    let batches = 3 * CHUNK_BYTES / (per_batch * 256 * 1024) + 2;
    for batch in 0..batches {
        let some = (0..per_batch).map(|n| line(vec![(batch * per_batch + n) as u8; 256 * 1024]));
        log.append(batch * per_batch + 1, some.collect()).await.unwrap();
    }
    let total = batches * per_batch;
    settled(&log, total).await;
    drop(log);

    let records = Arc::new(Records::open(folder.path()).unwrap());
    let log = records.attempt(key(1)).await.unwrap();
    assert_eq!(log.durable(), total);
    assert!(std::fs::read_dir(log.folder()).unwrap().count() >= 3);
    for from in [1, total / 2, total] {
        let read = read_all(&log, from).await;
        assert_eq!(read.len() as u64, total - from + 1);
        for (record, number) in read.iter().zip(from..) {
            let Some(record::Record::Line(line)) = &record.record else { continue };
            assert!(line.text.iter().all(|byte| *byte == (number - 1) as u8), "record {number}");
        }
    }
}

/// Whatever a crash leaves of the last frames, what comes back is a prefix, and the stream goes on from there.
#[tokio::test]
async fn a_torn_tail_is_cut_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, ends) = {
        let records = Arc::new(Records::open(folder.path()).unwrap());
        let log = records.attempt(key(1)).await.unwrap();
        let path = log.folder().join(chunk_name(1));
        let mut ends = Vec::new();
        for first in [1, 3, 6] {
            log.append(first, lines(first..=first + 1 + first / 3)).await.unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len());
        }
        settled(&log, 9).await;
        (std::fs::read(&path).unwrap(), ends)
    };
    for length in 0..=whole.len() {
        let folder = tempfile::tempdir().unwrap();
        let records = Arc::new(Records::open(folder.path()).unwrap());
        let path = records.folder(key(1)).join(chunk_name(1));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &whole[..length]).unwrap();
        let log = records.attempt(key(1)).await.unwrap();
        let frames = ends.iter().filter(|end| **end <= length as u64).count();
        let durable = [0, 2, 5, 9][frames];
        assert_eq!(log.durable(), durable, "cut at {length}");
        assert_eq!(read_all(&log, 1).await, if durable == 0 { vec![] } else { lines(1..=durable) });
        log.append(durable + 1, lines(durable + 1..=durable + 2)).await.unwrap();
        settled(&log, durable + 2).await;
        assert_eq!(read_all(&log, 1).await, lines(1..=durable + 2));
    }
}

#[tokio::test]
async fn a_damaged_chunk_is_told_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(folder.path()).unwrap());
    let log = records.attempt(key(1)).await.unwrap();
    log.append(1, lines(1..=5)).await.unwrap();
    settled(&log, 5).await;
    let path = log.folder().join(chunk_name(1));
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Reader::new(log, 1).next().await.unwrap_err();
    assert!(matches!(error, RecordsError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn sizes_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(folder.path()).unwrap());
    let log = records.attempt(key(1)).await.unwrap();
    for too_much in [vec![line(vec![0; 2 << 20])], vec![line(vec![0; 900 << 10]); 5]] {
        let error = log.append(1, too_much).await.unwrap_err();
        assert!(matches!(error, RecordsError::TooLong { .. }), "{error}");
    }
    log.append(1, lines(1..=1)).await.unwrap();
    settled(&log, 1).await;
}

#[tokio::test]
async fn a_deleted_run_is_gone_and_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(folder.path()).unwrap());
    let other = AttemptKey { run: RunId::from_u128(2), ..key(1) };
    for key in [key(1), other] {
        let log = records.attempt(key).await.unwrap();
        log.append(1, lines(1..=2)).await.unwrap();
        settled(&log, 2).await;
    }
    records.delete_run(key(1).run).await.unwrap();
    records.delete_run(key(1).run).await.unwrap();
    assert_eq!(records.attempt(key(1)).await.unwrap().durable(), 0);
    assert_eq!(records.attempt(other).await.unwrap().durable(), 2);
    records.keep_only([other.run].into()).await.unwrap();
    assert_eq!(records.attempt(other).await.unwrap().durable(), 2);
    records.keep_only([key(1).run].into()).await.unwrap();
    assert!(!records.folder(other).exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any overlapping, repeated batches give each record once, in order.
    #[test]
    fn overlapping_uploads_make_one_stream(starts in proptest::collection::vec((0_u64..8, 1_u64..12), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let records = Arc::new(Records::open(folder.path()).unwrap());
            let log = records.attempt(key(1)).await.unwrap();
            let mut written = 0;
            for (back, count) in starts {
                let first = (written + 1_u64).saturating_sub(back).max(1);
                log.append(first, lines(first..=first + count - 1)).await.unwrap();
                written = written.max(first + count - 1);
            }
            settled(&log, written).await;
            prop_assert_eq!(read_all(&log, 1).await, lines(1..=written));
            Ok(())
        })?;
    }
}
