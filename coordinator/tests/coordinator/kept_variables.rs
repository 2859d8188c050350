//! Variables that are kept for many runs: who sees which.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::submit::NewRun;
use slipway_proto::v1;
use slipway_scheduler::command::Trust;

use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};

const DEPLOY: &str = "on: push\njobs:\n  deploy:\n    if: vars.TOKEN == 'of the repository' && vars.late == ''\n    runs-on: ubuntu-latest\n    environment: Production\n    steps:\n      - run: echo\n";

async fn set(fixture: &Fixture, name: &str, body: Value) -> (StatusCode, Value) {
    let answer = fixture.call(Method::PUT, &format!("/api/v1/variables/{name}"), Some(body)).await;
    (answer.status(), answer.json().await.unwrap())
}

/// The `vars` of the next job's steps; the job is worked off.
async fn seen(agent: &mut FakeAgent) -> Value {
    let assign = agent.next_assigned().await;
    let spec = agent.spec(&assign).await;
    agent.report(&assign.lease.unwrap(), v1::Result::Success, 0).await;
    spec["contexts"]["vars"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_sees_those_of_its_repository_and_its_steps_those_of_its_environment() {
    let mut fixture = Fixture::start().await;
    for (name, body) in [
        ("shared", json!({"value": "of all"})),
        ("TOKEN", json!({"value": "of all"})),
        ("token", json!({"value": "of the repository", "repository": "O/N"})),
        ("LATE", json!({"value": "of production", "repository": "o/n", "environment": "production"})),
        ("TOKEN", json!({"value": "of production", "repository": "o/n", "environment": "production"})),
        ("OTHER", json!({"value": "hidden", "repository": "o/other"})),
        ("OTHER", json!({"value": "hidden", "repository": "o/n2"})),
        ("LATER", json!({"value": "hidden", "repository": "o/n", "environment": "test"})),
    ] {
        let (status, answer) = set(&fixture, name, body.clone()).await;
        assert_eq!(status, StatusCode::OK, "{body} {answer}");
    }
    fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(seen(&mut agent).await, json!({"SHARED": "of all", "TOKEN": "of the repository"}));
    // The job's own condition does not know its environment yet; the steps do.
    fixture.submit(DEPLOY).await;
    let expected = json!({"LATE": "of production", "SHARED": "of all", "TOKEN": "of production"});
    assert_eq!(seen(&mut agent).await, expected);
    // What a run is given itself comes first, whatever its case.
    let mut given = Fixture::submission(
        &DEPLOY.replace("    if: vars.TOKEN == 'of the repository' && vars.late == ''\n", ""),
    );
    given["vars"] = json!({"Token": "of the run"});
    let run = fixture.submit_value(given).await;
    let expected = json!({"LATE": "of production", "SHARED": "of all", "Token": "of the run"});
    assert_eq!(seen(&mut agent).await, expected);
    // A rerun reads them again.
    fixture.finished(&run).await;
    set(&fixture, "shared", json!({"value": "changed"})).await;
    let again = fixture.call(Method::POST, &format!("/api/v1/runs/{run}/rerun"), Some(json!({}))).await;
    assert!(again.status().is_success());
    assert_eq!(seen(&mut agent).await["SHARED"], "changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runs_concurrency_group_may_be_named_after_one() {
    let fixture = Fixture::start().await;
    set(&fixture, "LANE", json!({"value": "fast", "repository": "o/n"})).await;
    let grouped = ONE_JOB.replace("jobs:", "concurrency: lane-${{ vars.lane }}\njobs:");
    fixture.submit(&grouped).await;
    let second = fixture.submit(&grouped).await;
    let shown = fixture.run_until(&second, |shown| shown["jobs"][0]["waits_for"].is_string()).await;
    let told = shown["jobs"][0]["waits_for"].as_str().unwrap();
    assert!(told.contains("the concurrency group `lane-fast`"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_from_outside_sees_none() {
    let fixture = Fixture::start().await;
    set(&fixture, "A", json!({"value": "v"})).await;
    let accepts = v1::Hello { accepts_untrusted: true, ..hello(FIRST, 4, Vec::new()) };
    let mut agent = FakeAgent::connect_with(fixture.handle(), accepts).await;
    let outside = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: ONE_JOB.to_owned(),
        event_name: "pull_request".to_owned(),
        event: json!({}),
        repository: "o/n".to_owned(),
        trust: Trust::Untrusted,
        ..NewRun::default()
    };
    fixture.handle().submit(outside).await.unwrap();
    assert_eq!(seen(&mut agent).await, json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_variable_is_refused_and_what_is_none_is_not_removed() {
    let fixture = Fixture::start().await;
    for (name, body, said) in [
        ("GITHUB_X", json!({"value": "v"}), "GITHUB_ is for GitHub's own"),
        ("1A", json!({"value": "v"}), "cannot be a variable's name"),
        ("A", json!({"value": ""}), "1 to 49152 bytes"),
        ("A", json!({"value": "v".repeat((48 << 10) + 1)}), "1 to 49152 bytes"),
        ("A", json!({"value": "v", "environment": "production"}), "give `repository` too"),
        ("A", json!({"value": "v", "repository": "o\nn"}), "control characters"),
        ("A", json!({"value": "v", "reposytory": "o/n"}), "reposytory"),
    ] {
        let (status, answer) = set(&fixture, name, body.clone()).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status.is_client_error() && message.contains(said), "{name}: {answer}");
    }
    // All of one scope together.
    let large = || json!({"value": "v".repeat(48 << 10), "repository": "o/n"});
    for at in 0..5 {
        assert_eq!(set(&fixture, &format!("V{at}"), large()).await.0, StatusCode::OK);
    }
    let (status, answer) = set(&fixture, "V5", large()).await;
    assert!(status.is_client_error() && answer.to_string().contains("of one scope"), "{answer}");
    assert_eq!(set(&fixture, "V4", large()).await.0, StatusCode::OK, "it takes its own place");
    assert_eq!(set(&fixture, "V5", json!({"value": "v"})).await.0, StatusCode::OK);
    let removed = fixture.call(Method::DELETE, "/api/v1/variables/v1?repository=O%2Fn", None).await;
    assert_eq!(removed.status(), StatusCode::OK);
    let again = fixture.call(Method::DELETE, "/api/v1/variables/v1?repository=o%2Fn", None).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let listed = fixture.get("/api/v1/variables").await;
    let names: Vec<&str> =
        listed["variables"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["V5", "V0", "V2", "V3", "V4"]);
    let trail = fixture.get("/api/v1/audit").await.to_string();
    assert!(trail.contains("variable.set") && trail.contains("V1 of O/n"), "{trail}");
}
