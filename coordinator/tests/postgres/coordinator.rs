//! A whole coordinator on PostgreSQL.

use std::path::Path;

use serde_json::json;
use slipway_coordinator::options::{JournalPlace, Options};
use slipway_coordinator::submit::NewRun;
use slipway_coordinator::{Coordinator, StartError};
use slipway_scheduler::state::Run;
use slipway_tests::postgres::PostgresServer;

fn options(server: &PostgresServer, folder: &Path) -> Options {
    let journal = JournalPlace::parse(&server.url("")).unwrap();
    Options { journal, ..Options::embedded(folder) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_outlive_the_machine_of_their_coordinator() {
    let server = PostgresServer::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Coordinator::start(options(&server, folders[0].path())).await.unwrap();
    let new = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: 'true'\n".to_owned(),
        event_name: "push".to_owned(),
        event: json!({"ref": "refs/heads/main"}),
        repository: "example/repository".to_owned(),
        forge: "local".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: "0".repeat(40),
        ..NewRun::default()
    };
    let run = first.submit(new).await.unwrap();
    first.shutdown().await;
    assert!(!folders[0].path().join("journal.db").exists());

    // Nothing of the first one's data directory is needed for what the journal holds.
    let second = Coordinator::start(options(&server, folders[1].path())).await.unwrap();
    let runs = second.services().driver.query(|view| view.state.runs().map(Run::id).collect::<Vec<_>>());
    assert_eq!(runs.await.unwrap(), [run]);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_without_its_server_says_so() {
    let mut server = PostgresServer::start();
    server.kill();
    let folder = tempfile::tempdir().unwrap();
    let error = Coordinator::start(options(&server, folder.path())).await.err().unwrap();
    assert!(matches!(error, StartError::Journal(_)), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{}: ", server.port())), "{error}");
}
