//! Steps through a real init: what they put out and how they end arrives exactly.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod init_support;

use init_support::{Job, Outcome, command, follow, next, run, shell};
use slipway_agent::init::{
    Body, ExitStatus, InitEvent, Rejection, RelayTarget, RunningStep, StepEnd, StepPhase, limits,
};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_step_runs_and_its_output_and_end_are_exact() {
    let job = Job::new();
    let connection = job.connect().await;
    assert_eq!((connection.ready.written_offset, connection.ready.highest_step), (0, 0));
    let mut reader = job.spool.reader(0);
    let outcome = run(&job, &connection.link, &mut reader, shell(1, "echo out; echo err >&2; exit 3")).await;
    assert!(outcome.started);
    assert_eq!(outcome.stdout, b"out\n");
    assert_eq!(outcome.stderr, b"err\n");
    let exit = outcome.exit.unwrap();
    assert_eq!((exit.status, exit.end), (ExitStatus::Code(3), StepEnd::Normal));
    assert!(exit.max_rss_bytes > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_for_a_client_starts_with_it_and_has_its_socket() {
    let job = Job::new();
    let connection = job.connect().await;
    let path = job.folder.path().join("asked.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let start = shell(1, "readlink /proc/$$/fd/3 | cut -d : -f 1; echo started");
    connection.link.start_asked(start.clone(), socket.try_clone().unwrap().into()).await.unwrap();
    connection.link.start_asked(start, socket.into()).await.unwrap();
    // Init has followed both when it has answered this, which it refuses.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    connection.link.relay(port, RelayTarget::Agent).await.unwrap_err();
    let mut reader = job.spool.reader(0);
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), reader.next_frame()).await;
    assert!(early.is_err(), "{early:?}");
    // The agent that ordered it need not be there.
    drop(connection);
    let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let _connection = job.connect().await;
    let outcome = follow(&job.spool, &mut reader, 1).await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), "socket\nstarted\n");
    drop(client);
    // With the step the last one who listened is gone.
    assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
}

#[tokio::test]
async fn environment_arguments_and_folder_are_exactly_those_ordered() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let mut start = command(1, &["/usr/bin/env"]);
    start.env = vec![b"A=1 2\n3".to_vec(), b"B=".to_vec(), b"C=\xff\xfe".to_vec()];
    let outcome = run(&job, &connection.link, &mut reader, start).await;
    assert_eq!(outcome.stdout, b"A=1 2\n3\nB=\nC=\xff\xfe\n");

    let mut start = shell(2, "pwd; printf '%s|' \"$@\"");
    start.argv.extend([b"sh".to_vec(), b"a b".to_vec(), b"*".to_vec(), b"".to_vec(), b"$HOME".to_vec()]);
    start.cwd = b"/usr/bin".to_vec();
    let outcome = run(&job, &connection.link, &mut reader, start).await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), "/usr/bin\na b|*||$HOME|");
}

#[tokio::test]
async fn every_byte_value_and_a_line_of_ten_megabytes_arrive_unchanged() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let script = "head -c 10000000 /dev/zero | tr '\\0' x; printf '\\000\\001\\377\\n\\r\\033'";
    let outcome = run(&job, &connection.link, &mut reader, shell(1, script)).await;
    let (line, rest) = outcome.stdout.split_at(10_000_000);
    assert!(line.iter().all(|byte| *byte == b'x'));
    assert_eq!(rest, [0, 1, 255, b'\n', b'\r', 27]);
}

#[tokio::test]
async fn a_hundred_thousand_lines_arrive_in_order() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let outcome = run(&job, &connection.link, &mut reader, shell(1, "seq 100000")).await;
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(outcome.stdout == expected.as_bytes());
}

#[tokio::test]
async fn a_background_child_neither_hangs_its_step_nor_writes_into_the_next() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    // The child talks on after its step has ended, and is told to stop by the next step.
    let script = "(trap 'echo bye; exit' TERM; while :; do echo noise; sleep 0.05; done) & echo $! >&2";
    let first = run(&job, &connection.link, &mut reader, shell(1, script)).await;
    assert_eq!(first.exit.unwrap().end, StepEnd::PipesOpen);
    assert!(first.stdout.starts_with(b"noise\n"));
    let pid = String::from_utf8(first.stderr).unwrap().trim().to_owned();

    let second =
        run(&job, &connection.link, &mut reader, shell(2, &format!("kill {pid} && echo killed"))).await;
    assert_eq!(second.stdout, b"killed\n");
    let discarded = next(&mut reader).await.unwrap();
    assert_eq!(discarded.frame.step, 1);
    assert!(matches!(discarded.frame.body, Body::Discarded { bytes } if bytes >= 4), "{discarded:?}");
}

#[tokio::test]
async fn what_a_child_writes_soon_after_the_main_process_belongs_to_the_step() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let outcome = run(&job, &connection.link, &mut reader, shell(1, "(sleep 0.2; echo late) & exit 0")).await;
    assert_eq!(outcome.stdout, b"late\n");
    assert_eq!(outcome.exit.unwrap().end, StepEnd::Normal);
}

#[tokio::test]
async fn a_program_or_folder_that_cannot_be_used_is_named() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let folder = job.folder.path().display().to_string();
    std::fs::write(job.folder.path().join("text"), "echo no interpreter named").unwrap();
    let mut no_folder = command(4, &["true"]);
    no_folder.cwd = b"/nowhere".to_vec();
    let cases = [
        (command(1, &["no-such-program"]), 2, "cannot run `no-such-program`: No such file"),
        (command(2, &["/etc"]), 13, "cannot run `/etc`: Permission denied"),
        (command(3, &[&format!("{folder}/text")]), 13, "Permission denied"),
        (no_folder, 2, "cannot enter the working directory `/nowhere`: No such file"),
    ];
    for (start, errno, text) in cases {
        let outcome = run(&job, &connection.link, &mut reader, start).await;
        let (found, message) = outcome.failure.unwrap();
        assert_eq!(found, errno, "{message}");
        assert!(message.contains(text), "{message}");
        assert!(!outcome.started);
    }
    // Runs no shell for a file that the kernel refuses.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(job.folder.path().join("text"), mode).unwrap();
    let outcome = run(&job, &connection.link, &mut reader, command(5, &[&format!("{folder}/text")])).await;
    assert_eq!(outcome.failure.unwrap().0, 8);
}

#[tokio::test]
async fn a_repeated_start_runs_nothing_and_announces_the_state() {
    let job = Job::new();
    let mut connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let marker = job.folder.path().join("marker");
    let start = shell(5, &format!("echo run >> {}; read x < /dev/null; sleep 0.3", marker.display()));
    connection.link.start(start.clone()).await.unwrap();
    connection.link.start(start.clone()).await.unwrap();
    let InitEvent::Step(state) = connection.events.next().await.unwrap() else { panic!("no state") };
    assert_eq!(state.step, 5);
    assert!(matches!(state.phase, StepPhase::Starting | StepPhase::Running), "{state:?}");
    follow(&job.spool, &mut reader, 5).await;
    connection.link.start(start).await.unwrap();
    let ended = RunningStep { step: 5, phase: StepPhase::Ended, pid: 0 };
    assert_eq!(connection.events.next().await.unwrap(), InitEvent::Step(ended));
    assert_eq!(std::fs::read_to_string(marker).unwrap(), "run\n");
}

#[tokio::test]
async fn a_step_inherits_nothing_of_init() {
    let job = Job::new();
    let connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let script = "readlink /proc/$$/fd/0; cat /proc/$$/oom_score_adj /proc/1/oom_score_adj; \
                  cut -d' ' -f5,6 /proc/$$/stat; echo $$";
    let outcome = run(&job, &connection.link, &mut reader, shell(1, script)).await;
    let text = String::from_utf8(outcome.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["/dev/null", "500", "0"], "{text}");
    assert_eq!(lines[3], format!("{0} {0}", lines[4]), "group and session of its own: {text}");
    // Without a shell, which has pipes open now and then. The fourth is the folder that `ls` reads.
    let outcome = run(&job, &connection.link, &mut reader, command(3, &["ls", "/proc/self/fd"])).await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), "0\n1\n2\n3\n");
    // Without a shell, which blocks signals now and then.
    let start = command(4, &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    let outcome = run(&job, &connection.link, &mut reader, start).await;
    let expected = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), expected);
}

#[tokio::test]
async fn steps_side_by_side_keep_their_output_apart() {
    let job = Job::new();
    let mut connection = job.connect().await;
    let mut reader = job.spool.reader(0);
    let many = u32::try_from(limits::RUNNING_STEPS_MAX).unwrap();
    for step in 1..=many {
        connection
            .link
            .start(shell(step, &format!("sleep 0.2; seq {step}000 {step}999; sleep 0.2")))
            .await
            .unwrap();
    }
    connection.link.start(shell(many + 1, "true")).await.unwrap();
    let rejected = InitEvent::Rejected { step: many + 1, reason: Rejection::TooManySteps };
    assert_eq!(connection.events.next().await.unwrap(), rejected);
    let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
    let mut ended = 0;
    while ended < many {
        let frame = next(&mut reader).await.unwrap();
        ended += u32::from(outcomes.entry(frame.frame.step).or_default().add(&frame));
    }
    for (step, outcome) in outcomes {
        let expected: String =
            (step * 1000..=step * 1000 + 999).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(outcome.stdout).unwrap(), expected);
    }
}
