//! GitHub's webhook with a real repository, at a configured clone URL.

use std::path::Path;
use std::process::Command;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_coordinator::options::{Repository, WebhookSecret};
use tempfile::TempDir;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::{Fixture, ONE_JOB};

const SECRET: &str = "a secret of the test";

struct Forge {
    fixture: Fixture,
    commit: String,
    _repository: TempDir,
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Forge {
    async fn new() -> Self {
        let repository = tempfile::tempdir().unwrap();
        let folder = repository.path();
        git(folder, &["init", "--quiet", "--initial-branch=main"]);
        std::fs::create_dir_all(folder.join(".github/workflows")).unwrap();
        std::fs::write(folder.join(".github/workflows/ci.yml"), ONE_JOB).unwrap();
        std::fs::write(folder.join(".github/workflows/broken.yml"), "on: push\njobs: 7\n").unwrap();
        std::fs::write(
            folder.join(".github/workflows/other.yaml"),
            ONE_JOB.replace("on: push", "on: release"),
        )
        .unwrap();
        git(folder, &["add", "."]);
        git(folder, &["commit", "--quiet", "--message=Begin"]);
        git(folder, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let commit = git(folder, &["rev-parse", "HEAD"]);
        let clone_url = format!("file://{}", folder.display());
        let fixture = Fixture::start_with(|options| {
            options.webhook.secret = Some(WebhookSecret(SECRET.to_owned()));
            options.webhook.repositories = vec![Repository { name: "o/n".to_owned(), clone_url }];
        })
        .await;
        Self { fixture, commit, _repository: repository }
    }

    fn push(&self) -> Value {
        json!({"ref": "refs/heads/main", "after": self.commit, "repository": {"full_name": "o/n"}, "sender": {"login": "ada"}})
    }

    async fn deliver(&self, id: &str, event: &str, body: Vec<u8>, secret: Option<&str>) -> Response {
        let mut request = self.fixture.http.post(self.fixture.url("/webhooks/github"));
        request = request.header("x-github-event", event).header("x-github-delivery", id);
        if let Some(secret) = secret {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(&body);
            let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
            request = request.header("x-hub-signature-256", signature);
        }
        request.body(body).send().await.unwrap()
    }

    async fn runs(&self) -> Vec<Value> {
        self.fixture.get("/api/v1/runs").await["runs"].as_array().unwrap().clone()
    }

    /// Waits until no delivery is left to deal with.
    async fn quiet(&self) {
        let driver = &self.fixture.handle().services().driver;
        while driver.query(|view| view.ledger.pending().count()).await.unwrap() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_push_starts_each_workflow_that_it_triggers_once() {
    let mut forge = Forge::new().await;
    let body = serde_json::to_vec(&forge.push()).unwrap();
    let first = forge.deliver("d-1", "push", body.clone(), Some(SECRET)).await;
    assert_eq!(first.status(), 202);
    forge.quiet().await;
    let runs = forge.runs().await;
    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_eq!((&runs[0]["sha"], &runs[0]["actor"]), (&json!(forge.commit), &json!("ada")));
    assert_eq!(runs[0]["workflow_file"], ".github/workflows/ci.yml");
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    let assign = agent.assigned().await;
    let spec = agent.spec(&assign).await;
    assert_eq!((&spec["source"]["kind"], &spec["source"]["sha"]), (&json!("git"), &json!(forge.commit)));

    assert_eq!(forge.deliver("d-1", "push", body.clone(), Some(SECRET)).await.status(), 200);
    forge.fixture.kill_and_restart().await;
    assert_eq!(forge.deliver("d-1", "push", body, Some(SECRET)).await.status(), 200);
    forge.quiet().await;
    assert_eq!(forge.runs().await.len(), 1);
    assert_eq!(forge.deliver("d-2", "ping", b"{}".to_vec(), Some(SECRET)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_or_too_large_does_nothing() {
    let forge = Forge::new().await;
    let body = serde_json::to_vec(&forge.push()).unwrap();
    for secret in [None, Some("another secret")] {
        assert_eq!(forge.deliver("d-1", "push", body.clone(), secret).await.status(), 401);
    }
    let huge = forge.deliver("d-1", "push", vec![b' '; 26 << 20], Some(SECRET)).await;
    assert_eq!(huge.status(), 413);
    assert_eq!(forge.deliver("d-1", "push", b"not json".to_vec(), Some(SECRET)).await.status(), 400);
    forge.quiet().await;
    assert!(forge.runs().await.is_empty());

    // None of it used the delivery's id up.
    assert_eq!(forge.deliver("d-1", "push", body, Some(SECRET)).await.status(), 202);
    forge.quiet().await;
    assert_eq!(forge.runs().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_no_webhook_is_accepted() {
    let fixture = Fixture::start().await;
    let request = fixture.http.post(fixture.url("/webhooks/github")).header("x-github-event", "push");
    assert_eq!(request.body("{}").send().await.unwrap().status(), 403);
}
