//! How steps and the job are made to end: signals, the stop time, shutdown, and what init reaps.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod init_support;

use init_support::{Job, Outcome, boottime_ms, follow, next, run, shell};
use slipway_agent::init::{Body, ExitStatus, InitError, InitEvent, Rejection, StepEnd, limits};

const SIGINT: u8 = 2;
const SIGKILL: u8 = 9;

/// Reads frames until the step has put out `text`.
async fn wait_for(reader: &mut slipway_agent::init::SpoolReader, outcome: &mut Outcome, text: &[u8]) {
    while !outcome.stdout.windows(text.len()).any(|window| window == text) {
        let frame = next(reader).await.unwrap();
        assert!(!outcome.add(&frame), "ended too early: {outcome:?}");
    }
}

#[tokio::test]
async fn a_signal_reaches_the_whole_group_of_its_step_and_no_other() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    connection.link.start(shell(1, "sleep 300 & echo up; wait")).await.unwrap();
    let mut first = Outcome::default();
    wait_for(&mut reader, &mut first, b"up\n").await;
    connection
        .link
        .start(shell(2, "trap 'echo caught; exit 7' INT; echo ready; sleep 300 & wait"))
        .await
        .unwrap();
    let mut second = Outcome::default();
    wait_for(&mut reader, &mut second, b"ready\n").await;

    connection.link.signal(2, SIGINT).await.unwrap();
    // `sleep` in the background ignores SIGINT in a shell without job control; the pipe it holds is drained in time.
    loop {
        let frame = next(&mut reader).await.unwrap();
        assert_eq!(frame.frame.step, 2);
        if second.add(&frame) {
            break;
        }
    }
    assert_eq!(second.stdout, b"ready\ncaught\n");
    assert_eq!(second.exit.unwrap().status, ExitStatus::Code(7));

    connection.link.signal(1, SIGKILL).await.unwrap();
    let end = follow(&job.spool, &mut reader, 1).await;
    let exit = end.exit.unwrap();
    // Normal, not after a wait: the group's other member held the pipe and is gone too.
    assert_eq!((exit.status, exit.end), (ExitStatus::Signal(SIGKILL), StepEnd::Normal));
    // Signals for steps that are over or never were do nothing.
    connection.link.signal(1, SIGKILL).await.unwrap();
    connection.link.signal(99, SIGKILL).await.unwrap();
    assert!(run(&job, &connection.link, &mut reader, shell(3, "true")).await.exit.is_some());
}

#[tokio::test]
async fn at_the_stop_time_everything_is_killed_and_recorded_without_an_agent() {
    let mut job = Job::new();
    let connection = job.connect_until(Some(boottime_ms() + 3_600_000)).await;
    let mut reader = job.spool.reader(0);
    connection.link.start(shell(1, "trap '' TERM INT; setsid sleep 301 & echo up; sleep 300")).await.unwrap();
    let mut outcome = Outcome::default();
    wait_for(&mut reader, &mut outcome, b"up\n").await;
    // An earlier stop time replaces the later one; then the agent is gone.
    connection.link.stop_time(boottime_ms() + 300).await.unwrap();
    drop(connection);
    assert_eq!(job.wait().await.code(), Some(limits::exit_code::STOP_TIME));
    job.spool.finish();
    let end = follow(&job.spool, &mut reader, 1).await;
    let exit = end.exit.unwrap();
    assert_eq!((exit.status, exit.end), (ExitStatus::Signal(SIGKILL), StepEnd::StopTime));
    assert_eq!(next(&mut reader).await, None);
}

#[tokio::test]
async fn a_later_stop_time_replaces_an_earlier_one() {
    let job = Job::new();
    let connection = job.connect_until(Some(boottime_ms() + 400)).await;
    let mut reader = job.spool.reader(0);
    connection.link.stop_time(boottime_ms() + 3_600_000).await.unwrap();
    let outcome = run(&job, &connection.link, &mut reader, shell(1, "sleep 0.8; echo lived")).await;
    assert_eq!(outcome.stdout, b"lived\n");
}

#[tokio::test]
async fn shutdown_terminates_then_kills_and_takes_no_more_steps() {
    let mut job = Job::new();
    let mut connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let script = "trap 'echo term' TERM; echo up; while :; do sleep 0.05; done";
    connection.link.start(shell(1, script)).await.unwrap();
    let mut outcome = Outcome::default();
    wait_for(&mut reader, &mut outcome, b"up\n").await;
    connection.link.shutdown(600).await.unwrap();
    connection.link.start(shell(2, "true")).await.unwrap();
    let rejected = InitEvent::Rejected { step: 2, reason: Rejection::ShuttingDown };
    assert_eq!(connection.events.next().await.unwrap(), rejected);
    let end = follow(&job.spool, &mut reader, 1).await;
    assert_eq!(end.stdout, b"term\n");
    let exit = end.exit.unwrap();
    assert_eq!((exit.status, exit.end), (ExitStatus::Signal(SIGKILL), StepEnd::Shutdown));
    assert!(matches!(connection.events.next().await, Err(InitError::Closed)));
    assert_eq!(job.wait().await.code(), Some(limits::exit_code::SHUTDOWN));
}

#[tokio::test]
async fn sigterm_to_init_is_passed_on_and_an_orderly_step_ends_it_at_once() {
    let mut job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    connection.link.start(shell(1, "trap 'echo bye; exit 4' TERM; echo up; sleep 300 & wait")).await.unwrap();
    let mut outcome = Outcome::default();
    wait_for(&mut reader, &mut outcome, b"up\n").await;
    let pid = rustix::process::Pid::from_raw(job.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let end = follow(&job.spool, &mut reader, 1).await;
    assert_eq!(end.stdout, b"bye\n");
    let exit = end.exit.unwrap();
    assert_eq!((exit.status, exit.end), (ExitStatus::Code(4), StepEnd::Shutdown));
    assert_eq!(job.wait().await.code(), Some(limits::exit_code::TERMINATED));
}

#[tokio::test]
async fn orphans_are_reaped() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    // Each `sh` dies before its child, which init inherits.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sh -c '(sleep 0.1; exit 1) >/dev/null 2>&1 &'; done; sleep 0.5; \
                  cat /proc/[0-9]*/stat | grep -c ') Z'";
    let outcome = run(&job, &connection.link, &mut reader, shell(1, script)).await;
    assert_eq!(outcome.stdout, b"0\n");
}

#[tokio::test]
async fn cpu_time_and_memory_are_the_steps_own() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let script =
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; x=$(head -c 30000000 /dev/zero | tr '\\0' y)";
    let busy = run(&job, &connection.link, &mut reader, shell(1, script)).await.exit.unwrap();
    let idle = run(&job, &connection.link, &mut reader, shell(2, "true")).await.exit.unwrap();
    assert!(busy.user_us > idle.user_us, "{busy:?} {idle:?}");
    assert!(busy.max_rss_bytes > 30_000_000, "{busy:?}");
    assert!(idle.max_rss_bytes < 30_000_000, "{idle:?}");
}

#[tokio::test]
async fn when_init_is_killed_the_spool_still_ends_cleanly() {
    let mut job = Job::new();
    let mut connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    connection.link.start(shell(1, "while :; do echo line; done")).await.unwrap();
    let first = next(&mut reader).await.unwrap();
    assert!(matches!(first.frame.body, Body::Started { .. }));
    let pid = rustix::process::Pid::from_raw(job.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    job.wait().await;
    assert!(connection.events.next().await.is_err());
    job.spool.finish();
    let mut outcome = Outcome::default();
    while let Some(frame) = next(&mut reader).await {
        assert!(!outcome.add(&frame));
    }
    let whole_lines = outcome.stdout.len() / 5 * 5;
    assert!(outcome.stdout[..whole_lines].chunks(5).all(|line| line == b"line\n"));
}
