//! Secrets that are kept for many runs: who gets which, and that nobody else sees them.

use std::collections::HashMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::submit::NewRun;
use slipway_proto::v1;
use slipway_scheduler::command::Trust;

use crate::browser::Browser;
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};

const DEPLOY: &str = "on: push\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n    environment: Production\n    steps:\n      - run: echo\n";

async fn set(fixture: &Fixture, name: &str, body: Value) -> StatusCode {
    fixture.call(Method::PUT, &format!("/api/v1/secrets/{name}"), Some(body)).await.status()
}

/// What a job's agent is given, and what of it is its environment's.
async fn fetched(agent: &mut FakeAgent) -> (HashMap<String, String>, HashMap<String, String>) {
    let lease = agent.next_assigned().await.lease;
    let request = v1::FetchSecretsRequest { lease: lease.clone() };
    let answer = agent.client.fetch_secrets(request).await.unwrap().into_inner();
    agent.report(&lease.unwrap(), v1::Result::Success, 0).await;
    (answer.secrets, answer.environment_secrets)
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_gets_those_of_its_repository_and_environment_and_no_others() {
    let mut fixture = Fixture::start().await;
    for (name, body) in [
        ("shared", json!({"value": "of all"})),
        ("TOKEN", json!({"value": "of all"})),
        ("token", json!({"value": "of the repository", "repository": "O/N"})),
        ("TOKEN", json!({"value": "of production", "repository": "o/n", "environment": "production"})),
        ("OTHER", json!({"value": "hidden", "repository": "o/other"})),
        ("LATER", json!({"value": "hidden", "repository": "o/n", "environment": "test"})),
    ] {
        assert_eq!(set(&fixture, name, body.clone()).await, StatusCode::OK, "{body}");
    }
    fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let common = map(&[("SHARED", "of all"), ("TOKEN", "of the repository")]);
    assert_eq!(fetched(&mut agent).await, (common.clone(), HashMap::new()));
    fixture.submit(DEPLOY).await;
    assert_eq!(fetched(&mut agent).await, (common, map(&[("TOKEN", "of production")])));
    // What a run is given itself comes first.
    let mut given = Fixture::submission(DEPLOY);
    given["secrets"] = json!({"Token": "of the run"});
    fixture.submit_value(given).await;
    let expected = map(&[("SHARED", "of all"), ("Token", "of the run")]);
    assert_eq!(fetched(&mut agent).await, (expected, HashMap::new()));
    let trail = fixture.get("/api/v1/audit").await;
    let read = trail["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "secret.read");
    let targets: Vec<&str> = read.filter_map(|entry| entry["target"].as_str()).collect();
    assert!(targets[1].contains("TOKEN of o/n for production"), "{targets:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_from_outside_gets_none() {
    let fixture = Fixture::start().await;
    set(&fixture, "TOKEN", json!({"value": "v"})).await;
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
    assert_eq!(fetched(&mut agent).await, (HashMap::new(), HashMap::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_lie_sealed_and_go_when_they_are_replaced_or_removed() {
    let fixture = Fixture::start().await;
    let vault = fixture.folder.path().join("data/vault");
    let files = || std::fs::read_dir(&vault).unwrap().count();
    set(&fixture, "TOKEN", json!({"value": "first-value"})).await;
    set(&fixture, "TOKEN", json!({"value": "second-value"})).await;
    assert_eq!(files(), 1, "the old value is gone");
    let listed = fixture.get("/api/v1/secrets").await;
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 1);
    let mut everything = listed.to_string().into_bytes();
    for entry in std::fs::read_dir(&vault).unwrap() {
        everything.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    for file in ["journal.db", "journal.db-wal"] {
        everything.extend(std::fs::read(fixture.folder.path().join("data").join(file)).unwrap_or_default());
    }
    assert!(!everything.windows(6).any(|part| part == b"-value"), "no value anywhere in the clear");
    let removed = fixture.call(Method::DELETE, "/api/v1/secrets/token", None).await;
    assert_eq!(removed.status(), StatusCode::OK);
    assert_eq!(files(), 0);
    let again = fixture.call(Method::DELETE, "/api/v1/secrets/token", None).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_goes_when_the_next_leader_begins() {
    let mut fixture = Fixture::start().await;
    set(&fixture, "TOKEN", json!({"value": "v"})).await;
    let stray = fixture.folder.path().join("data/vault/stray.sealed");
    std::fs::write(&stray, b"half").unwrap();
    fixture.kill_and_restart().await;
    assert!(!stray.exists());
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(fetched(&mut agent).await.0, map(&[("TOKEN", "v")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_value_is_told_by_its_name_and_with_what_to_do() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let lease = agent.next_assigned().await.lease;
    let request = v1::FetchSecretsRequest { lease };
    for damage in [false, true] {
        set(&fixture, "TOKEN", json!({"value": "v", "repository": "o/n"})).await;
        let file = std::fs::read_dir(fixture.folder.path().join("data/vault")).unwrap().next();
        let file = file.unwrap().unwrap().path();
        match damage {
            true => std::fs::write(&file, b"damaged").unwrap(),
            false => std::fs::remove_file(&file).unwrap(),
        }
        let lost = agent.client.fetch_secrets(request.clone()).await.unwrap_err();
        assert_eq!(lost.code(), tonic::Code::DataLoss);
        for text in ["TOKEN of o/n", "slipway secrets set", "slipway secrets rm"] {
            assert!(lost.message().contains(text), "{lost}");
        }
    }
    set(&fixture, "TOKEN", json!({"value": "again", "repository": "o/n"})).await;
    let answer = agent.client.fetch_secrets(request).await.unwrap().into_inner();
    assert_eq!(answer.secrets, map(&[("TOKEN", "again")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_names_places_and_values_are_refused() {
    let fixture = Fixture::start().await;
    let long = "x".repeat(49_153);
    for (name, body) in [
        ("1A", json!({"value": "v"})),
        ("GITHUB_TOKEN", json!({"value": "v"})),
        ("A", json!({"value": ""})),
        ("A", json!({"value": long})),
        ("A", json!({"value": "v", "environment": "production"})),
        ("A", json!({"value": "v", "repository": ""})),
        ("A", json!({"value": "v", "repo": "o/n"})),
        ("A", json!({})),
    ] {
        assert!(set(&fixture, name, body).await.is_client_error(), "{name}");
    }
    assert_eq!(fixture.get("/api/v1/secrets").await["secrets"], json!([]));
    let anonymous = fixture.http.get(fixture.url("/api/v1/secrets")).send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_starts_again_on_a_page_gets_what_is_kept_now() {
    let fixture = Fixture::start().await;
    set(&fixture, "TOKEN", json!({"value": "old", "repository": "o/n"})).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let rerun = async |run: &str| {
        let token = browser.form_token(&format!("/runs/{run}")).await;
        browser.post(&format!("/runs/{run}/rerun"), &format!("form_token={token}")).await
    };
    let run = fixture.submit(ONE_JOB).await;
    assert_eq!(fetched(&mut agent).await.0, map(&[("TOKEN", "old")]));
    fixture.finished(&run).await;
    set(&fixture, "TOKEN", json!({"value": "new", "repository": "o/n"})).await;
    assert_eq!(rerun(&run).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(fetched(&mut agent).await.0, map(&[("TOKEN", "new")]));

    // One that was the run's own is gone with it, whatever is kept under its name: another value would be a surprise.
    let mut given = Fixture::submission(ONE_JOB);
    given["secrets"] = json!({"TOKEN": "of the run"});
    let run = fixture.submit_value(given).await;
    assert_eq!(fetched(&mut agent).await.0, map(&[("TOKEN", "of the run")]));
    fixture.finished(&run).await;
    let refused = rerun(&run).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.text().await.unwrap().contains("TOKEN"));
}

async fn rotate(fixture: &Fixture) -> (StatusCode, Value) {
    let answer = fixture.call(Method::POST, "/api/v1/vault/rotate", None).await;
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_sealed_under_a_new_key_and_come_back_after_a_death() {
    let mut fixture = Fixture::start().await;
    let data = fixture.folder.path().join("data");
    let key = || std::fs::read(data.join("vault.key")).unwrap();
    let sealed = || {
        let files = std::fs::read_dir(data.join("vault")).unwrap();
        let mut files: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        files.sort();
        files
    };
    set(&fixture, "A", json!({"value": "one"})).await;
    set(&fixture, "B", json!({"value": "two", "repository": "o/n"})).await;
    let (old_key, before) = (key(), sealed());
    let (status, answer) = rotate(&fixture).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer["sealed"].as_u64().unwrap() >= 2, "{answer}");
    assert_eq!(key().len(), 32);
    assert_ne!(key(), old_key);
    assert_eq!(sealed().len(), before.len());
    assert!(sealed().iter().all(|file| !before.contains(file)), "each was sealed anew");
    set(&fixture, "C", json!({"value": "three"})).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let expected = map(&[("A", "one"), ("B", "two"), ("C", "three")]);
    assert_eq!(fetched(&mut agent).await.0, expected);
    // As a rotation that was killed leaves it: both keys are there, and some values are under the old one.
    std::fs::write(data.join("vault.key"), [[7; 32].to_vec(), key()].concat()).unwrap();
    fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(fetched(&mut agent).await.0, expected);
    assert_eq!(rotate(&fixture).await.0, StatusCode::OK);
    assert_eq!(key().len(), 32);
    let trail = fixture.get("/api/v1/audit").await.to_string();
    assert!(trail.contains("vault.rotate"), "{trail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_opened_keeps_the_old_keys_until_it_is_mended() {
    let fixture = Fixture::start().await;
    let data = fixture.folder.path().join("data");
    set(&fixture, "GOOD", json!({"value": "one"})).await;
    let known: Vec<_> =
        std::fs::read_dir(data.join("vault")).unwrap().map(|file| file.unwrap().path()).collect();
    set(&fixture, "BAD", json!({"value": "two"})).await;
    let files = std::fs::read_dir(data.join("vault")).unwrap().map(|file| file.unwrap().path());
    let bad = files.into_iter().find(|file| !known.contains(file)).unwrap();
    std::fs::write(bad, b"nonsense").unwrap();
    let (status, answer) = rotate(&fixture).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(message.contains("not the secret BAD") && message.contains("rotate again"), "{message}");
    assert_eq!(std::fs::read(data.join("vault.key")).unwrap().len(), 64, "both keys are kept");
    set(&fixture, "BAD", json!({"value": "again"})).await;
    assert_eq!(rotate(&fixture).await.0, StatusCode::OK);
    assert_eq!(std::fs::read(data.join("vault.key")).unwrap().len(), 32);
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(fetched(&mut agent).await.0, map(&[("GOOD", "one"), ("BAD", "again")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_somebody_gives_takes_the_place_of_the_coordinators_own() {
    let mut fixture = Fixture::start().await;
    let data = fixture.folder.path().join("data");
    set(&fixture, "A", json!({"value": "one"})).await;
    let file = fixture.folder.path().join("given.keys");
    std::fs::write(&file, "a1".repeat(32)).unwrap();
    let mut options = (*fixture.handle().services().options).clone();
    options.vault_keys = Some(slipway_coordinator::options::GivenKeys::File(file.clone()));
    fixture.handle = None;
    fixture.start_again(options.clone()).await;
    assert!(data.join("vault.key").exists(), "the value is still under it");
    assert_eq!(rotate(&fixture).await.0, StatusCode::OK);
    assert!(!data.join("vault.key").exists());
    // The file is read again when it is asked for.
    std::fs::write(&file, format!("{}\n{}\n", "b2".repeat(32), "a1".repeat(32))).unwrap();
    assert_eq!(rotate(&fixture).await.0, StatusCode::OK);
    std::fs::write(&file, "nonsense").unwrap();
    let (status, answer) = rotate(&fixture).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer.to_string().contains("its key number 1"), "{answer}");
    std::fs::write(&file, "b2".repeat(32)).unwrap();
    fixture.handle = None;
    fixture.start_again(options).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(fetched(&mut agent).await.0, map(&[("A", "one")]));
}
