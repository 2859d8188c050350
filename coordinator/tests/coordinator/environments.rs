//! Environments with rules, from the configuration file to the agent that gets the job.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::options::{Flags, Options};
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};

const CONFIGURATION: &str = "[[environment]]\nname = 'production'\nreviewers = ['alice', 'ada']\n\
     prevent_self_review = true\nbranches = ['main']\n\
     [[environment]]\nname = 'slow'\nwait_minutes = 5\n\
     [[environment]]\nname = 'both'\napproval = true\nwait_minutes = 5\n\
     [[environment]]\nname = 'one'\none_at_a_time = true\n";

pub(crate) async fn configured() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coordinator.toml");
    std::fs::write(&path, CONFIGURATION).unwrap();
    let flags = Flags { config: Some(path), data_dir: Some(folder.path().into()), ..Flags::default() };
    let environments = Options::load(flags).unwrap().environments;
    Fixture::start_with(|options| options.environments = environments).await
}

pub(crate) fn workflow(environment: &str) -> String {
    ONE_JOB.replace("    runs-on:", &format!("    environment: {environment}\n    runs-on:"))
}

/// Waits until the run's only job waits for this reason.
pub(crate) async fn waits(fixture: &Fixture, run: &str, reason: &str) -> Value {
    fixture.run_until(run, |shown| shown["instances"][0]["wait"]["reason"] == reason).await
}

async fn decide(fixture: &Fixture, run: &str, wanted: Value) -> (StatusCode, Value) {
    let answer = fixture.call(Method::POST, &format!("/api/v1/runs/{run}/approvals"), Some(wanted)).await;
    (answer.status(), answer.json().await.unwrap())
}

fn decision(environment: &str, decision: &str, actor: &str) -> Value {
    json!({"environment": environment, "decision": decision, "actor": actor, "comment": "seen"})
}

async fn work_off(agent: &mut FakeAgent) {
    let lease = agent.assigned().await.lease.unwrap();
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_waits_for_approval_also_over_a_death_and_then_runs() {
    let mut fixture = configured().await;
    let run = fixture.submit(&workflow("Production")).await;
    let shown = waits(&fixture, &run, "approval").await;
    let instance = &shown["instances"][0];
    let told =
        format!("waits for approval of `Production` by alice or ada: slipway approve {run} Production");
    assert_eq!(instance["waits_for"], told);
    assert_eq!(
        (&instance["gate"]["awaits_review"], &instance["gate"]["decision"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(shown["awaits_review"], json!(["Production"]));
    assert_eq!(fixture.get("/api/v1/runs").await["runs"][0]["awaits_review"], json!(["Production"]));

    // Another process without any configuration: what was asked of the job is in the journal.
    let mut options = (*fixture.handle().services().options).clone();
    options.environments = Default::default();
    fixture.handle = None;
    fixture.start_again(options).await;
    waits(&fixture, &run, "approval").await;

    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    for (wanted, status, said) in [
        (decision("production", "approve", "ada"), 403, "`ada` started run"),
        (decision("production", "reject", "mallory"), 403, "who may: alice, ada"),
        (decision("staging", "approve", "alice"), 404, "what waits, waits for Production"),
        (decision("production", "maybe", "alice"), 422, "decision"),
        (decision("production", "approve", " "), 400, "`actor` is who decides"),
        (json!({"environment": "production", "decision": "approve"}), 400, "`actor` is who decides"),
    ] {
        let (found, body) = decide(&fixture, &run, wanted).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert!(found == status && message.contains(said), "{found} {body}");
    }
    let (status, body) = decide(&fixture, &run, decision("production", "approve", "Alice")).await;
    assert_eq!((status, &body["decision"]), (StatusCode::OK, &json!("approved")), "{body}");
    assert_eq!(body["instances"].as_array().unwrap().len(), 1);
    work_off(&mut agent).await;
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["result"], "success");
    let gate = &shown["instances"][0]["gate"];
    assert_eq!([&gate["decision"], &gate["by"], &gate["comment"]], ["approved", "Alice", "seen"]);
    let (status, body) = decide(&fixture, &run, decision("production", "reject", "alice")).await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(status == StatusCode::CONFLICT && message.contains("Alice approved it"), "{body}");

    let audit = fixture.get("/api/v1/audit").await;
    let entries = audit["entries"].as_array().unwrap();
    let about = |action: &str, effect: &str| {
        entries.iter().any(|entry| {
            entry["action"] == action
                && entry["target"].as_str().unwrap().to_lowercase() == format!("{run} production")
                && entry["effect"].as_str().unwrap().starts_with(effect)
        })
    };
    assert!(about("run.approve", "done") && about("run.approve", "refused: `ada`"), "{entries:?}");
    assert!(about("run.reject", "refused: `mallory`"), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_job_fails_and_says_who_and_why() {
    let fixture = configured().await;
    let run = fixture.submit(&workflow("production")).await;
    waits(&fixture, &run, "approval").await;
    let following = fixture.events(&run, true);
    let rejecting = decide(&fixture, &run, decision("production", "reject", "alice"));
    let (lines, (status, body)) = tokio::join!(following, rejecting);
    assert_eq!((status, &body["decision"]), (StatusCode::OK, &json!("rejected")), "{body}");
    let job = lines.iter().find(|line| line["type"] == "job").unwrap();
    assert_eq!(
        (&job["result"], &job["message"]),
        (&json!("failure"), &json!("alice rejected `production`: seen"))
    );
    assert_eq!(lines.last().unwrap()["result"], "failure");
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["instances"][0]["message"], "alice rejected `production`: seen");
    assert_eq!((&shown["cause"], &shown["instances"][0]["attempt"]), (&Value::Null, &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_timer_ends_by_itself_and_an_approval_does_not_shorten_it() {
    let fixture = configured().await;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 2, Vec::new())).await;
    let slow = fixture.submit(&workflow("slow")).await;
    let both = fixture.submit(&workflow("both")).await;
    let shown = waits(&fixture, &slow, "wait_timer").await;
    let told = shown["instances"][0]["waits_for"].as_str().unwrap();
    assert!(told.starts_with("the wait timer of `slow` ends at 2") && told.ends_with(" UTC"), "{told}");
    waits(&fixture, &both, "approval").await;
    let (status, body) = decide(&fixture, &both, decision("both", "approve", "ada")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    waits(&fixture, &both, "wait_timer").await;
    let (status, _) = decide(&fixture, &slow, decision("slow", "approve", "ada")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    fixture.clock.advance(301_000);
    let mut leases = Vec::new();
    for _ in 0..2 {
        leases.extend(agent.assigned().await.lease);
    }
    for lease in &leases {
        agent.report(lease, v1::Result::Success, 0).await;
        assert_eq!(agent.accepted().await, *lease);
    }
    assert_eq!(fixture.finished(&slow).await["result"], "success");
    assert_eq!(fixture.finished(&both).await["result"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_approves_for_thirty_days_fails() {
    let fixture = configured().await;
    let run = fixture.submit(&workflow("production")).await;
    waits(&fixture, &run, "approval").await;
    fixture.clock.advance(30 * 24 * 3_600_000);
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["result"], "failure");
    assert_eq!(shown["instances"][0]["gate"]["decision"], "expired");
    assert_eq!(shown["instances"][0]["message"], "nobody approved `production` within 30 days");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_is_not_named_fails_at_once_and_an_environment_without_rules_asks_nothing() {
    let fixture = configured().await;
    let mut feature = Fixture::submission(&workflow("production"));
    feature["git_ref"] = json!("refs/heads/feature");
    let run = fixture.submit_value(feature).await;
    let shown = fixture.finished(&run).await;
    let told = "the environment `production` is not for `refs/heads/feature`; it is for the branches main and no tags";
    assert_eq!((&shown["result"], &shown["jobs"][0]["message"]), (&json!("failure"), &json!(told)));

    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let free = fixture.submit(&workflow("elsewhere")).await;
    work_off(&mut agent).await;
    let shown = fixture.finished(&free).await;
    assert_eq!((&shown["result"], &shown["instances"][0]["gate"]), (&json!("success"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_not_there_is_told_and_a_cancelled_one_waits_for_nobody() {
    let fixture = configured().await;
    let stranger = "ffffffff-0000-7000-8000-000000000000";
    let (status, _) = decide(&fixture, stranger, decision("production", "approve", "alice")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let run = fixture.submit(&workflow("production")).await;
    waits(&fixture, &run, "approval").await;
    fixture.call(Method::POST, &format!("/api/v1/runs/{run}/cancel"), None).await;
    assert_eq!(fixture.finished(&run).await["result"], "cancelled");
    let (status, body) = decide(&fixture, &run, decision("production", "approve", "alice")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_deployment_at_a_time_in_their_order_also_over_a_death() {
    let mut fixture = configured().await;
    let mut runs = Vec::new();
    for name in ["one", "One", "ONE"] {
        runs.push(fixture.submit(&workflow(name)).await);
        fixture.run_until(runs.last().unwrap(), |shown| shown["instances"][0]["wait"].is_object()).await;
    }
    let shown = waits(&fixture, &runs[2], "turn").await;
    let told = format!(
        "waits for its turn at `ONE`, which lets one deployment at a time in: run {} has it; 1 before it",
        runs[0]
    );
    assert_eq!(shown["instances"][0]["waits_for"], told);
    fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, Vec::new())).await;
    let first = agent.assigned().await.lease.unwrap();
    assert_eq!(fixture.get(&format!("/api/v1/runs/{}", runs[0])).await["state"], "running");
    // Whoever waits may go; the others keep their places.
    let cancelled = fixture.call(Method::POST, &format!("/api/v1/runs/{}/cancel", runs[1]), None).await;
    assert!(cancelled.status().is_success());
    let shown = waits(&fixture, &runs[2], "turn").await;
    assert!(!shown["instances"][0]["waits_for"].as_str().unwrap().contains("before it"), "{shown}");
    agent.report(&first, v1::Result::Failure, 0).await;
    agent.accepted().await;
    work_off(&mut agent).await;
    let ends = [
        fixture.finished(&runs[0]).await,
        fixture.finished(&runs[1]).await,
        fixture.finished(&runs[2]).await,
    ];
    assert_eq!(ends.map(|shown| shown["result"].clone()), ["failure", "cancelled", "success"]);
}
