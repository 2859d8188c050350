//! What a run's test reports say, by the API and in the history.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, line, step};
use crate::fixture::{Fixture, ONE_JOB};

fn case(name: &str, outcome: v1::test_case::Outcome) -> v1::TestCase {
    v1::TestCase {
        suite: "s".to_owned(),
        name: name.to_owned(),
        outcome: outcome.into(),
        duration_us: Some(1_500),
        message: "why".to_owned(),
        ..v1::TestCase::default()
    }
}

fn report(path: &str, cases: Vec<v1::TestCase>) -> v1::Record {
    let tests = Some(v1::TestReport { path: path.to_owned(), cases });
    let record = Some(v1::record::Record::Summary(v1::Summary { tests, ..Default::default() }));
    v1::Record { time_ms: 1, step: 1, record }
}

async fn get(fixture: &Fixture, path: &str) -> (u16, Value) {
    let answer = fixture.call(Method::GET, path, None).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runs_test_cases_are_told_and_counted() {
    use v1::test_case::Outcome::{Error, Failed, Flaky, Passed};
    let mut fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    // Far behind what the job printed.
    let mut records = step("Hello", &["one"; 20_000]);
    records.push(report("a.xml", vec![case("adds", Passed), case("fails", Failed)]));
    records.push(report("b.xml", vec![case("errs", Error), case("at last", Flaky)]));
    records.push(line("the end"));
    agent.upload(&lease, 1, records.clone()).await;
    let path = format!("/api/v1/runs/{run}/tests");
    let (status, none) = get(&fixture, &path).await;
    assert_eq!((status, &none["jobs"]), (200, &json!([])), "its attempt goes on");
    agent.report(&lease, v1::Result::Success, records.len() as u64).await;
    fixture.finished(&run).await;

    let counts = json!({"passed": 1, "failed": 1, "error": 1, "skipped": 0, "flaky": 1});
    let (_, all) = get(&fixture, &path).await;
    assert_eq!((&all["run"], &all["counts"], &all["more"]), (&json!(run), &counts, &json!(false)));
    let job = &all["jobs"][0];
    assert_eq!(
        (&job["job"], &job["attempt"], &job["counts"], &job["removed"]),
        (&json!("build"), &json!(1), &counts, &json!(false))
    );
    let expected = json!({"ordinal": 1, "report": "a.xml", "suite": "s", "class": "", "name": "fails", "file": "",
        "line": 0, "outcome": "failed", "duration_us": 1500, "message": "why"});
    assert_eq!(job["cases"][1], expected);
    assert_eq!(job["cases"].as_array().unwrap().len(), 4);

    let (_, some) = get(&fixture, &format!("{path}?outcome=failed,error&limit=1&job=build")).await;
    assert_eq!((&some["counts"], &some["more"]), (&counts, &json!(true)));
    assert_eq!(some["jobs"][0]["cases"], json!([expected]));
    let (_, other) = get(&fixture, &format!("{path}?job=other")).await;
    assert_eq!(other["jobs"], json!([]));
    for wrong in ["outcome=good", "outcome=", "what=1"] {
        assert_eq!(
            fixture.call(Method::GET, &format!("{path}?{wrong}"), None).await.status(),
            400,
            "{wrong}"
        );
    }
    let unknown = fixture.call(Method::GET, "/api/v1/runs/0123abcd/tests", None).await;
    assert_eq!(unknown.status(), 404);

    // The same after a restart, from the sealed log, and in the tables.
    fixture.kill_and_restart().await;
    assert_eq!(get(&fixture, &path).await.1, all);
    let data_dir = fixture.handle().services().options.data_dir.clone();
    let sql =
        "SELECT ordinal, report, suite, class, name, file, line, outcome, duration_us, message FROM tests
        WHERE run = ?1 AND attempt = 1 ORDER BY ordinal";
    let found = crate::history::rows(&data_dir, sql, &run, 4).await;
    let expected = ["1", "a.xml", "s", "", "fails", "NULL", "NULL", "failed", "1500", "why"];
    assert_eq!(found[1], expected);
    let outcomes: Vec<&str> = found.iter().map(|row| row[7].as_str()).collect();
    assert_eq!(outcomes, ["passed", "failed", "error", "flaky"]);
}
