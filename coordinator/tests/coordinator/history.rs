//! The projections of a real coordinator, read as an admin reads them: by another connection, while it works.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use slipway_coordinator::backup;
use slipway_coordinator::options::Options;
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, SECOND, step};
use crate::fixture::{Fixture, ONE_JOB};

/// The first row of a query, columns as text.
fn ask(data_dir: &Path, sql: &str) -> Option<Vec<Option<String>>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let history = Connection::open_with_flags(data_dir.join("history.db"), flags).ok()?;
    history.busy_timeout(Duration::from_secs(5)).unwrap();
    let mut statement = history.prepare(sql).ok()?;
    let columns = statement.column_count();
    let text = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Null => None,
        rusqlite::types::Value::Integer(number) => Some(number.to_string()),
        rusqlite::types::Value::Real(number) => Some(number.to_string()),
        rusqlite::types::Value::Text(text) => Some(text),
        rusqlite::types::Value::Blob(_) => panic!("there are no such columns"),
    };
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| Ok(text(row.get(at)?))).collect();
    statement.query_map([], row).unwrap().next().map(Result::unwrap)
}

fn data_dir(fixture: &Fixture) -> std::path::PathBuf {
    fixture.handle().services().options.data_dir.clone()
}

/// One number.
fn count(data_dir: &Path, sql: &str) -> u64 {
    let row = ask(data_dir, sql).unwrap_or_default();
    row.into_iter().next().flatten().map_or(0, |text| text.parse().unwrap())
}

/// The rows of a query about a run, once there are so many.
pub(crate) async fn rows(data_dir: &Path, sql: &str, run: &str, wanted: usize) -> Vec<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    for _ in 0..3_000 {
        let read = || {
            let history = Connection::open_with_flags(data_dir.join("history.db"), flags).ok()?;
            let mut statement = history.prepare(sql).ok()?;
            let columns = statement.column_count();
            let text = |value: rusqlite::types::Value| match value {
                rusqlite::types::Value::Null => "NULL".to_owned(),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => panic!("there are no such columns: {other:?}"),
            };
            let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| Ok(text(row.get(at)?))).collect();
            statement.query_map([run], row).ok()?.collect::<Result<Vec<Vec<String>>, _>>().ok()
        };
        match read() {
            Some(found) if found.len() == wanted => return found,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("never {wanted} rows: {sql}");
}

/// Waits until the query counts as many.
async fn counts(data_dir: &Path, sql: &str, wanted: u64) {
    for _ in 0..3_000 {
        if count(data_dir, sql) == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{sql}: {} and never {wanted}", count(data_dir, sql));
}

async fn metric(fixture: &Fixture, name: &str) -> Option<u64> {
    let text = fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
    Some(line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// A run whose only job an agent does, with the records of a step.
async fn one_run(fixture: &Fixture, agent: &mut FakeAgent) -> String {
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    agent.upload(&lease, 1, step("Hello", &["one", "two"])).await;
    agent.report(&lease, v1::Result::Success, 4).await;
    fixture.finished(&run).await;
    run
}

/// The lines of a rebuild.
async fn rebuild(fixture: &Fixture) -> Vec<Value> {
    let answer = fixture.call(Method::POST, "/api/v1/history/rebuild", None).await;
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const FINISHED: &str = "SELECT count(*) FROM runs WHERE result = 'success'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_in_every_table_and_comes_back_with_a_rebuild() {
    let mut fixture = Fixture::start().await;
    let data_dir = data_dir(&fixture);
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = one_run(&fixture, &mut agent).await;
    counts(&data_dir, FINISHED, 1).await;
    let row = |sql: &str| ask(&data_dir, sql).unwrap().into_iter().map(Option::unwrap).collect::<Vec<_>>();
    let found = row("SELECT run, repository, workflow_name, actor, run_number, result FROM runs");
    assert_eq!(found, [run.as_str(), "o/n", "One", "ada", "1", "success"]);
    let found = row("SELECT job, name, labels, attempts, result FROM jobs");
    assert_eq!(found, ["build", "build", "ubuntu-latest", "1", "success"]);
    let found = row("SELECT agent, attempt, outcome, reported, records FROM attempts");
    assert_eq!(found, [FIRST, "1", "success", "1", "4"]);
    let found = row("SELECT step, step_id, name, outcome, conclusion, exit_code, lines FROM steps");
    assert_eq!(found, ["0", "__run", "Hello", "success", "success", "0", "2"]);
    let found = row("SELECT repository, job, arch, agent FROM usage WHERE slot_ms >= 0 AND cpu_ms = 0");
    assert_eq!(found, ["o/n", "build", "X64", FIRST]);
    let found = row("SELECT action, target, effect FROM audit");
    assert_eq!(found, ["run.submit", run.as_str(), "done"]);
    assert_eq!(row("SELECT name FROM agents"), ["agent-1111"]);
    let utc = row("SELECT submitted_utc FROM runs_utc").remove(0);
    assert!(utc.len() == 24 && utc.starts_with("20") && utc.ends_with('Z'), "{utc}");
    // Told right after the transaction.
    while metric(&fixture, "slipway_history_lag_records").await != Some(0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // Whatever somebody did to them: they are what the journal says.
    let broken = Connection::open(data_dir.join("history.db")).unwrap();
    broken.execute_batch("DELETE FROM steps; UPDATE runs SET result = 'failure'; DELETE FROM jobs").unwrap();
    let lines = rebuild(&fixture).await;
    let last = lines.last().unwrap();
    assert_eq!((&last["done"]["runs"], &last["done"]["steps"]), (&json!(1), &json!(1)), "{last}");
    assert_eq!(last["done"]["attempts_without_steps"], 0);
    assert_eq!(last["error"], Value::Null);
    assert_eq!(count(&data_dir, FINISHED), 1);
    counts(&data_dir, "SELECT count(*) FROM audit WHERE action = 'history.rebuild'", 1).await;

    // Killed and stopped, the next one goes on where the tables are.
    fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect(fixture.handle(), SECOND).await;
    one_run(&fixture, &mut agent).await;
    counts(&data_dir, FINISHED, 2).await;
    fixture.stop_and_restart().await;
    let mut agent = FakeAgent::connect(fixture.handle(), SECOND).await;
    one_run(&fixture, &mut agent).await;
    counts(&data_dir, FINISHED, 3).await;
    assert_eq!(count(&data_dir, "SELECT count(*) FROM steps"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documented_queries_run_beside_the_coordinator() {
    let fixture = Fixture::start().await;
    let data_dir = data_dir(&fixture);
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    one_run(&fixture, &mut agent).await;
    counts(&data_dir, FINISHED, 1).await;
    let text = include_str!("../../../docs/HISTORY.md");
    let queries = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let history = Connection::open_with_flags(data_dir.join("history.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let history = history.unwrap();
    let mut answered = 0;
    for query in queries.filter(|query| query.starts_with("SELECT")) {
        let mut statement = history.prepare(query).unwrap_or_else(|error| panic!("{error}\n{query}"));
        answered += usize::from(statement.query([]).unwrap().next().unwrap().is_some());
    }
    assert!(answered >= 5, "only {answered} queries have an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_cannot_be_written_hold_nobody_up() {
    let mut fixture = Fixture::start_with(|options| {
        fs::create_dir_all(options.data_dir.join("history.db")).unwrap();
    })
    .await;
    let data_dir = data_dir(&fixture);
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    one_run(&fixture, &mut agent).await;
    while metric(&fixture, "slipway_history_failures_total").await == Some(0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(metric(&fixture, "slipway_history_lag_records").await > Some(5));
    let lines = rebuild(&fixture).await;
    assert!(lines.last().unwrap()["error"].as_str().unwrap().contains("history.db"), "{lines:?}");
    // By itself, as soon as it works again.
    fs::remove_dir(data_dir.join("history.db")).unwrap();
    counts(&data_dir, FINISHED, 1).await;
    one_run(&fixture, &mut agent).await;
    counts(&data_dir, FINISHED, 2).await;

    // An older build finds tables of a newer one: it says so, and works.
    let newer = Connection::open(data_dir.join("history.db")).unwrap();
    newer.execute_batch("UPDATE meta SET format = 77").unwrap();
    drop(newer);
    fixture.stop_and_restart().await;
    let lines = rebuild(&fixture).await;
    assert!(lines.last().unwrap()["error"].as_str().unwrap().contains("format 77"), "{lines:?}");
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    one_run(&fixture, &mut agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_coordinator_goes_on_with_what_its_journal_forgot() {
    let mut fixture = Fixture::start().await;
    let data_dir = data_dir(&fixture);
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    one_run(&fixture, &mut agent).await;
    counts(&data_dir, FINISHED, 1).await;
    // As a run that began before the journal does: only the tables know it.
    let old = Connection::open(data_dir.join("history.db")).unwrap();
    old.execute_batch(
        "INSERT INTO runs SELECT 'old', repository, forge, workflow_file, workflow_name, run_number, run_attempt, event_name, \
         git_ref, sha, actor, untrusted, share, priority, 1, NULL, NULL, 2, 'success', NULL, 0, 0 FROM runs",
    )
    .unwrap();
    drop(old);
    let file = fixture.folder.path().join("backup.tar");
    let answer = fixture.call(Method::GET, "/api/v1/backup", None).await;
    fs::write(&file, answer.bytes().await.unwrap()).unwrap();
    fixture.handle = None;
    let place = fixture.folder.path().join("restored");
    backup::restore(&file, &place).unwrap();
    fixture.start_again(Options::embedded(&place)).await;
    counts(&place, FINISHED, 2).await;
    let mut agent = FakeAgent::connect(fixture.handle(), SECOND).await;
    one_run(&fixture, &mut agent).await;
    counts(&place, FINISHED, 3).await;
    let lines = rebuild(&fixture).await;
    assert_eq!(lines.last().unwrap()["done"]["runs"], 3, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_of_one_run_makes_none() {
    let fixture = Fixture::start_with(|options| options.history = false).await;
    let answer = fixture.call(Method::POST, "/api/v1/history/rebuild", None).await;
    assert_eq!(answer.status(), 409);
    assert!(answer.text().await.unwrap().contains("makes no projections"));
    assert_eq!(metric(&fixture, "slipway_history_lag_records").await, None);
    assert!(!data_dir(&fixture).join("history.db").exists());
    let trail = fixture.get("/api/v1/audit").await;
    let last = trail["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["action"], "history.rebuild");
    assert!(last["effect"].as_str().unwrap().starts_with("refused: "), "{last}");
}
