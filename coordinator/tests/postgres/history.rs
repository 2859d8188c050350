//! The projections on PostgreSQL: the suite of every engine, and what only a server can do.

use slipway_coordinator::history::conformance::{self, Factory};
use slipway_coordinator::history::postgres::PostgresTables;
use slipway_coordinator::history::{HistoryError, Tables};
use slipway_coordinator::journal::postgres::PostgresOptions;
use slipway_coordinator::journal::{Address, Journal as _, lead};
use slipway_coordinator::options::{JournalPlace, Options};
use slipway_coordinator::submit::NewRun;
use slipway_coordinator::trends::reports::{Series, latest, points};
use slipway_coordinator::trends::tests::{Order, Question, repositories, trends};
use slipway_coordinator::trends::usage::usage;
use slipway_coordinator::{Coordinator, Handle};
use slipway_proto::v1;
use slipway_proto::v1::test_case::Outcome;
use slipway_tests::postgres::PostgresServer;

use crate::fake_agent::{FIRST, FakeAgent, step};
use crate::support::open;

/// One server; each place is a database of its own.
struct Postgres {
    server: PostgresServer,
    places: u32,
}

impl Factory for Postgres {
    type Place = String;
    fn place(&mut self) -> String {
        self.places += 1;
        let name = format!("place_{}", self.places);
        self.server.sql("postgres", &format!("CREATE DATABASE {name} OWNER slipway"));
        self.server.url("sslmode=disable").replace("/slipway?", &format!("/{name}?"))
    }
    fn lead(&mut self, place: &String) -> u64 {
        lead(&mut open(place), &Address::default()).unwrap()
    }
    async fn open(&mut self, place: &String) -> Result<Box<dyn Tables>, HistoryError> {
        Ok(Box::new(PostgresTables::open(&PostgresOptions::parse(place).unwrap()).await?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    conformance::check(&mut Postgres { server: PostgresServer::start(), places: 0 }, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_appends_while_the_projections_are_in_the_middle_of_a_transaction() {
    let server = PostgresServer::start();
    let url = server.url("sslmode=disable");
    let mut journal = open(&url);
    let epoch = lead(&mut journal, &Address::default()).unwrap();
    let mut tables = PostgresTables::open(&PostgresOptions::parse(&url).unwrap()).await.unwrap();
    tables.claim(epoch).await.unwrap();
    // Somebody else holds the cursor's row: the projections wait for it, and the journal for nobody.
    let (mut blocker, connection) =
        tokio_postgres::connect(&url.replace("?sslmode=disable", ""), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let held = blocker.transaction().await.unwrap();
    held.execute("SELECT FROM slipway_history.projection FOR UPDATE", &[]).await.unwrap();
    let waiting = tokio::spawn(async move {
        let mark = slipway_coordinator::journal::Mark { position: 1, hash: [1; 32] };
        let to = slipway_coordinator::history::Cursor { mark, rebuild_to: 0 };
        tables.apply(epoch, slipway_coordinator::journal::Mark::BEGINNING, &[], to).await.map(|()| tables)
    });
    slipway_tests::wait_until("the projections wait", || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        (server.sql("postgres", query) == "1").then_some(())
    });
    for text in ["a", "b"] {
        journal.append(epoch, &[crate::support::entry(text)]).unwrap();
    }
    assert!(!waiting.is_finished());
    held.rollback().await.unwrap();
    let mut tables = waiting.await.unwrap().unwrap();
    let rows = tables.query("SELECT position FROM projection").await.unwrap();
    assert_eq!(rows, [[Some("1".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_read_reads_and_writes_nothing() {
    let server = PostgresServer::start();
    let url = server.url("sslmode=disable");
    let mut journal = open(&url);
    lead(&mut journal, &Address::default()).unwrap();
    PostgresTables::open(&PostgresOptions::parse(&url).unwrap()).await.unwrap();
    // As docs/POSTGRESQL.md has it.
    let text = include_str!("../../../docs/POSTGRESQL.md");
    let part = text.split("## A role that reads the history\n").nth(1).unwrap();
    let grants = part.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    server.sql("slipway", grants);
    let mut reports = tokio_postgres::Config::new();
    reports.host("127.0.0.1").port(server.port()).dbname("slipway").user("reports").password("…");
    let (reports, connection) = reports.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = reports.query_one("SELECT count(*) FROM runs_utc", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    for refused in
        ["DELETE FROM runs", "UPDATE projection SET position = 0", "SELECT epoch FROM slipway.leader"]
    {
        let error = reports.execute(refused, &[]).await.unwrap_err();
        let code = tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE;
        assert_eq!(error.code(), Some(&code), "{refused}");
    }
}

fn options(server: &PostgresServer, folder: &std::path::Path) -> Options {
    let journal = JournalPlace::parse(&server.url("")).unwrap();
    Options { journal, ..Options::embedded(folder) }
}

/// A run of one job, which an agent does; its only test ends so.
async fn one_run(coordinator: &Handle, outcome: v1::test_case::Outcome) {
    let new = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n"
            .to_owned(),
        event_name: "push".to_owned(),
        event: serde_json::json!({"ref": "refs/heads/main"}),
        repository: "example/repository".to_owned(),
        forge: "local".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: "0".repeat(40),
        ..NewRun::default()
    };
    coordinator.submit(new).await.unwrap();
    let mut agent = FakeAgent::connect(coordinator, FIRST).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    let mut records = step("True", &["a line"]);
    let case = v1::TestCase { name: "adds".to_owned(), outcome: outcome.into(), ..v1::TestCase::default() };
    let tests = Some(v1::TestReport { path: "a.xml".to_owned(), cases: vec![case] });
    let summary = v1::record::Record::Summary(v1::Summary { tests, ..Default::default() });
    records.push(v1::Record { time_ms: 1, step: 1, record: Some(summary) });
    agent.upload(&lease, 1, records).await;
    agent.report(&lease, v1::Result::Success, 4).await;
    agent.accepted().await;
}

/// Waits until the tables have so many runs that succeeded, each with its step.
async fn have(tables: &mut PostgresTables, runs: usize) {
    let query = "SELECT count(*) FROM runs r JOIN steps s ON s.run = r.run WHERE r.result = 'success'";
    for _ in 0..3_000 {
        // The leader makes them.
        if tables.query(query).await.is_ok_and(|rows| rows == [[Some(runs.to_string())]]) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("there were never {runs}: {:?}", tables.query("SELECT * FROM runs").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_goes_on_where_the_tables_are() {
    let server = PostgresServer::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Coordinator::start(options(&server, folders[0].path())).await.unwrap();
    one_run(&first, Outcome::Failed).await;
    let mut admin = PostgresTables::open(&PostgresOptions::parse(&server.url("")).unwrap()).await.unwrap();
    have(&mut admin, 1).await;
    assert!(!folders[0].path().join("history.db").exists());
    // It takes over from one that lives on for a moment.
    let second = Coordinator::start(options(&server, folders[1].path())).await.unwrap();
    one_run(&second, Outcome::Passed).await;
    have(&mut admin, 2).await;
    drop(first);

    // The connection breaks off: another one takes its place, and nothing is missing.
    server.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%slipway_history%' \
         AND pid <> pg_backend_pid()",
    );
    one_run(&second, Outcome::Passed).await;
    let mut admin = PostgresTables::open(&PostgresOptions::parse(&server.url("")).unwrap()).await.unwrap();
    have(&mut admin, 3).await;
    let text = include_str!("../../../docs/HISTORY.md");
    let queries = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut answered = 0;
    for query in queries.filter(|query| query.starts_with("SELECT")) {
        answered += usize::from(!admin.query(query).await.unwrap().is_empty());
    }
    assert!(answered >= 5, "only {answered} queries have an answer");

    // What pages and API ask is answered as by a file.
    let history = &second.services().history;
    for order in Order::ALL {
        let question = Question { order, limit: 10, ..Question::default() };
        let found = trends(history, &question).await.unwrap();
        let expected = usize::from(order != Order::Slow);
        assert_eq!(found.len(), expected, "{order:?}: no report says how long it took");
        for test in found {
            assert_eq!((test.name.as_str(), test.passed, test.failed, test.flaky_commits), ("adds", 2, 1, 1));
            assert!(test.last_failed_ms.is_some() && test.last_failed_run.is_some(), "{test:?}");
        }
    }
    let usage = usage(history, 0).await.unwrap();
    let runs: Vec<_> =
        usage.repositories.iter().map(|of| (of.repository.as_str(), of.runs, of.succeeded)).collect();
    assert_eq!(runs, [("example/repository", 3, 3)]);
    assert_eq!((usage.days.iter().map(|day| day.succeeded).sum::<u64>(), usage.waits[0].jobs), (3, 3));
    assert_eq!((usage.machines[0].attempts, usage.machines[0].arch.as_str()), (3, "X64"));
    assert_eq!(latest(history, 0).await.unwrap(), []);
    assert_eq!(points(history, &Series::default(), 0).await.unwrap(), []);
    assert_eq!(repositories(history, 0).await.unwrap(), ["example/repository"]);
    assert_eq!(repositories(history, u64::MAX).await.unwrap(), [""; 0]);
    second.shutdown().await;
}
