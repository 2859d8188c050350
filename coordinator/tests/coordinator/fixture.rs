//! A coordinator of a test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use slipway_coordinator::options::Options;
use slipway_coordinator::{Coordinator, Handle};
use slipway_kit::clock::{Clock, SystemClock};
use tempfile::TempDir;

/// Clocks that a test puts forward.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    ahead_ms: AtomicU64,
}

impl TestClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }
    fn boottime_ms(&self) -> u64 {
        SystemClock.boottime_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }
}

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) handle: Option<Handle>,
    pub(crate) http: reqwest::Client,
}

pub(crate) const ONE_JOB: &str = "name: One\non: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - name: Hello\n        run: echo hello\n";

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::<TestClock>::default();
        let mut options = Options::embedded(folder.path().join("data"));
        change(&mut options);
        let handle = Coordinator::start_with_clock(options, clock.clone()).await.unwrap();
        Self { folder, clock, handle: Some(handle), http: slipway_tests::http_client() }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    /// Ends the coordinator as a kill would, without a word, and starts another on the same data.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill_and_restart_with(|_| {}).await;
    }

    pub(crate) async fn stop_and_restart(&mut self) {
        let options = (*self.handle().services().options).clone();
        self.handle.take().unwrap().shutdown().await;
        self.start_again(options).await;
    }

    /// The same with other options, which it keeps.
    pub(crate) async fn kill_and_restart_with(&mut self, change: impl FnOnce(&mut Options)) {
        let mut options = (*self.handle().services().options).clone();
        self.handle = None;
        change(&mut options);
        self.start_again(options).await;
    }

    /// Stops it, removes this part of its data, and starts it again.
    pub(crate) async fn stop_and_remove(&mut self, part: &str) {
        let options = (*self.handle().services().options).clone();
        self.handle.take().unwrap().shutdown().await;
        std::fs::remove_dir_all(options.data_dir.join(part)).unwrap();
        self.start_again(options).await;
    }

    /// What is dropped gives its files back as soon as its tasks and thread have noticed.
    pub(crate) async fn start_again(&mut self, options: Options) {
        for _ in 0..500 {
            match Coordinator::start_with_clock(options.clone(), self.clock.clone()).await {
                Ok(handle) => {
                    self.handle = Some(handle);
                    return;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("the data directory was never given back");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.handle().http_addr)
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        self.call_with(self.handle().admin_token.reveal(), method, path, body).await
    }

    pub(crate) async fn call_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    pub(crate) fn submission(workflow: &str) -> Value {
        json!({
            "workflow_file": ".github/workflows/ci.yml", "workflow": workflow, "event_name": "push",
            "event": {"ref": "refs/heads/main"}, "repository": "o/n", "git_ref": "refs/heads/main",
            "sha": "a".repeat(40), "actor": "ada",
        })
    }

    pub(crate) async fn submit(&self, workflow: &str) -> String {
        self.submit_value(Self::submission(workflow)).await
    }

    pub(crate) async fn submit_value(&self, submission: Value) -> String {
        let answer = self.call(Method::POST, "/api/v1/runs", Some(submission)).await;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 201, "{body}");
        body["run"].as_str().unwrap().to_owned()
    }

    /// Waits until the run is as wanted.
    pub(crate) async fn run_until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..3_000 {
            let shown = self.get(&format!("/api/v1/runs/{run}")).await;
            if wanted(&shown) {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the run never came so far: {:#}", self.get(&format!("/api/v1/runs/{run}")).await);
    }

    pub(crate) async fn finished(&self, run: &str) -> Value {
        self.run_until(run, |shown| shown["state"] == "finished").await
    }

    /// The lines of the run's stream.
    pub(crate) async fn events(&self, run: &str, follow: bool) -> Vec<Value> {
        let answer =
            self.call(Method::GET, &format!("/api/v1/runs/{run}/events?follow={follow}"), None).await;
        let text = answer.text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
