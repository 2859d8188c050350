//! Who leads, and that nobody else can append.

use std::sync::{Arc, Barrier};
use std::thread;

use slipway_coordinator::journal::{Address, Journal as _, JournalError, Leader, lead, verify};
use slipway_tests::postgres::{PostgresServer, signal};
use slipway_tests::wait_until;

use crate::support::{entry, leader, open, texts};

#[test]
fn one_of_eight_candidates_wins_each_epoch() {
    const CANDIDATES: usize = 8;
    const EPOCHS: u64 = 5;
    let server = PostgresServer::start();
    let barrier = Arc::new(Barrier::new(CANDIDATES));
    let candidates: Vec<_> = (0..CANDIDATES)
        .map(|number| {
            let (url, barrier) = (server.url(""), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                // All at once on an empty database: one makes the tables.
                let (mut journal, mut won) = (open(&url), Vec::new());
                for seen in 0..EPOCHS {
                    barrier.wait();
                    let address = Address { http: number.to_string(), grpc: String::new() };
                    if let Some(epoch) = journal.take_over(seen, &address).unwrap() {
                        assert_eq!(epoch, seen + 1);
                        journal.append(epoch, &[entry(number)]).unwrap();
                        won.push(epoch);
                    }
                    barrier.wait();
                }
                won
            })
        })
        .collect();
    let mut won: Vec<u64> = candidates.into_iter().flat_map(|candidate| candidate.join().unwrap()).collect();
    won.sort_unstable();
    assert_eq!(won, (1..=EPOCHS).collect::<Vec<_>>(), "each epoch once");
    let mut journal = open(&server.url(""));
    assert_eq!(verify(&mut journal).unwrap(), EPOCHS);
    let last = journal.read(EPOCHS - 1).unwrap().remove(0);
    assert_eq!(journal.leader().unwrap().address.http.as_bytes(), last.payload);
}

#[test]
fn a_leader_whose_backend_slept_through_a_take_over_is_fenced() {
    let server = PostgresServer::start();
    let (mut stale, epoch) = leader(&server.url("application_name=stale"));
    stale.append(epoch, &[entry("before")]).unwrap();
    let query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'stale'";
    let backend: u32 = server.sql("postgres", query).parse().unwrap();
    signal("-STOP", &[backend]);
    let appending = thread::spawn(move || (stale.append(epoch, &[entry("late")]), stale));
    let mut next = open(&server.url(""));
    // Its connection stands: it counts as alive until it was silent for long.
    assert!(next.leader().unwrap().alive);
    wait_until("the sleeper counts as dead", || (!next.leader().unwrap().alive).then_some(()));
    let new = next.take_over(epoch, &Address::default()).unwrap().unwrap();
    next.append(new, &[entry("of the new leader")]).unwrap();
    signal("-CONT", &[backend]);
    let (late, mut stale) = appending.join().unwrap();
    let late = late.unwrap_err();
    assert!(
        matches!(late, JournalError::Fenced { ours, current } if (ours, current) == (epoch, new)),
        "{late}"
    );
    assert!(
        matches!(stale.append(epoch, &[]).unwrap_err(), JournalError::Fenced { .. }),
        "not even a sign of life"
    );
    assert_eq!(texts(&mut next), ["before", "of the new leader"]);
    let Leader { epoch: current, alive, .. } = stale.leader().unwrap();
    assert_eq!((current, alive), (new, true));
}

#[test]
fn a_leader_whose_connection_is_cut_goes_on_with_its_lock() {
    let server = PostgresServer::start();
    let (mut journal, epoch) = leader(&server.url("application_name=leader"));
    let mut follower = open(&server.url(""));
    for n in 0..10 {
        let cut =
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'leader'";
        assert_eq!(server.sql("postgres", cut), "t");
        journal.append(epoch, &[entry(n)]).unwrap();
        assert!(follower.leader().unwrap().alive);
    }
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    assert_eq!(server.sql("slipway", held), "1");
    assert_eq!(texts(&mut follower), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_follower_that_waits_survives_a_cut_connection() {
    let server = PostgresServer::start();
    let (mut journal, epoch) = leader(&server.url(""));
    let mut follower = open(&server.url("application_name=follower"));
    let waiting = thread::spawn(move || {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            follower.wait(seen.len() as u64, std::time::Duration::from_secs(3_600)).unwrap();
            seen = texts(&mut follower);
        }
        seen
    });
    journal.append(epoch, &[entry("one")]).unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'follower'";
    assert_eq!(server.sql("postgres", cut), "1");
    journal.append(epoch, &[entry("two")]).unwrap();
    assert_eq!(waiting.join().unwrap(), ["one", "two"]);
}

#[test]
fn an_epoch_that_was_lost_and_came_again_is_not_this_leaders() {
    let server = PostgresServer::start();
    let (mut journal, epoch) = leader(&server.url(""));
    // As a fail-over does that lost the take-over alone, after which another coordinator takes the same epoch.
    server.sql("slipway", "UPDATE slipway.leader SET epoch = 0, claim = ''");
    let mut other = open(&server.url(""));
    assert_eq!(lead(&mut other, &Address::default()).unwrap(), epoch);
    let error = journal.append(epoch, &[entry("of a lost epoch")]).unwrap_err();
    assert!(matches!(error, JournalError::Lost { .. }), "{error}");
    other.append(epoch, &[entry("of the leader")]).unwrap();
    assert_eq!(texts(&mut other), ["of the leader"]);
}
