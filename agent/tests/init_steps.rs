//! Steps through a real init: what they put out and how they end arrives exactly.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod init_support;

use init_support::{Job, command, run, shell};
use slipway_agent::init::{ExitStatus, StepEnd};

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
