//! The spool: it pauses steps instead of losing output, gives space back, and passes from one agent to the next.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod init_support;

use init_support::{Job, Outcome, PATIENCE, follow, next, run, run_dir, shell};
use slipway_agent::init::{
    Body, InitError, JobSocket, Spool, SpoolCondition, SpoolError, SpoolReader, StepEnd, StepPhase, limits,
};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn numbers(count: u32) -> Vec<u8> {
    (1..=count).map(|number| format!("{number}\n")).collect::<String>().into_bytes()
}

#[tokio::test]
async fn a_full_spool_pauses_the_step_and_loses_nothing() {
    let capacity = limits::SPOOL_CAPACITY_MIN_BYTES;
    let job = Job::with_capacity(capacity);
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let mut condition = connection.link.spool_condition();
    connection.link.start(shell(1, "seq 200000; echo done >&2")).await.unwrap();
    let full = condition.wait_for(|condition| *condition == SpoolCondition::Full);
    tokio::time::timeout(PATIENCE, full).await.unwrap().unwrap();
    assert!(job.spool.written() <= capacity);
    // Nothing is released, so nothing moves, and init still follows orders.
    let written = job.spool.written();
    connection.link.signal(99, 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(job.spool.written(), written);

    let outcome = follow(&job.spool, &mut reader, 1).await;
    assert!(outcome.stdout == numbers(200_000));
    assert_eq!(outcome.stderr, b"done\n");
    assert_eq!(outcome.exit.unwrap().end, StepEnd::Normal);
    // The file's length is all that was ever written; the space it uses is not.
    let file = std::fs::metadata(job.folder.path().join("spool")).unwrap();
    assert!(file.len() > 1_000_000);
    assert!(file.blocks() * 512 < file.len() / 2, "{} of {} bytes used", file.blocks() * 512, file.len());
    assert_eq!(file.mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_step_that_ends_while_the_spool_is_full_is_recorded() {
    let job = Job::with_capacity(limits::SPOOL_CAPACITY_MIN_BYTES);
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    // Fits the pipe and one frame, so the process is gone long before anyone reads.
    connection.link.start(shell(1, "seq 12000")).await.unwrap();
    connection.link.start(shell(2, "true")).await.unwrap();
    let mut outcomes = [Outcome::default(), Outcome::default()];
    let mut ended = 0;
    while ended < 2 {
        let frame = next(&mut reader).await.unwrap();
        ended += u32::from(outcomes[frame.frame.step as usize - 1].add(&frame));
        job.spool.release(frame.end_offset).unwrap();
    }
    assert!(outcomes[0].stdout == numbers(12_000));
}

#[tokio::test]
async fn the_next_agent_goes_on_without_a_gap() {
    let Job { folder, spool, socket, init: _init, pid } = Job::new();
    let connection = socket.accept(pid, &spool, None).await.unwrap();
    let mut reader = spool.reader(0);
    // More than a pipe holds is written while no agent is there, so `done` shows that init has read and spooled.
    let script = "echo begin; read x < gate; seq 20000; : > done; read x < last; echo more; exit 5";
    // Two gates: the first may not have been closed yet when the step comes to the second.
    let gates = ["gate", "last"].map(|gate| folder.path().join(gate));
    let status = std::process::Command::new("mkfifo").args(&gates).status().unwrap();
    assert!(status.success());
    let mut start = shell(1, script);
    start.cwd = folder.path().to_str().unwrap().as_bytes().to_vec();
    connection.link.start(start.clone()).await.unwrap();
    let mut outcome = Outcome::default();
    let mut noted = 0;
    while outcome.stdout != b"begin\n" {
        let frame = next(&mut reader).await.unwrap();
        assert!(!outcome.add(&frame));
        noted = frame.end_offset;
    }
    // The agent dies: everything of it is gone but the note of where it was.
    drop((connection, reader, spool, socket));
    std::fs::write(&gates[0], "\n").unwrap();
    while !folder.path().join("done").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let socket = JobSocket::bind(&run_dir(&folder)).unwrap();
    let spool = Spool::open(&folder.path().join("spool"), noted, limits::SPOOL_CAPACITY_BYTES).unwrap();
    let accept = socket.accept(pid, &spool, None);
    let connection = tokio::time::timeout(PATIENCE, accept).await.unwrap().unwrap();
    assert_eq!(connection.ready.highest_step, 1);
    assert_eq!(connection.ready.running.len(), 1);
    assert_eq!(connection.ready.running[0].phase, StepPhase::Running);
    assert!(connection.ready.written_offset > noted);
    // Repeating the start is harmless.
    connection.link.start(start).await.unwrap();
    std::fs::write(&gates[1], "\n").unwrap();
    let mut reader = spool.reader(noted);
    loop {
        let frame = next(&mut reader).await.unwrap();
        if outcome.add(&frame) {
            break;
        }
    }
    assert!(outcome.stdout == [b"begin\n".to_vec(), numbers(20_000), b"more\n".to_vec()].concat());
}

#[tokio::test]
async fn a_file_system_that_refuses_pauses_the_step_and_is_reported() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let limit = |bytes: &str| {
        let status = std::process::Command::new("prlimit")
            .args(["--pid", &job.pid.to_string(), &format!("--fsize={bytes}:unlimited")])
            .status()
            .unwrap();
        assert!(status.success());
    };
    limit("100000");
    let mut condition = connection.link.spool_condition();
    connection.link.start(shell(1, "seq 100000")).await.unwrap();
    let refused = condition.wait_for(|condition| matches!(condition, SpoolCondition::Refused { .. }));
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap().clone();
    let SpoolCondition::Refused { errno: 27, message } = refused else { panic!("{refused:?}") };
    assert!(message.contains("File too large"), "{message}");
    limit("unlimited");
    let outcome = follow(&job.spool, &mut reader, 1).await;
    assert!(outcome.stdout == numbers(100_000));
}

#[tokio::test]
async fn only_the_containers_first_process_is_let_in() {
    let job = Job::new();
    let connection = job.connect().await;
    // Not init: this very process.
    let mut stranger = UnixStream::connect(job.socket.path()).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = tokio::task::spawn_blocking(move || std::io::Read::read(&mut stranger, &mut [0; 8]));
    tokio::select! {
        taken = job.socket.accept(job.pid, &job.spool, None) => panic!("let in: {taken:?}"),
        count = read => assert_eq!(count.unwrap().unwrap(), 0),
    }
    let mut reader = job.spool.reader(0);
    assert!(run(&job, &connection.link, &mut reader, shell(1, "true")).await.exit.is_some());
}

#[tokio::test]
async fn a_container_that_was_restarted_is_told_from_one_that_goes_on() {
    let job = Job::new();
    let spool_path = job.folder.path().join("other");
    std::fs::write(&spool_path, vec![0; 5000]).unwrap();
    let spool = Spool::open(&spool_path, 5000, limits::SPOOL_CAPACITY_BYTES).unwrap();
    let accept = job.socket.accept(job.pid, &spool, None);
    let result = tokio::time::timeout(PATIENCE, accept).await.unwrap();
    assert!(matches!(result, Err(InitError::Restarted { written: 0, known: 5000 })), "{result:?}");
}

#[tokio::test]
async fn damage_in_announced_frames_is_an_error_with_its_place() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    run(&job, &connection.link, &mut reader, shell(1, "echo hello")).await;
    let path = job.folder.path().join("spool");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[28 + 24] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut damaged: SpoolReader = job.spool.reader(0);
    let first = next(&mut damaged).await.unwrap();
    assert!(matches!(first.frame.body, Body::Started { .. }));
    for _ in 0..2 {
        let result = damaged.next_frame().await;
        assert!(matches!(result, Err(SpoolError::Corrupt { offset: 28, .. })), "{result:?}");
    }
}
