//! Which tests are flaky, fail or are slow, by API and page.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_proto::v1;
use slipway_proto::v1::test_case::Outcome::{self, Error, Failed, Flaky, Passed, Skipped};

use crate::browser::Browser;
use crate::fake_agent::{FIRST, FakeAgent, step};
use crate::fixture::{Fixture, ONE_JOB};

fn case(name: &str, outcome: Outcome, duration_us: u64) -> v1::TestCase {
    v1::TestCase {
        suite: "s".to_owned(),
        class: "<i>c</i>".to_owned(),
        name: name.to_owned(),
        outcome: outcome.into(),
        duration_us: Some(duration_us),
        ..v1::TestCase::default()
    }
}

/// A run of a repository at a commit, whose only job tells of these cases.
async fn run(
    fixture: &Fixture,
    agent: &mut FakeAgent,
    repository: &str,
    sha: char,
    cases: Vec<v1::TestCase>,
) -> String {
    let tests = Some(v1::TestReport { path: "a.xml".to_owned(), cases });
    run_that_says(fixture, agent, repository, sha, v1::Summary { tests, ..Default::default() }).await
}

/// The same with any report.
async fn run_that_says(
    fixture: &Fixture,
    agent: &mut FakeAgent,
    repository: &str,
    sha: char,
    summary: v1::Summary,
) -> String {
    let mut submission = Fixture::submission(ONE_JOB);
    submission["repository"] = json!(repository);
    submission["sha"] = json!(sha.to_string().repeat(40));
    let run = fixture.submit_value(submission).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    let mut records = step("Hello", &["one"]);
    let summary = v1::record::Record::Summary(summary);
    records.push(v1::Record { time_ms: 1, step: 1, record: Some(summary) });
    agent.upload(&lease, 1, records.clone()).await;
    agent.report(&lease, v1::Result::Success, records.len() as u64).await;
    fixture.finished(&run).await;
    run
}

async fn get(fixture: &Fixture, query: &str) -> (u16, Value) {
    let answer = fixture.call(Method::GET, &format!("/api/v1/tests{query}"), None).await;
    // What cannot be read as a question at all is told in plain text.
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn names(answer: &Value) -> Vec<&str> {
    answer["tests"].as_array().unwrap().iter().map(|test| test["name"].as_str().unwrap()).collect()
}

/// The table follows the journal.
async fn until_there_are(fixture: &Fixture, query: &str, wanted: &[&str]) -> Value {
    let mut last = Value::Null;
    for _ in 0..3_000 {
        // The file is made by the leader, a moment after its start.
        let (status, answer) = get(fixture, query).await;
        if status == 200 && names(&answer) == wanted {
            return answer;
        }
        last = answer;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never {wanted:?}: {last:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flaky_failing_and_slow_tests_are_told_by_api_and_page() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let long = 5_000_000;
    let first = vec![case("unsteady", Failed, 10), case("broken", Error, 10), case("long", Passed, long)];
    run(&fixture, &mut agent, "o/n", 'a', first).await;
    // The same commit again, and another one.
    let second =
        vec![case("unsteady", Passed, 30), case("broken", Failed, 10), case("long", Passed, long + 2)];
    let newest = run(&fixture, &mut agent, "o/n", 'a', second).await;
    let third = vec![case("unsteady", Passed, 50), case("broken", Skipped, 10), case("again", Flaky, 400)];
    run(&fixture, &mut agent, "o/n", 'b', third).await;
    // That a test of this name passes elsewhere says nothing of it, and nor do two commits that differ.
    run(&fixture, &mut agent, "o/other", 'a', vec![case("broken", Passed, 7), case("steady", Passed, 1)])
        .await;

    until_there_are(&fixture, "?order=slow", &["long", "again", "unsteady", "broken", "steady"]).await;
    let flaky = until_there_are(&fixture, "", &["unsteady", "again"]).await;
    assert_eq!(
        (&flaky["days"], &flaky["order"], &flaky["more"]),
        (&json!(14), &json!("flaky"), &json!(false))
    );
    let unsteady = &flaky["tests"][0];
    let told = |key: &str| unsteady[key].clone();
    assert_eq!(
        [
            "repository",
            "suite",
            "class",
            "passed",
            "failed",
            "skipped",
            "flaky_commits",
            "mean_us",
            "longest_us"
        ]
        .map(told),
        [
            json!("o/n"),
            json!("s"),
            json!("<i>c</i>"),
            json!(2),
            json!(1),
            json!(0),
            json!(1),
            json!(40),
            json!(50)
        ]
    );
    let (_, failing) = get(&fixture, "?order=failing&limit=1").await;
    assert_eq!((names(&failing), &failing["more"]), (vec!["broken"], &json!(true)));
    let broken = &failing["tests"][0];
    assert_eq!((&broken["failed"], &broken["skipped"], &broken["passed"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!((&broken["last_failed_run"], &broken["mean_us"]), (&json!(newest), &Value::Null));
    let (_, next) = get(&fixture, "?order=failing&limit=1&offset=1").await;
    assert_eq!((names(&next), &next["more"]), (vec!["unsteady"], &json!(false)));
    let (_, other) = get(&fixture, "?order=slow&repository=o/other").await;
    assert_eq!(names(&other), ["broken", "steady"]);
    let (_, none) = get(&fixture, "?repository='%20OR%201=1%20--").await;
    assert_eq!(names(&none), [""; 0]);
    for wrong in ["?days=0", "?days=366", "?limit=0", "?limit=500", "?order=good", "?what=1", "?offset=-1"] {
        assert_eq!(get(&fixture, wrong).await.0, 400, "{wrong}");
    }

    let browser = Browser::signed_in(fixture.handle()).await;
    let page = browser.page("/tests").await;
    for text in
        ["unsteady", "Failing most", "<option value=\"o/other\">o/other</option>", "5.0 s", "&lt;i&gt;c"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(page.contains(&format!("href=\"/runs/{newest}\"")) && !page.contains("<i>c</i>"), "{page}");
    let filtered = browser.page("/tests?repository=o/other&days=45").await;
    assert!(
        filtered.contains("No test failed.") && filtered.contains("<option value=\"45\" selected>45 days"),
        "{filtered}"
    );
    assert!(!filtered.contains("unsteady"), "{filtered}");

    // One of them, job by job, the newest first.
    let query = "?repository=o/n&suite=s&class=%3Ci%3Ec%3C/i%3E&name=unsteady";
    let (_, one) = get(&fixture, &format!("/one{query}")).await;
    let cases: Vec<_> = one["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (&case["outcome"], &case["duration_us"]))
        .collect();
    let wanted = [(json!("passed"), json!(50)), (json!("passed"), json!(30)), (json!("failed"), json!(10))];
    assert_eq!(cases, wanted.iter().map(|(outcome, us)| (outcome, us)).collect::<Vec<_>>());
    assert_eq!(get(&fixture, "/one?repository=o/n").await.0, 400, "it needs a name");
    let page = browser.page("/tests").await;
    let link =
        "/tests/one?repository=o%2Fn&amp;suite=s&amp;class=%3Ci%3Ec%3C%2Fi%3E&amp;name=unsteady&amp;days=14";
    assert!(page.contains(link), "{page}");
    let page = browser.page(&link.replace("&amp;", "&")).await;
    for text in ["It failed in 1 of 3 jobs.", "&lt;i&gt;c", "How long it took", "50 µs"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(browser.page(&format!("/tests/one{query}x")).await.contains("No report names it"));
    assert_eq!(browser.get("/tests/one?repository=o/n").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_history_it_says_so() {
    let fixture = Fixture::start_with(|options| options.history = false).await;
    let (status, answer) = get(&fixture, "").await;
    assert_eq!((status, &answer["error"]["message"]), (409, &json!("this coordinator keeps no history")));
    let answer = Browser::signed_in(fixture.handle()).await.get("/tests").await;
    assert_eq!(answer.status(), 409);
    assert!(answer.text().await.unwrap().contains("his coordinator keeps no history"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_took_and_how_long_jobs_waited_is_told_by_api_and_page() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    for (repository, sha) in [("o/n", 'a'), ("o/n", 'b'), ("o/other", 'a')] {
        run(&fixture, &mut agent, repository, sha, Vec::new()).await;
    }
    let usage = async |query: &str| {
        let answer = fixture.call(Method::GET, &format!("/api/v1/usage{query}"), None).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    // Of every list: a run ends in the tables a moment after its last attempt does.
    let sum = |told: &Value, list: &str, field: &str| {
        let rows = told[list].as_array().into_iter().flatten();
        rows.map(|row| row[field].as_u64().unwrap()).sum::<u64>()
    };
    let mut told = Value::Null;
    for _ in 0..3_000 {
        told = usage("?days=3").await.1;
        if sum(&told, "days", "succeeded") == 3 && sum(&told, "machines", "attempts") == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let repositories = told["repositories"].as_array().unwrap();
    let of = |at: usize| {
        (&repositories[at]["repository"], &repositories[at]["runs"], &repositories[at]["succeeded"])
    };
    assert_eq!(of(0), (&json!("o/n"), &json!(2), &json!(2)), "{told:#}");
    assert_eq!(of(1), (&json!("o/other"), &json!(1), &json!(1)), "{told:#}");
    assert!(repositories[0]["p50_ms"].as_u64() <= repositories[0]["p95_ms"].as_u64(), "{told:#}");
    // A day may have ended meanwhile.
    assert_eq!((sum(&told, "days", "succeeded"), sum(&told, "machines", "attempts")), (3, 3), "{told:#}");
    assert_eq!(
        (&told["waits"][0]["labels"], &told["waits"][0]["jobs"]),
        (&json!("ubuntu-latest"), &json!(3))
    );
    assert_eq!(usage("?days=0").await.0, 400);

    let page = Browser::signed_in(fixture.handle()).await.page("/usage").await;
    for text in ["Runs by the day", "100 %", "ubuntu-latest", "o/other", "class=\"bar\""] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

fn covered(covered: u64) -> v1::Summary {
    let files = vec![v1::FileCoverage { path: "a.rs".to_owned(), lines: 200, covered }];
    let coverage = Some(v1::CoverageReport { path: "lcov.info".to_owned(), files, ..Default::default() });
    v1::Summary { coverage, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coverage_and_findings_of_a_branch_are_told_run_by_run() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let first = run_that_says(&fixture, &mut agent, "o/n", 'a', covered(100)).await;
    let second = run_that_says(&fixture, &mut agent, "o/n", 'b', covered(151)).await;
    let finding =
        v1::Finding { rule: "R".to_owned(), severity: 3, fingerprint: "1".to_owned(), ..Default::default() };
    let findings = Some(v1::FindingsReport { findings: vec![finding], ..Default::default() });
    let other = v1::Summary { findings, ..Default::default() };
    let other = run_that_says(&fixture, &mut agent, "o/<b>odd", 'a', other).await;
    let reports = async |query: &str| {
        let answer = fixture.call(Method::GET, &format!("/api/v1/reports{query}"), None).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let mut told = Value::Null;
    for _ in 0..3_000 {
        told = reports("").await.1["branches"].clone();
        if told.as_array().is_some_and(|branches| branches.len() == 2 && branches[0]["runs"] == 2) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let branch = |at: usize, key: &str| told[at][key].clone();
    let key = ["repository", "workflow_file", "git_ref"];
    assert_eq!(
        key.map(|key| branch(0, key)),
        ["o/n", ".github/workflows/ci.yml", "refs/heads/main"],
        "{told:#}"
    );
    let newest = branch(0, "newest");
    assert_eq!(
        (&newest["run"], &newest["covered"], &newest["findings"]),
        (&json!(second), &json!(151), &Value::Null)
    );
    let newest = branch(1, "newest");
    assert_eq!(
        (&newest["run"], &newest["covered"], &newest["findings"]),
        (&json!(other), &Value::Null, &json!([0, 1, 0, 0]))
    );
    let one = "?repository=o/n&workflow=.github/workflows/ci.yml&ref=refs/heads/main";
    let (_, runs) = reports(one).await;
    let runs: Vec<_> =
        runs["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert_eq!(runs, [second.as_str(), first.as_str()]);
    for wrong in ["?ref=refs/heads/main", "?days=0", "?what=1"] {
        assert_eq!(reports(wrong).await.0, 400, "{wrong}");
    }

    let browser = Browser::signed_in(fixture.handle()).await;
    let page = browser.page("/coverage").await;
    for text in [
        "75.50 %",
        "1 high",
        "o/&lt;b&gt;odd",
        "repository=o%2Fn&amp;workflow=%2Egithub%2Fworkflows%2Fci%2Eyml",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let page = browser.page(&format!("/coverage{one}")).await;
    for text in ["75.50 %", "50.00 %", "<polyline", &format!("href=\"/runs/{first}#reports\"")] {
        assert!(page.contains(text), "{text}: {page}");
    }
}
