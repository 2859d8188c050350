//! Servers that die in the middle: what was acknowledged is there exactly once, or its loss is told.

use std::sync::mpsc;
use std::thread;

use slipway_coordinator::journal::postgres::PostgresJournal;
use slipway_coordinator::journal::{Address, Journal, JournalError, lead, verify};
use slipway_tests::postgres::PostgresServer;
use slipway_tests::wait_until;

use crate::support::{entry, leader, open, texts, wait_for_synchronous};

/// The URL of both servers, the first one first.
fn both(primary: &PostgresServer, stand_by: &PostgresServer) -> String {
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), stand_by.port());
    primary.url("").replace(&format!("127.0.0.1:{}", primary.port()), &hosts)
}

/// Appends numbers until it fails or is told to stop; how far each append was acknowledged.
fn append_until(
    mut journal: PostgresJournal,
    epoch: u64,
    stop: mpsc::Receiver<()>,
    progress: mpsc::Sender<u64>,
) -> thread::JoinHandle<(PostgresJournal, Result<u64, JournalError>)> {
    thread::spawn(move || {
        let mut acknowledged = journal.end();
        loop {
            let entries: Vec<_> = (1..=3).map(|n| entry(acknowledged + n)).collect();
            match journal.append(epoch, &entries) {
                Ok(end) => {
                    assert_eq!(end, acknowledged + 3);
                    acknowledged = end;
                    let _ = progress.send(end);
                }
                Err(error) => return (journal, Err(error)),
            }
            if stop.try_recv().is_ok() {
                return (journal, Ok(acknowledged));
            }
        }
    })
}

/// Waits until so many records are acknowledged since the call.
fn wait_for(progress: &mpsc::Receiver<u64>, more: u64) {
    let first = progress.iter().next().unwrap();
    let reached = progress.iter().find(|end| *end >= first + more);
    assert!(reached.is_some(), "the appends ended");
}

#[test]
fn a_server_that_crashes_and_comes_back_has_every_record_once() {
    let mut server = PostgresServer::start();
    let (journal, epoch) = leader(&server.url(""));
    let ((stop, stopped), (progress, reached)) = (mpsc::channel(), mpsc::channel());
    let appending = append_until(journal, epoch, stopped, progress);
    for _ in 0..5 {
        wait_for(&reached, 60);
        server.kill();
        server.resume();
    }
    wait_for(&reached, 30);
    stop.send(()).unwrap();
    let (mut journal, end) = appending.join().unwrap();
    let end = end.unwrap();
    assert_eq!(texts(&mut journal), (1..=end).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(verify(&mut journal).unwrap(), end);
    assert!(journal.leader().unwrap().alive, "its lock was taken again");
}

#[test]
fn a_synchronous_stand_by_has_every_acknowledged_record_once() {
    let mut primary = PostgresServer::start();
    let stand_by = primary.stand_by("second");
    primary.set("synchronous_standby_names", "second");
    wait_for_synchronous(&primary);
    let url = both(&primary, &stand_by);
    let (journal, epoch) = leader(&url);
    let mut follower = open(&url);
    let ((stop, stopped), (progress, reached)) = (mpsc::channel(), mpsc::channel());
    let appending = append_until(journal, epoch, stopped, progress);
    wait_for(&reached, 150);
    let seen = follower.read(0).unwrap().len() as u64;
    assert!(seen >= 150);
    primary.kill();
    stand_by.promote();
    wait_for(&reached, 150);
    stop.send(()).unwrap();
    let (mut journal, end) = appending.join().unwrap();
    let end = end.unwrap();
    let expected: Vec<_> = (1..=end).map(|n| n.to_string()).collect();
    assert_eq!(texts(&mut journal), expected);
    assert_eq!(texts(&mut follower), expected, "the follower goes on where the new primary is");
    assert_eq!(verify(&mut follower).unwrap(), end);
    let leader = follower.leader().unwrap();
    assert!(leader.alive && leader.epoch == epoch, "no other epoch was needed: {leader:?}");
}

#[test]
fn a_stand_by_that_was_behind_shows_as_lost() {
    let mut primary = PostgresServer::start();
    let mut stand_by = primary.stand_by("second");
    let url = both(&primary, &stand_by);
    let (mut journal, epoch) = leader(&url);
    journal.append(epoch, &[entry("both have it")]).unwrap();
    let (mut follower, mut idle) = (open(&url), open(&url));
    wait_until("the stand-by has it", || {
        (stand_by.sql("slipway", "SELECT count(*) FROM slipway.record") == "1").then_some(())
    });
    stand_by.kill();
    for n in 0..3 {
        journal.append(epoch, &[entry(n)]).unwrap();
    }
    assert_eq!(texts(&mut follower).len(), 4);
    primary.kill();
    stand_by.resume();
    stand_by.promote();
    let lost = |error: JournalError| {
        assert!(matches!(error, JournalError::Lost { known: 4, found: 1, .. }), "{error}");
        assert!(error.to_string().contains("accept-loss"), "{error}");
    };
    lost(journal.append(epoch, &[entry("after")]).unwrap_err());
    lost(journal.append(epoch, &[]).unwrap_err());
    lost(follower.read(4).unwrap_err());
    // One that did not see what is lost leads on; then the journal is long again, and is another one.
    let next = lead(&mut idle, &Address::default()).unwrap();
    for n in 10..20 {
        idle.append(next, &[entry(n)]).unwrap();
    }
    let different = |error: JournalError| {
        assert!(matches!(error, JournalError::Lost { known: 4, found: 11, .. }), "{error}");
    };
    different(follower.read(4).unwrap_err());
    different(follower.read(0).unwrap_err());
    different(journal.append(epoch, &[entry("after")]).unwrap_err());
    assert_eq!(verify(&mut idle).unwrap(), 11);
}

#[test]
fn a_commit_that_stops_waiting_for_its_stand_by_is_not_acknowledged() {
    let primary = PostgresServer::start();
    let stand_by = primary.stand_by("second");
    primary.set("synchronous_standby_names", "second");
    wait_for_synchronous(&primary);
    let (mut journal, epoch) = leader(&primary.url(""));
    journal.append(epoch, &[entry("one")]).unwrap();
    // The stand-by hangs; then the wait is cancelled, with which the server says that all is well.
    let hung = stand_by.processes();
    slipway_tests::postgres::signal("-STOP", &hung);
    let (done, acknowledged) = mpsc::channel();
    let appending = thread::spawn(move || {
        let end = journal.append(epoch, &[entry("two")]);
        let _ = done.send(());
        (journal, end)
    });
    let waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'slipway' AND wait_event = 'SyncRep'";
    for _ in 0..3 {
        let pid = wait_until("it waits for the stand-by", || {
            let pid = primary.sql("postgres", waiting);
            (!pid.is_empty()).then_some(pid)
        });
        primary.sql("postgres", &format!("SELECT pg_cancel_backend({pid})"));
    }
    // It waits again, by itself.
    wait_until("it waits for the stand-by", || (!primary.sql("postgres", waiting).is_empty()).then_some(()));
    assert!(acknowledged.try_recv().is_err(), "acknowledged without its stand-by");
    slipway_tests::postgres::signal("-CONT", &hung);
    let (mut journal, end) = appending.join().unwrap();
    assert_eq!(end.unwrap(), 2);
    assert_eq!(texts(&mut journal), ["one", "two"], "once");
}
