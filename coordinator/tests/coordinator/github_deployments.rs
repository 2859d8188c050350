//! Deployments of jobs with an environment, as GitHub is told of them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::options::{Flags, Options};
use slipway_proto::v1;

use crate::events::{Forge, workflow};
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::github_double::{Double, Trouble};

/// A workflow of one job that deploys.
fn deploying(environment: &str) -> String {
    let steps = "    runs-on: ubuntu-latest\n    steps:\n      - run: echo 1\n";
    format!("name: ship\non: push\njobs:\n  job:\n    environment: {environment}\n{steps}")
}

async fn forge(double: &Double, workflows: &[(&str, String)], rules: &str) -> Forge {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coordinator.toml");
    std::fs::write(&path, rules).unwrap();
    let flags = Flags { config: Some(path), data_dir: Some(folder.path().into()), ..Flags::default() };
    let environments = Options::load(flags).unwrap().environments;
    Forge::with(workflows, double.host(), |options| {
        options.github = Some(double.options());
        options.public_url = Some("https://ci.example.com".to_owned());
        options.environments = environments;
    })
    .await
}

async fn push(forge: &Forge) -> String {
    let head = forge.git(&["rev-parse", "HEAD"]);
    forge.push("main", &"0".repeat(40), &head).await;
    head
}

fn shown_at(url: &str) -> v1::Record {
    let summary = v1::Summary { environment_url: url.to_owned(), ..v1::Summary::default() };
    v1::Record { time_ms: 1, step: 0, record: Some(v1::record::Record::Summary(summary)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_an_environment_is_a_deployment_from_its_queue_to_its_address() {
    let double = Double::start().await;
    let forge = forge(
        &double,
        &[
            ("ship", deploying("{ name: production, url: 'https://x' }")),
            ("dry", deploying("{ name: a, deployment: false }")),
            ("after", workflow("after", "[deployment, deployment_status]")),
        ],
        "",
    )
    .await;
    let head = push(&forge).await;
    double.until("a queued deployment", |known| known.deploying() == [["queued"]]).await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    for _ in 0..2 {
        let lease = agent.next_assigned().await.lease.unwrap();
        agent.upload(&lease, 1, vec![shown_at("https://shop.example/v2")]).await;
        agent.report(&lease, v1::Result::Success, 1).await;
    }
    double.until("its end", |known| known.deploying()[0].last() == Some(&"success")).await;
    let (made, said) = {
        let known = double.known();
        assert_eq!(known.deployments.len(), 1, "`deployment: false` is none");
        let (id, made) = known.deployments.first_key_value().unwrap();
        (made.clone(), known.deployed[id].clone())
    };
    assert_eq!((&made["ref"], &made["environment"]), (&json!(head), &json!("production")));
    assert_eq!(
        (&made["production_environment"], &made["transient_environment"]),
        (&json!(true), &json!(false))
    );
    let end = said.last().unwrap();
    assert_eq!(end["environment_url"], "https://shop.example/v2");
    assert!(end["log_url"].as_str().unwrap().starts_with("https://ci.example.com/runs/"), "{end}");
    assert!(said[0].get("environment_url").is_none());

    // What GitHub tells us of it starts nothing; another's does.
    let runs = forge.runs().await.len();
    let event = |made: &Value| json!({"deployment": made, "action": "created"});
    assert_eq!(forge.post("deployment", "own", event(&made)).await, 202);
    let mut theirs = made.clone();
    theirs["payload"] = json!({});
    forge.deliver("deployment", event(&theirs)).await;
    assert_eq!(forge.runs().await.len(), runs + 1);
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_waits_for_people_says_so_and_ends_as_they_decide() {
    let double = Double::start().await;
    let rules = "[[environment]]\nname = 'live'\napproval = true\n";
    let forge = forge(&double, &[("ship", deploying("live"))], rules).await;
    for decision in ["reject", "approve"] {
        double.known().deployments.clear();
        push(&forge).await;
        double.until("a deployment that waits", |known| known.deploying() == [["pending"]]).await;
        assert_eq!(
            double.known().deployed.values().next_back().unwrap()[0]["description"],
            "Waits for approval"
        );
        let run = forge.runs().await.last().unwrap()["run"].as_str().unwrap().to_owned();
        let wanted = json!({"environment": "live", "decision": decision, "actor": "eve"});
        let path = format!("/api/v1/runs/{run}/approvals");
        assert!(forge.fixture.call(Method::POST, &path, Some(wanted)).await.status().is_success());
        // It stays: what an agent that is gone has said may not have come.
        let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
        if decision == "approve" {
            agent.work(v1::Result::Failure, &[]).await;
        }
        double.until("its end", |known| known.deploying()[0].last() == Some(&"failure")).await;
    }
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_github_does_each_deployment_is_made_once_and_each_state_said_once() {
    let double = Double::start().await;
    let job = |n| {
        format!("  job-{n}:\n    environment: e-{n}\n    runs-on: x\n    steps:\n      - run: echo {n}\n")
    };
    let jobs: String = (0..4).map(job).collect();
    let mut forge = forge(&double, &[("ship", format!("name: ship\non: push\njobs:\n{jobs}"))], "").await;
    let kinds = [
        Some(Trouble::Lost),
        Some(Trouble::Broken),
        None,
        Some(Trouble::Limited),
        Some(Trouble::Lost),
        None,
        Some(Trouble::Stranger),
        Some(Trouble::Exhausted),
        Some(Trouble::Unavailable),
    ];
    double.known().trouble = kinds.into_iter().cycle().take(27).collect();
    push(&forge).await;
    double.until("some deployments", |known| known.deployments.len() >= 2).await;
    forge.fixture.kill_and_restart().await;
    double.known().trouble = kinds.into_iter().cycle().take(18).collect();
    let mut hello = hello(FIRST, 4, Vec::new());
    hello.labels.push("x".to_owned());
    let mut agent = FakeAgent::connect_with(forge.fixture.handle(), hello).await;
    for _ in 0..4 {
        agent.work(v1::Result::Success, &[]).await;
    }
    double
        .until("every end", |known| {
            known.deploying().len() == 4
                && known.deploying().iter().all(|said| said.last() == Some(&"success"))
        })
        .await;
    for said in double.known().deploying() {
        assert!(said.windows(2).all(|pair| pair[0] != pair[1]), "none is said twice: {said:?}");
    }
    let ids: std::collections::BTreeSet<String> =
        double.known().deployments.values().map(|made| made["payload"]["slipway"].to_string()).collect();
    assert_eq!(ids.len(), 4, "none is there twice");
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_permission_everything_else_goes_on_and_it_is_asked_once() {
    let double = Double::start().await;
    double.known().no_deployments = true;
    let forge = forge(&double, &[("ship", deploying("live"))], "").await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    for _ in 0..2 {
        push(&forge).await;
        agent.work(v1::Result::Success, &[]).await;
        double
            .until("the check, and a refusal", |known| {
                known.check("ship / job (push)").is_some_and(|check| check["conclusion"] == "success")
                    && known.deployments_refused > 0
            })
            .await;
        // The answer was read, and not only sent.
        loop {
            let metrics = forge.fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
            if !metrics.contains("slipway_reports_failed_total 0\n") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        double.known().checks.clear();
    }
    let known = double.known();
    assert_eq!((known.deployments_refused, known.deployments.len()), (1, 0));
    drop(known);
    double.hold_against_description();
}

/// Made by a coordinator that was killed before it wrote down so, for a job that was cancelled before the next one could ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_nobody_remembers_does_not_stay_queued() {
    let double = Double::start().await;
    let mut forge = forge(&double, &[("ship", deploying("live"))], "").await;
    double.known().trouble = vec![Some(Trouble::Slow(Duration::from_millis(800))); 4].into();
    push(&forge).await;
    double.until("the requests on their way", |known| known.delayed == 3).await;
    forge.fixture.kill_and_restart_with(|options| options.github = None).await;
    double.known().trouble.clear();
    let run = forge.runs().await[0]["run"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{run}/cancel");
    assert!(forge.fixture.call(Method::POST, &path, Some(json!({}))).await.status().is_success());
    forge.fixture.finished(&run).await;
    double.until("the deployment", |known| known.deployments.len() == 1).await;
    forge.fixture.kill_and_restart_with(|options| options.github = Some(double.options())).await;
    double.until("its end", |known| known.deploying() == [["inactive"]]).await;
    double.hold_against_description();
}
