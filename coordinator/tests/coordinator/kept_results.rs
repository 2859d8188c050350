//! A results store that outlives its coordinators, as the private fleets of `slipway run` have it.

use reqwest::StatusCode;
use serde_json::{Value, json};
use slipway_coordinator::options::KeptResults;
use slipway_proto::v1;

use crate::clients::token;
use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::{Fixture, ONE_JOB};

const SERVICES: &str = "/twirp/github.actions.results.api.v1";

/// One run on a coordinator with data of its own, and this store.
struct Fleet {
    fixture: Fixture,
    _agent: FakeAgent,
    attempt: v1::AttemptRef,
    token: String,
}

impl Fleet {
    async fn start(store: &std::path::Path, number: u64, run_attempt: u64, repeatable: &[u64]) -> Self {
        let runs = repeatable.iter().map(|number| ("ci.yml".to_owned(), *number)).collect();
        let kept = KeptResults { folder: store.to_owned(), runs };
        let fixture = Fixture::start_with(|options| options.results = Some(kept)).await;
        let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
        let mut submission = Fixture::submission(ONE_JOB);
        submission["workflow_file"] = json!("ci.yml");
        submission["git_ref"] = json!("refs/heads/main");
        submission["run_number"] = json!(number);
        submission["run_attempt"] = json!(run_attempt);
        let run = fixture.submit_value(submission).await;
        let shown = fixture.get(&format!("/api/v1/runs/{run}")).await;
        assert_eq!((&shown["run_number"], &shown["run_attempt"]), (&json!(number), &json!(run_attempt)));
        let lease = agent.next_assigned().await.lease.unwrap();
        let token = token(&mut agent, &lease).await;
        Fleet { fixture, _agent: agent, attempt: lease.attempt.unwrap(), token }
    }

    async fn call(&self, method: &str, more: Value) -> Value {
        let mut body = json!({});
        if method.contains("Artifact") {
            body = json!({
                "workflow_run_backend_id": self.attempt.run_id,
                "workflow_job_run_backend_id": self.attempt.instance_id,
            });
        }
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let address = self.fixture.url(&format!("{SERVICES}.{method}"));
        let answer = self.fixture.http.post(address).bearer_auth(&self.token).json(&body).send().await;
        answer.unwrap().json().await.unwrap()
    }

    async fn put(&self, begun: &Value, bytes: &'static str) {
        let address = begun["signed_upload_url"].as_str().unwrap_or_else(|| panic!("{begun}"));
        let answer = self.fixture.http.put(address).body(bytes).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    async fn upload(&self, bytes: &'static str) -> Value {
        self.put(
            &self.call("ArtifactService/CreateArtifact", json!({"name": "n", "version": 4})).await,
            bytes,
        )
        .await;
        let size = bytes.len().to_string();
        self.call("ArtifactService/FinalizeArtifact", json!({"name": "n", "size": size})).await
    }

    async fn artifacts(&self) -> usize {
        let listed = self.call("ArtifactService/ListArtifacts", json!({})).await;
        listed["artifacts"].as_array().unwrap_or_else(|| panic!("{listed}")).len()
    }
}

fn uploads(store: &std::path::Path) -> usize {
    std::fs::read_dir(store.join("data")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_and_the_artifacts_of_runs_that_can_be_repeated_stay() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let first = Fleet::start(store, 1, 1, &[1]).await;
    let entry = json!({"key": "k", "version": "v"});
    first.put(&first.call("CacheService/CreateCacheEntry", entry.clone()).await, "cached").await;
    let size = json!({"key": "k", "version": "v", "size_bytes": "6"});
    assert_eq!(first.call("CacheService/FinalizeCacheEntryUpload", size).await["ok"], true);
    assert_eq!(first.upload("abc").await["ok"], true);
    // The fleet is killed while it uploads.
    first
        .put(&first.call("CacheService/CreateCacheEntry", json!({"key": "half", "version": "v"})).await, "ha")
        .await;
    drop(first);
    assert_eq!(uploads(store), 3);

    let again = Fleet::start(store, 1, 2, &[1]).await;
    again.fixture.handle().services().results.sweep(1 << 40).await.unwrap();
    assert_eq!(uploads(store), 2, "what was not finished is gone");
    let found = again.call("CacheService/GetCacheEntryDownloadURL", entry.clone()).await;
    assert_eq!(found["matched_key"], "k", "{found}");
    assert_eq!(again.artifacts().await, 1, "of the attempt before");
    assert_eq!(again.upload("abcd").await["ok"], true, "a name is used once in an attempt");
    assert_eq!(again.artifacts().await, 2);
    drop(again);

    let next = Fleet::start(store, 2, 1, &[2]).await;
    assert_eq!(next.artifacts().await, 0);
    assert_eq!(uploads(store), 1, "no run can ask for those of the first again");
    let found = next.call("CacheService/GetCacheEntryDownloadURL", entry).await;
    let bytes = next.fixture.http.get(found["signed_download_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(bytes.text().await.unwrap(), "cached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_nobody_can_count_on_from_is_refused() {
    let fixture = Fixture::start().await;
    for field in ["run_number", "run_attempt"] {
        let mut submission = Fixture::submission(ONE_JOB);
        submission[field] = json!(u64::MAX);
        let answer = fixture.call(reqwest::Method::POST, "/api/v1/runs", Some(submission)).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains(field));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_keeps_nobody_from_running() {
    let store = tempfile::tempdir().unwrap();
    std::fs::write(store.path().join("index.sqlite"), "no database, but long enough to look like one")
        .unwrap();
    let fleet = Fleet::start(store.path(), 1, 1, &[]).await;
    assert_eq!(fleet.upload("abc").await["ok"], true);
    assert_eq!(fleet.artifacts().await, 1);
    assert_eq!(uploads(&fleet.fixture.folder.path().join("data/objects/results")), 1, "in its own store");
}
