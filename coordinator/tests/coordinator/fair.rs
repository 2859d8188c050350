//! From the configuration file to the order of leases: shares, priorities, retries, and what people are told.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::options::{Flags, Options};
use slipway_proto::v1::{self, agent_message::Message as Out};

use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};

const CONFIGURATION: &str = "[[share]]\nname = 'infra'\nrepositories = ['acme/*']\nweight = 2\n\
     [[priority]]\nref = 'release/**'\nvalue = 50\n\
     [retry]\nattempts = 3\n[retry.image_pull]\nattempts = 2\nfirst_wait_s = 0\n";

/// A coordinator with that file.
async fn configured() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coordinator.toml");
    std::fs::write(&path, CONFIGURATION).unwrap();
    let flags = Flags { config: Some(path), data_dir: Some(folder.path().into()), ..Flags::default() };
    let scheduling = Options::load(flags).unwrap().scheduling;
    Fixture::start_with(|options| options.scheduling = scheduling).await
}

fn submission(repository: &str, git_ref: &str, priority: Option<i32>) -> Value {
    let mut submission = Fixture::submission(ONE_JOB);
    submission["repository"] = json!(repository);
    submission["git_ref"] = json!(git_ref);
    if let Some(priority) = priority {
        submission["priority"] = json!(priority);
    }
    submission
}

/// Waits until as many of them wait for an agent.
async fn wait_all(fixture: &Fixture, runs: &[String]) {
    for run in runs {
        fixture.run_until(run, |shown| shown["instances"][0]["wait"].is_object()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_decides_who_is_leased_first_also_after_a_restart() {
    let mut fixture = configured().await;
    let main = "refs/heads/main";
    let wanted = [
        ("o/flood", main, None),
        ("o/flood", main, None),
        ("o/flood", main, None),
        ("acme/a", main, None),
        ("acme/b", main, None),
        ("o/flood", "refs/heads/release/1", None),
        ("o/other", main, Some(-5)),
        ("o/other", main, Some(60)),
    ];
    let mut runs = Vec::new();
    for (repository, git_ref, priority) in wanted {
        let run = fixture.submit_value(submission(repository, git_ref, priority)).await;
        // Planned one after the other, so that they wait in this order.
        wait_all(&fixture, std::slice::from_ref(&run)).await;
        runs.push(run);
    }
    let shown = fixture.get(&format!("/api/v1/runs/{}", runs[3])).await;
    assert_eq!((&shown["share"], &shown["priority"]), (&json!("infra"), &json!(0)));
    let shown = fixture.get(&format!("/api/v1/runs/{}", runs[5])).await;
    assert_eq!((&shown["share"], &shown["priority"]), (&Value::Null, &json!(50)));

    // Standing and order are in the journal: another process, which has no configuration, goes on with them.
    let mut options = (*fixture.handle().services().options).clone();
    options.scheduling = Default::default();
    fixture.handle = None;
    fixture.start_again(options).await;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 1, Vec::new())).await;
    let mut order = Vec::new();
    for number in 0..runs.len() {
        let lease = agent.assigned().await.lease.unwrap();
        let run = lease.attempt.clone().unwrap().run_id;
        order.push(runs.iter().position(|known| *known == run).unwrap());
        if number == 0 {
            let left = fixture.get(&format!("/api/v1/runs/{}", runs[1])).await;
            let wait = &left["instances"][0]["wait"];
            assert_eq!((&wait["reason"], &wait["slots"]), (&json!("agents_busy"), &json!(1)), "{wait}");
            assert!(wait["position"].as_u64().unwrap() > 2, "{wait}");
            let told = left["instances"][0]["waits_for"].as_str().unwrap();
            assert!(told.starts_with("the only ") && told.contains("position "), "{told}");
        }
        agent.report(&lease, v1::Result::Success, 0).await;
        agent.accepted().await;
    }
    // 60, 50; then of priority 0 the repository's share and the weightier one in turn; last what is below.
    let [first, second, rest @ .., last] = order.as_slice() else { panic!("{order:?}") };
    assert_eq!((*first, *second, *last), (7, 5, 6), "{order:?}");
    assert!(rest == [3, 4, 0, 1, 2] || rest == [0, 3, 4, 1, 2], "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_job_is_given_up_as_configured_and_says_why() {
    let fixture = configured().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    for _ in 0..2 {
        let lease = agent.next_assigned().await.lease.unwrap();
        let fleet = v1::FleetFailure { cause: "image_pull".into(), message: "no route".into() };
        let outcome = Some(v1::report::Outcome::Fleet(fleet));
        agent
            .say(Out::Report(v1::Report { lease: Some(lease), outcome, records: 0, ..v1::Report::default() }))
            .await;
        agent.accepted().await;
        // The same agent may try again only then.
        fixture.clock.advance(11_000);
    }
    let shown = fixture.finished(&run).await;
    let instance = &shown["instances"][0];
    assert_eq!((&instance["cause"], &instance["message"]), (&json!("image_pull"), &json!("no route")));
    assert_eq!(instance["gave_up"], "given up after 2 attempts: image_pull 2 times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_priority_beyond_the_range_is_refused() {
    let fixture = Fixture::start().await;
    for priority in [-101, 101, 1_000] {
        let body = submission("o/n", "refs/heads/main", Some(priority));
        let answer = fixture.call(Method::POST, "/api/v1/runs", Some(body)).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("`priority` is from -100 to 100"));
    }
}
