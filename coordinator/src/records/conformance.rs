//! What holds for every engine, as one suite: an engine's tests call [`check`] with how to reach a place by its name. The same
//! name is the same place, as a process that starts again finds it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use slipway_cas::Digest;
use slipway_proto::v1::{LogLine, Record, record};
use slipway_scheduler::{InstanceId, RunId};
use slipway_wire::record_digest::RecordDigest;

use super::engine::{Engine, PartName};
use super::limits::SEALED_FRAME_BYTES;
use super::seal::{Step, seal_until};
use super::{AttemptKey, AttemptLog, Ended, Reader, Records, RecordsError};

pub(super) fn key(n: u128) -> AttemptKey {
    AttemptKey { run: RunId::from_u128(1), instance: InstanceId::from_u128(n), attempt: 1 }
}

pub(super) fn line(text: impl Into<Vec<u8>>) -> Record {
    let line = LogLine { text: text.into().into(), ..LogLine::default() };
    Record { time_ms: 7, step: 1, record: Some(record::Record::Line(line)) }
}

pub(super) fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    range.map(|n| line(format!("line {n}"))).collect()
}

pub(super) fn raw(records: &[Record]) -> Vec<Bytes> {
    records.iter().map(|record| record.encode_to_vec().into()).collect()
}

pub(super) fn digest_of(records: &[Record]) -> Digest {
    let mut digest = RecordDigest::new();
    raw(records).iter().for_each(|record| digest.push(record));
    digest.digest()
}

pub(super) async fn settled(log: &AttemptLog, durable: u64) {
    log.flush();
    let mut progress = log.progress();
    let reached = progress.wait_for(|progress| progress.durable >= durable || progress.broken).await;
    assert!(!reached.unwrap().broken);
}

pub(super) async fn read_on(reader: &mut Reader) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let records = reader.next().await.unwrap();
        if records.is_empty() {
            return all;
        }
        all.extend(records);
    }
}

pub(super) async fn read_all(records: &Records, key: AttemptKey, from: u64) -> Vec<Record> {
    read_on(&mut records.reader(key, from, true).await.unwrap()).await
}

async fn filled(records: &Records, key: AttemptKey, last: u64) -> AttemptLog {
    let log = records.attempt(key).await.unwrap();
    for first in (1..=last).step_by(100) {
        log.append(first, raw(&lines(first..=last.min(first + 99)))).await.unwrap();
    }
    settled(&log, last).await;
    log
}

/// Runs every check, each on a place of its own.
pub(super) async fn check(place: impl Fn(&str) -> Arc<dyn Engine>) {
    let records = |name: &str| Records::new(place(name));
    repeats_count_once_and_gaps_are_refused(&records("repeats")).await;
    followers_see_what_came_and_what_comes(&records("follow")).await;
    long_streams_survive_opening_again(&|| records("long")).await;
    another_process_reads_what_is_stored(&records("writer"), &records("writer")).await;
    sizes_are_limited(&records("sizes")).await;
    sealing_may_be_cut_off_anywhere(&|| place("sealing")).await;
    a_sealed_log_is_read_from_anywhere(&records("sealed")).await;
    what_differs_from_its_report_is_not_sealed(&records("differs")).await;
    runs_go_and_others_stay(&records("runs")).await;
    a_chunk_that_is_gone_is_told(&|| place("gone")).await;
}

async fn repeats_count_once_and_gaps_are_refused(records: &Records) {
    let log = records.attempt(key(1)).await.unwrap();
    assert_eq!(log.durable(), 0);
    log.append(1, raw(&lines(1..=3))).await.unwrap();
    log.append(2, raw(&lines(2..=5))).await.unwrap();
    log.append(1, raw(&lines(1..=5))).await.unwrap();
    log.append(6, Vec::new()).await.unwrap();
    settled(&log, 5).await;
    let gap = log.append(7, raw(&lines(7..=7))).await;
    assert!(matches!(gap, Err(RecordsError::Gap { first: 7, next: 6 })));
    assert!(matches!(log.append(0, raw(&lines(1..=1))).await, Err(RecordsError::Zero)));
    log.append(6, raw(&lines(6..=6))).await.unwrap();
    settled(&log, 6).await;
    assert_eq!(log.digest(), Some(digest_of(&lines(1..=6))));
    for from in [0, 1, 4, 6, 7] {
        assert_eq!(read_all(records, key(1), from).await, lines(from.max(1)..=6));
    }
}

async fn followers_see_what_came_and_what_comes(records: &Records) {
    let log = records.attempt(key(1)).await.unwrap();
    log.append(1, raw(&lines(1..=7))).await.unwrap();
    // Durable or not: it is seen.
    assert_eq!(read_on(&mut Reader::new(log.clone(), 3)).await, lines(3..=7));
    let mut readers = tokio::task::JoinSet::new();
    for from in [1, 5, 120] {
        let mut reader = Reader::new(log.clone(), from);
        readers.spawn(async move {
            let mut all = Vec::new();
            while reader.position() <= 200 {
                assert!(reader.ready().await);
                all.extend(reader.next().await.unwrap());
            }
            assert_eq!(all, lines(from..=200));
        });
    }
    for first in (8..=200).step_by(10) {
        log.append(first, raw(&lines(first..=(first + 9).min(200)))).await.unwrap();
        tokio::task::yield_now().await;
        if first % 30 == 8 {
            log.flush();
        }
    }
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
    settled(&log, 200).await;
}

async fn long_streams_survive_opening_again(records: &impl Fn() -> Records) {
    let store = records();
    let log = store.attempt(key(1)).await.unwrap();
    let (batches, per_batch) = (14_u64, 8_u64);
    let text = |number: u64| vec![number as u8; 256 * 1024];
    for batch in 0..batches {
        let first = batch * per_batch + 1;
        let some: Vec<_> = (first..first + per_batch).map(|n| line(text(n))).collect();
        log.append(first, raw(&some)).await.unwrap();
    }
    let total = batches * per_batch;
    settled(&log, total).await;
    let digest = log.digest().unwrap();
    drop((log, store));

    let store = records();
    let log = store.attempt(key(1)).await.unwrap();
    assert_eq!((log.durable(), log.digest()), (total, None));
    assert_eq!(store.digest(&log).await.unwrap(), digest, "counted again from storage");
    assert!(store.engine.parts(key(1)).await.unwrap().len() >= 3);
    for from in [1, total / 2, total] {
        let read = read_on(&mut Reader::new(log.clone(), from)).await;
        assert_eq!(read.len() as u64, total - from + 1);
        for (record, number) in read.iter().zip(from..) {
            assert_eq!(*record, line(text(number)), "record {number}");
        }
    }
    log.append(total + 1, raw(&lines(1..=1))).await.unwrap();
    settled(&log, total + 1).await;
    assert_eq!(read_all(&store, key(1), total + 1).await, lines(1..=1));
}

async fn another_process_reads_what_is_stored(writer: &Records, other: &Records) {
    let mut reader = other.stored(key(1), 2).await.unwrap();
    assert!(read_on(&mut reader).await.is_empty());
    let log = writer.attempt(key(1)).await.unwrap();
    for (first, last) in [(1, 4), (5, 5), (6, 90)] {
        log.append(first, raw(&lines(first..=last))).await.unwrap();
        settled(&log, last).await;
        assert_eq!(read_on(&mut reader).await, lines(first.max(2)..=last));
    }
    writer.seal(key(1), Ended { reported: Some((90, log.digest())) }).await.unwrap();
    assert!(read_on(&mut reader).await.is_empty());
    assert_eq!(read_all(other, key(1), 80).await, lines(80..=90));
}

async fn sizes_are_limited(records: &Records) {
    let log = records.attempt(key(1)).await.unwrap();
    for too_much in [vec![line(vec![0; 2 << 20])], vec![line(vec![0; 900 << 10]); 5]] {
        let error = log.append(1, raw(&too_much)).await.unwrap_err();
        assert!(matches!(error, RecordsError::TooLong { .. }), "{error}");
    }
    log.append(1, raw(&lines(1..=1))).await.unwrap();
    settled(&log, 1).await;
}

async fn sealing_may_be_cut_off_anywhere(engine: &impl Fn() -> Arc<dyn Engine>) {
    let long = line(vec![b'x'; SEALED_FRAME_BYTES / 3]);
    let all: Vec<_> = lines(1..=5).into_iter().chain(vec![long; 7]).chain(lines(13..=400)).collect();
    let reported = Ended { reported: Some((400, Some(digest_of(&all)))) };
    for (number, cut) in [Step::Written, Step::Finished, Step::Removed].into_iter().enumerate() {
        let attempt = key(10 + number as u128);
        let records = Records::new(engine());
        let log = records.attempt(attempt).await.unwrap();
        for (batch, first) in all.chunks(3).zip((1..).step_by(3)) {
            log.append(first, raw(batch)).await.unwrap();
        }
        settled(&log, 400).await;
        drop((log, records));

        let place = engine();
        seal_until(&place, attempt, reported, |step| step != cut).await.unwrap();
        // Whoever comes after the crash sees all of it, and finishes.
        let records = Records::new(engine());
        let parts = place.parts(attempt).await.unwrap();
        let sealed = parts.iter().any(|part| part.name == PartName::Sealed);
        assert_eq!(sealed, cut != Step::Written, "{cut:?}");
        assert_eq!(read_all(&records, attempt, 1).await, all, "{cut:?}");
        assert_eq!(records.verify(attempt, Some(reported)).await.unwrap().problem, None);
        for _ in 0..2 {
            records.seal(attempt, reported).await.unwrap();
        }
        let parts = place.parts(attempt).await.unwrap();
        assert_eq!(parts.iter().map(|part| part.name).collect::<Vec<_>>(), [PartName::Sealed]);
        assert_eq!(read_all(&records, attempt, 1).await, all);
        let verdict = records.verify(attempt, Some(reported)).await.unwrap();
        assert!(verdict.sealed && verdict.problem.is_none() && verdict.records == 400, "{verdict:?}");
    }
}

async fn a_sealed_log_is_read_from_anywhere(records: &Records) {
    let log = filled(records, key(1), 1_000).await;
    let mut before = Reader::new(log.clone(), 1);
    let first = before.next().await.unwrap();
    let reported = Ended { reported: Some((1_000, Some(digest_of(&lines(1..=1_000))))) };
    records.seal(key(1), reported).await.unwrap();
    // A reader that was in the middle goes on.
    let mut rest = first;
    rest.extend(read_on(&mut before).await);
    assert_eq!(rest, lines(1..=1_000));
    for from in [1, 2, 500, 999, 1_000, 1_001] {
        assert_eq!(read_all(records, key(1), from).await, lines(from..=1_000));
    }
    let late = log.append(1_001, raw(&lines(1_001..=1_001))).await;
    assert!(matches!(late, Err(RecordsError::Closed)), "{late:?}");
    drop((log, before));
    let again = records.attempt(key(1)).await.unwrap();
    assert_eq!(again.durable(), 1_000);
    let late = again.append(1_001, raw(&lines(1_001..=1_001))).await;
    assert!(matches!(late, Err(RecordsError::Closed)), "{late:?}");
    assert_eq!(records.digest(&again).await.unwrap(), digest_of(&lines(1..=1_000)));
}

async fn what_differs_from_its_report_is_not_sealed(records: &Records) {
    let digest = digest_of(&lines(1..=50));
    drop(filled(records, key(1), 50).await);
    for (count, digest) in [(51, None), (49, Some(digest)), (50, Some(digest_of(&lines(2..=51))))] {
        let wrong = Ended { reported: Some((count, digest)) };
        let error = records.seal(key(1), wrong).await.unwrap_err();
        assert!(matches!(error, RecordsError::Differs { found: 50, .. }), "{error}");
        let problem = records.verify(key(1), Some(wrong)).await.unwrap().problem.unwrap();
        assert!(problem.contains("50 records"), "{problem}");
    }
    assert_eq!(read_all(records, key(1), 1).await, lines(1..=50), "nothing was taken away");
    records.seal(key(1), Ended { reported: Some((50, Some(digest))) }).await.unwrap();
    // One of which nobody said anything is sealed as it is; one without records is nothing.
    drop(filled(records, key(2), 7).await);
    records.seal(key(2), Ended::default()).await.unwrap();
    assert_eq!(read_all(records, key(2), 1).await, lines(1..=7));
    records.seal(key(3), Ended { reported: Some((0, Some(Digest::of(b"")))) }).await.unwrap();
    let lost = records.seal(key(4), Ended { reported: Some((3, None)) }).await;
    assert!(matches!(lost, Err(RecordsError::Differs { found: 0, .. })), "{lost:?}");
}

async fn runs_go_and_others_stay(records: &Records) {
    let (one, other) = (key(1), AttemptKey { run: RunId::from_u128(2), ..key(1) });
    for key in [one, other] {
        drop(filled(records, key, 2).await);
    }
    records.seal(other, Ended::default()).await.unwrap();
    let found = records.survey().await.unwrap();
    let presence = |run| found.get(&run).unwrap().attempts.values().copied().collect::<Vec<_>>();
    assert!(presence(one.run).iter().all(|found| found.chunks && !found.sealed));
    assert!(presence(other.run).iter().all(|found| !found.chunks && found.sealed));

    for _ in 0..2 {
        records.remove_logs(one.run).await.unwrap();
        let error = records.reader(one, 1, true).await.unwrap_err();
        assert!(matches!(error, RecordsError::Removed { run } if run == one.run), "{error}");
        assert!(matches!(records.verify(one, None).await, Err(RecordsError::Removed { .. })));
    }
    let found = records.survey().await.unwrap();
    assert!(found[&one.run].removed && found[&one.run].attempts.is_empty());
    assert_eq!(read_all(records, other, 1).await, lines(1..=2));
    for _ in 0..2 {
        records.delete_run(one.run).await.unwrap();
    }
    assert_eq!(records.survey().await.unwrap().into_keys().collect::<Vec<_>>(), [other.run]);
    assert!(read_all(records, one, 1).await.is_empty());
}

async fn a_chunk_that_is_gone_is_told(engine: &impl Fn() -> Arc<dyn Engine>) {
    // Two chunks: the first of a process that wrote one and the rest of one that found only that.
    let records = Records::new(engine());
    let log = records.attempt(key(1)).await.unwrap();
    let some = |first: u64| (first..first + 3).map(|_| line(vec![1; 900 << 10])).collect::<Vec<_>>();
    for first in (1..=13).step_by(3) {
        log.append(first, raw(&some(first))).await.unwrap();
        settled(&log, first + 2).await;
    }
    drop(log);
    let place = engine();
    let chunks = place.parts(key(1)).await.unwrap();
    assert!(chunks.len() >= 2, "{chunks:?}");
    // An empty place has no record 1.
    let mut reader = records.stored(key(1), 1).await.unwrap();
    assert_eq!(read_on(&mut reader).await.len(), 15);
    place.remove_chunks(key(1)).await.unwrap();
    let log = records.attempt(key(1)).await.unwrap();
    assert_eq!(log.durable(), 0);
    let problem = records.verify(key(1), Some(Ended { reported: Some((15, None)) })).await.unwrap().problem;
    assert!(problem.unwrap().contains("0 records"));
}
