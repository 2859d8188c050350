//! What holds for every journal engine, as one suite: an engine's tests call [`check`] with how to make a place for
//! an empty journal and how to open what is there.
//!
//! Each check panics with what it expected, as tests do.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use super::record::{GENESIS, RECORD_VERSION};
use super::{
    Address, Entry, Journal, JournalError, KEPT_SNAPSHOTS, LEADER_GRACE, LEADER_SILENT, Leader,
    MAX_PAYLOAD_BYTES, MAX_READ, MAX_READ_BYTES, PRUNE_BATCH, Snapshot, verify,
};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Makes a new empty place, and opens journals in it.
pub trait Factory {
    /// Where a journal lies.
    type Place;
    /// The engine.
    type Journal: Journal;
    /// A place with nothing in it.
    fn place(&mut self) -> Self::Place;
    /// Opens the journal there. Called again after the one opened before was dropped.
    fn open(&mut self, place: &Self::Place) -> Self::Journal;
}

/// Runs every check, each in a place of its own.
///
/// # Panics
/// When the engine breaks the contract.
pub fn check<F: Factory>(factory: &mut F) {
    records_come_back_in_order(factory);
    an_older_epoch_is_fenced(factory);
    a_refused_batch_leaves_nothing(factory);
    everything_survives_opening_again(factory);
    reading_is_bounded(factory);
    reading_is_bounded_by_bytes(factory);
    the_newest_snapshots_are_kept(factory);
    records_of_another_journal_are_taken_over(factory);
    pruning_keeps_what_a_start_needs(factory);
    pruning_is_bounded(factory);
}

/// Runs every check of an engine that several processes may open at the same time, each in a place of its own.
///
/// # Panics
/// When the engine breaks the contract.
pub fn check_shared<F: Factory>(factory: &mut F) {
    one_of_two_takes_over(factory);
    a_follower_reads_what_the_leader_appends(factory);
    a_follower_is_woken(factory);
    a_leader_that_is_gone_is_dead_after_the_grace(factory);
}

fn lead(journal: &mut dyn Journal) -> u64 {
    super::lead(journal, &Address::default()).unwrap()
}

fn entry(text: &str) -> Entry {
    Entry { time_ms: text.len() as u64, payload: text.as_bytes().to_vec() }
}

fn texts(journal: &mut dyn Journal, position: u64) -> Vec<String> {
    let records = journal.read(position).unwrap();
    records.into_iter().map(|record| String::from_utf8(record.payload).unwrap()).collect()
}

fn records_come_back_in_order<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    assert_eq!(journal.end(), 0);
    assert!(journal.read(0).unwrap().is_empty());
    let epoch = lead(&mut journal);
    assert_eq!(epoch, 1);
    assert_eq!(journal.append(epoch, &[]).unwrap(), 0);
    assert_eq!(journal.append(epoch, &[entry("a"), entry("bb")]).unwrap(), 2);
    assert_eq!(journal.append(epoch, &[entry("")]).unwrap(), 3);
    assert_eq!(journal.end(), 3);
    assert_eq!(texts(&mut journal, 0), ["a", "bb", ""]);
    assert_eq!(texts(&mut journal, 1), ["bb", ""]);
    assert!(texts(&mut journal, 3).is_empty());
    assert!(texts(&mut journal, 99).is_empty());

    let records = journal.read(0).unwrap();
    let mut previous = GENESIS;
    for (record, position) in records.iter().zip(1..) {
        assert_eq!((record.position, record.epoch, record.version), (position, epoch, RECORD_VERSION));
        assert_eq!(record.time_ms, record.payload.len() as u64);
        assert_eq!(record.previous, previous);
        record.check(position, &previous).unwrap();
        previous = record.hash();
    }
    assert_eq!(verify(&mut journal).unwrap(), 3);
}

fn an_older_epoch_is_fenced<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let first = lead(&mut journal);
    let second = lead(&mut journal);
    assert_eq!(second, first + 1);
    for epoch in [first, second + 1, 0] {
        let error = journal.append(epoch, &[entry("late")]).unwrap_err();
        assert!(
            matches!(error, JournalError::Fenced { ours, current } if (ours, current) == (epoch, second)),
            "{error}"
        );
    }
    assert_eq!(journal.append(second, &[entry("in time")]).unwrap(), 1);
    assert_eq!(texts(&mut journal, 0), ["in time"]);
}

fn a_refused_batch_leaves_nothing<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal);
    let huge = Entry { time_ms: 0, payload: vec![0; MAX_PAYLOAD_BYTES + 1] };
    let error = journal.append(epoch, &[entry("small"), huge]).unwrap_err();
    assert!(matches!(error, JournalError::TooLong { .. }), "{error}");
    assert_eq!(journal.end(), 0);
    assert!(journal.read(0).unwrap().is_empty());
    assert_eq!(journal.append(epoch, &[entry("next")]).unwrap(), 1);
    assert_eq!(verify(&mut journal).unwrap(), 1);
}

fn everything_survives_opening_again<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal);
    journal.append(epoch, &[entry("before")]).unwrap();
    journal.save_snapshot(&Snapshot::pack(1, 7, b"state").unwrap()).unwrap();
    drop(journal);

    let mut journal = factory.open(&place);
    assert_eq!(journal.end(), 1);
    let next = lead(&mut journal);
    assert_eq!(next, epoch + 1);
    journal.append(next, &[entry("after")]).unwrap();
    assert_eq!(texts(&mut journal, 0), ["before", "after"]);
    assert_eq!(verify(&mut journal).unwrap(), 2);
    let snapshots = journal.snapshots().unwrap();
    assert_eq!(snapshots, [Snapshot::pack(1, 7, b"state").unwrap()]);
}

fn reading_is_bounded<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal);
    let entries: Vec<Entry> = (0..=MAX_READ).map(|n| entry(&n.to_string())).collect();
    journal.append(epoch, &entries).unwrap();
    let first = journal.read(0).unwrap();
    assert_eq!(first.len(), MAX_READ);
    assert_eq!(journal.read(first.last().unwrap().position).unwrap().len(), 1);
    assert_eq!(verify(&mut journal).unwrap(), MAX_READ as u64 + 1);
}

fn the_newest_snapshots_are_kept<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    assert!(journal.snapshots().unwrap().is_empty());
    let epoch = lead(&mut journal);
    for position in 1..=5_u64 {
        journal.append(epoch, &[entry("x")]).unwrap();
        let state = vec![position as u8; 1_000];
        journal.save_snapshot(&Snapshot::pack(position, 1, &state).unwrap()).unwrap();
    }
    let positions: Vec<u64> = journal.snapshots().unwrap().iter().map(|snapshot| snapshot.position).collect();
    assert_eq!(positions, [5, 4]);
    assert_eq!(positions.len(), KEPT_SNAPSHOTS);
    assert!(
        journal.snapshots().unwrap().iter().all(|s| s.unpack().unwrap() == vec![s.position as u8; 1_000])
    );
}

fn records_of_another_journal_are_taken_over<F: Factory>(factory: &mut F) {
    let (one, other) = (factory.place(), factory.place());
    let mut from = factory.open(&one);
    let epoch = lead(&mut from);
    from.append(epoch, &[entry("a"), entry("bb"), entry("ccc")]).unwrap();
    let records = from.read(0).unwrap();
    let mut to = factory.open(&other);
    to.import(&records[..1], 0).unwrap();
    let error = to.import(&records[2..], 0).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "they do not follow: {error}");
    assert_eq!(to.end(), 1);
    to.import(&records[1..2], 0).unwrap();
    to.import(&records[2..], 0).unwrap();
    to.import(&[], 7).unwrap();
    assert_eq!(to.read(0).unwrap(), records);
    assert_eq!(verify(&mut to).unwrap(), 3);
    assert_eq!(to.leader().unwrap().epoch, 7);
    to.import(&[], 3).unwrap();
    assert_eq!(lead(&mut to), 8);
    assert_eq!(to.append(8, &[entry("next")]).unwrap(), 4);

    let pruned = factory.place();
    let mut pruned = factory.open(&pruned);
    pruned.import(&records[1..], 0).unwrap();
    assert_eq!(pruned.anchor(), records[0].mark(), "what was before is not there");
    assert_eq!(pruned.read(1).unwrap(), records[1..]);
    assert_eq!(verify(&mut pruned).unwrap(), 2);
}

fn address(name: &str) -> Address {
    Address { http: format!("http://{name}:8080"), grpc: format!("https://{name}:7443") }
}

fn one_of_two_takes_over<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let (mut a, mut b) = (factory.open(&place), factory.open(&place));
    assert_eq!(a.leader().unwrap(), Leader::default());
    assert_eq!(a.take_over(0, &address("a")).unwrap(), Some(1));
    assert_eq!(b.take_over(0, &address("b")).unwrap(), None, "somebody else was quicker");
    for journal in [&mut a, &mut b] {
        let leader = journal.leader().unwrap();
        assert_eq!(leader, Leader { epoch: 1, address: address("a"), alive: true });
    }
    a.append(1, &[entry("of a")]).unwrap();
    assert_eq!(b.take_over(1, &address("b")).unwrap(), Some(2));
    let error = a.append(1, &[entry("late")]).unwrap_err();
    assert!(matches!(error, JournalError::Fenced { ours: 1, current: 2 }), "{error}");
    let error = a.append(1, &[]).unwrap_err();
    assert!(matches!(error, JournalError::Fenced { .. }), "not even a renewal: {error}");
    b.append(2, &[entry("of b")]).unwrap();
    assert_eq!(texts(&mut a, 0), ["of a", "of b"]);
    assert_eq!(verify(&mut a).unwrap(), 2);
    assert_eq!(a.leader().unwrap().address, address("b"));
}

fn a_follower_reads_what_the_leader_appends<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let (mut leader, mut follower) = (factory.open(&place), factory.open(&place));
    let epoch = lead(&mut leader);
    leader.append(epoch, &[entry("one"), entry("two")]).unwrap();
    assert_eq!(texts(&mut follower, 0), ["one", "two"]);
    assert_eq!(follower.end(), 2);
    leader.append(epoch, &[entry("three")]).unwrap();
    assert_eq!(texts(&mut follower, 2), ["three"]);
    assert!(texts(&mut follower, 3).is_empty());
    leader.save_snapshot(&Snapshot::pack(3, 7, b"state").unwrap()).unwrap();
    assert_eq!(follower.snapshots().unwrap(), [Snapshot::pack(3, 7, b"state").unwrap()]);
}

fn a_follower_is_woken<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let (mut leader, mut follower) = (factory.open(&place), factory.open(&place));
    let epoch = lead(&mut leader);
    leader.append(epoch, &[entry("one")]).unwrap();
    // What is there already is not waited for; else only an append ends this wait before the test's own time limit.
    follower.wait(0, FOR_EVER).unwrap();
    let appended = std::thread::spawn(move || {
        leader.append(epoch, &[entry("two")]).unwrap();
        leader
    });
    while texts(&mut follower, 1).is_empty() {
        follower.wait(1, FOR_EVER).unwrap();
    }
    assert_eq!(texts(&mut follower, 1), ["two"]);
    drop(appended.join().unwrap());
    follower.wait(2, Duration::from_millis(1)).unwrap();
    assert!(texts(&mut follower, 2).is_empty());
}

fn a_leader_that_is_gone_is_dead_after_the_grace<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let (mut leader, mut follower) = (factory.open(&place), factory.open(&place));
    let epoch = lead(&mut leader);
    leader.append(epoch, &[]).unwrap();
    assert!(follower.leader().unwrap().alive);
    drop(leader);
    let began = Instant::now();
    while follower.leader().unwrap().alive {
        assert!(began.elapsed() < LEADER_SILENT * 10, "it never counts as dead");
        std::thread::sleep(LEADER_GRACE / 10);
    }
    assert_eq!(follower.take_over(epoch, &address("b")).unwrap(), Some(epoch + 1));
    assert!(follower.leader().unwrap().alive);
}

fn pruning_keeps_what_a_start_needs<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal);
    let at = |time_ms: u64| Entry { time_ms, payload: time_ms.to_string().into_bytes() };
    let entries: Vec<Entry> = (1..=20).map(at).collect();
    journal.append(epoch, &entries).unwrap();
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), 0, "without snapshots everything is needed");
    for position in [9, 15] {
        journal.save_snapshot(&Snapshot::pack(position, 1, b"state").unwrap()).unwrap();
    }
    assert_eq!(journal.prune(u64::MAX, 4).unwrap(), 3, "what is younger stays");
    assert_eq!(journal.prune(u64::MAX, 4).unwrap(), 0);
    assert_eq!(journal.anchor().position, 3);
    assert_eq!(journal.prune(6, u64::MAX).unwrap(), 2, "what is not before the position stays");
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), 4, "what comes after the older snapshot stays");
    drop(journal);

    let mut journal = factory.open(&place);
    let anchor = journal.anchor();
    assert_eq!((anchor.position, journal.end()), (9, 20));
    assert_eq!(verify(&mut journal).unwrap(), 11, "the chain begins at the anchor");
    assert_eq!(journal.hash(9).unwrap(), Some(anchor.hash));
    assert_eq!(journal.hash(8).unwrap(), None);
    assert_eq!(journal.hash(20).unwrap(), Some(journal.head().hash));
    assert_eq!(journal.hash(21).unwrap(), None);
    let error = journal.read(8).unwrap_err();
    assert!(matches!(error, JournalError::Pruned { position: 9 }), "{error}");
    let epoch = lead(&mut journal);
    assert_eq!(journal.append(epoch, &[at(21)]).unwrap(), 21);
    for position in [20, 21] {
        journal.save_snapshot(&Snapshot::pack(position, 1, b"state").unwrap()).unwrap();
    }
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), 11);
    journal.save_snapshot(&Snapshot::pack(22, 1, b"too early").unwrap()).unwrap();
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), 0, "the last record stays");
    assert_eq!(texts(&mut journal, 20), ["21"]);
}

fn pruning_is_bounded<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal);
    let records = PRUNE_BATCH as u64 + 10;
    let entries: Vec<Entry> = (1..=records).map(|n| entry(&n.to_string())).collect();
    journal.append(epoch, &entries).unwrap();
    for position in [records - 5, records] {
        journal.save_snapshot(&Snapshot::pack(position, 1, b"state").unwrap()).unwrap();
    }
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), PRUNE_BATCH as u64);
    assert_eq!(journal.prune(u64::MAX, u64::MAX).unwrap(), 5);
    assert_eq!(verify(&mut journal).unwrap(), 5);
}

fn reading_is_bounded_by_bytes<F: Factory>(factory: &mut F) {
    let place = factory.place();
    let mut journal = factory.open(&place);
    let epoch = lead(&mut journal);
    let large = Entry { time_ms: 1, payload: vec![7; MAX_READ_BYTES / 5] };
    for _ in 0..8 {
        journal.append(epoch, std::slice::from_ref(&large)).unwrap();
    }
    let first = journal.read(0).unwrap();
    let bytes: usize = first.iter().map(|record| record.payload.len()).sum();
    assert!((MAX_READ_BYTES..MAX_READ_BYTES + MAX_PAYLOAD_BYTES).contains(&bytes), "{bytes} bytes at once");
    assert_eq!(verify(&mut journal).unwrap(), 8);
}
