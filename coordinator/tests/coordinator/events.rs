//! Events of every kind on real repositories: which commit's workflows run, whom filters let through, what follows from a
//! run's end, and dispatches.

use std::path::Path;
use std::process::Command;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_coordinator::options::{Options, Repository, WebhookSecret};
use slipway_proto::v1;
use tempfile::TempDir;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::Fixture;

const SECRET: &str = "a secret of the test";

/// A repository `o/n` whose webhooks a coordinator takes.
pub(crate) struct Forge {
    pub(crate) fixture: Fixture,
    repository: TempDir,
    deliveries: std::sync::atomic::AtomicU32,
    /// Host of the forge, as payloads name it.
    host: String,
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A workflow of one job with this `on`.
pub(crate) fn workflow(name: &str, on: &str) -> String {
    format!(
        "name: {name}\non: {on}\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo {name}\n"
    )
}

impl Forge {
    pub(crate) async fn new(workflows: &[(&str, &str)]) -> Self {
        let texts: Vec<_> = workflows.iter().map(|(name, on)| (*name, workflow(name, on))).collect();
        Self::with(&texts, "github.com".to_owned(), |_| {}).await
    }

    /// The same with these files, on a forge of this host. What is named `*.yml` is a path, other names are of workflows. A coordinator
    /// that starts looks at the default branch by itself: what it has to know of it is among these files.
    pub(crate) async fn with(
        files: &[(&str, String)],
        host: String,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let repository = tempfile::tempdir().unwrap();
        let folder = repository.path();
        git(folder, &["init", "--quiet", "--initial-branch=main"]);
        git(folder, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let clone_url = format!("file://{}", folder.display());
        for (name, text) in files {
            match name.ends_with(".yml") {
                true => write(folder, name, text),
                false => write(folder, &format!(".github/workflows/{name}.yml"), text),
            }
        }
        write(folder, "code.txt", "1");
        git(folder, &["add", "."]);
        git(folder, &["commit", "--quiet", "--message=Begin"]);
        let fixture = Fixture::start_with(|options| {
            options.webhook.secret = Some(WebhookSecret(SECRET.to_owned()));
            options.webhook.repositories = vec![Repository { name: "o/n".to_owned(), clone_url }];
            change(options);
        })
        .await;
        Self { fixture, repository, deliveries: 0.into(), host }
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(self.repository.path(), arguments)
    }

    pub(crate) fn commit(&self, path: &str, text: &str, message: &str) -> String {
        write(self.repository.path(), path, text);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Delivers an event with these fields and waits until it was dealt with.
    pub(crate) async fn deliver(&self, event: &str, fields: Value) {
        let number = self.deliveries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(self.post(event, &format!("d-{number}"), fields).await, 202, "{event}");
        self.quiet().await;
    }

    /// Posts a delivery; gives the answer's status.
    pub(crate) async fn post(&self, event: &str, id: &str, fields: Value) -> u16 {
        let html_url = format!("https://{}/o/n", self.host);
        let mut payload = json!({
            "repository": {"full_name": "o/n", "name": "n", "default_branch": "main", "html_url": html_url},
            "sender": {"login": "ada"},
        });
        payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.post_payload(event, id, &payload).await
    }

    /// The same of a whole payload.
    pub(crate) async fn post_payload(&self, event: &str, id: &str, payload: &Value) -> u16 {
        let body = serde_json::to_vec(payload).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let request = self.fixture.http.post(self.fixture.url("/webhooks/github")).body(body);
        let request = request.header("x-github-event", event).header("x-github-delivery", id);
        request.header("x-hub-signature-256", signature).send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn push(&self, branch: &str, before: &str, after: &str) {
        let message = self.git(&["log", "-1", "--format=%B", after]);
        let fields = json!({"ref": format!("refs/heads/{branch}"), "before": before, "after": after,
                            "commits": [{"id": after}], "head_commit": {"id": after, "message": message}});
        self.deliver("push", fields).await;
    }

    /// Waits until no delivery is left to deal with.
    pub(crate) async fn quiet(&self) {
        let driver = &self.fixture.handle().services().driver;
        while driver.query(|view| view.ledger.pending().count()).await.unwrap() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// All runs, oldest first.
    pub(crate) async fn runs(&self) -> Vec<Value> {
        let mut runs = self.fixture.get("/api/v1/runs").await["runs"].as_array().unwrap().clone();
        runs.reverse();
        runs
    }

    /// Waits until the default branch was looked at.
    pub(crate) async fn learned(&self) {
        let repositories = self.fixture.handle().services().repositories.clone();
        while repositories.find("o/n").is_none_or(|known| known.standing.is_none()) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Workflow, event, ref and commit of all runs, sorted.
    async fn started(&self) -> Vec<String> {
        let text = |run: &Value, field: &str| run[field].as_str().unwrap().to_owned();
        let one = |run: &Value| {
            ["workflow_name", "event_name", "git_ref", "sha"].map(|field| text(run, field)).join(" ")
        };
        let mut started: Vec<String> = self.runs().await.iter().map(one).collect();
        started.sort();
        started
    }
}

pub(crate) fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_events_run_the_default_branchs_workflows() {
    let forge = Forge::new(&[
        ("issue", "{ issues: { types: [opened] } }"),
        ("comment", "issue_comment"),
        ("custom", "{ repository_dispatch: { types: [go] } }"),
    ])
    .await;
    let main = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["checkout", "--quiet", "-b", "topic"]);
    forge.commit(
        ".github/workflows/comment.yml",
        &workflow("changed", "issue_comment"),
        "Change it on a branch",
    );
    forge.deliver("issues", json!({"action": "opened"})).await;
    forge.deliver("issues", json!({"action": "closed"})).await;
    forge.deliver("issue_comment", json!({"action": "created"})).await;
    forge.deliver("repository_dispatch", json!({"action": "stop", "client_payload": {}})).await;
    forge.deliver("repository_dispatch", json!({"action": "go", "client_payload": {"a": 1}})).await;
    let expected = [
        format!("comment issue_comment refs/heads/main {main}"),
        format!("custom repository_dispatch refs/heads/main {main}"),
        format!("issue issues refs/heads/main {main}"),
    ];
    assert_eq!(forge.started().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_releases_and_merge_groups_run_their_own_commit() {
    let forge = Forge::new(&[("all", "[create, release, merge_group]")]).await;
    let tagged = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["tag", "--annotate", "--message=One", "v1"]);
    forge.commit("code.txt", "2", "Go on");
    forge.git(&["checkout", "--quiet", "-b", "queue"]);
    let queued = forge.commit("code.txt", "3", "Merge");
    forge.deliver("create", json!({"ref": "v1", "ref_type": "tag"})).await;
    forge
        .deliver("release", json!({"action": "published", "release": {"tag_name": "v1", "draft": false}}))
        .await;
    let group = json!({"head_ref": "refs/heads/queue", "head_sha": queued});
    forge.deliver("merge_group", json!({"action": "checks_requested", "merge_group": group})).await;
    let expected = [
        format!("all create refs/tags/v1 {tagged}"),
        format!("all merge_group refs/heads/queue {queued}"),
        format!("all release refs/tags/v1 {tagged}"),
    ];
    assert_eq!(forge.started().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_are_compared_by_git_and_messages_can_skip() {
    let forge = Forge::new(&[("docs", "{ push: { paths: ['docs/**'] } }"), ("any", "push")]).await;
    let begin = forge.git(&["rev-parse", "HEAD"]);
    let docs = forge.commit("docs/a.md", "1", "Write");
    let code = forge.commit("code.txt", "2", "Code");
    // Both commits were pushed at once: what the last one changed alone does not decide.
    forge.push("main", &begin, &code).await;
    assert_eq!(forge.runs().await.len(), 2);
    forge.push("main", &docs, &code).await;
    assert_eq!(forge.runs().await.len(), 3, "the second push changed no document");
    let skipped = forge.commit("docs/b.md", "1", "Write [skip ci]");
    forge.push("main", &code, &skipped).await;
    assert_eq!(forge.runs().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_runs_its_merge_and_compares_from_where_it_left() {
    let forge = Forge::new(&[
        ("pull", "{ pull_request: { paths: [topic.txt] } }"),
        ("other", "{ pull_request: { paths: [base.txt] } }"),
        ("target", "pull_request_target"),
    ])
    .await;
    forge.git(&["checkout", "--quiet", "-b", "topic"]);
    let head = forge.commit("topic.txt", "1", "Topic");
    forge.git(&["checkout", "--quiet", "main"]);
    let base = forge.commit("base.txt", "1", "Base goes on");
    forge.git(&["checkout", "--quiet", "--detach"]);
    forge.git(&["merge", "--quiet", "--no-ff", "--message=Merge", "topic"]);
    let merge = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["update-ref", "refs/pull/5/merge", "HEAD"]);
    forge.git(&["checkout", "--quiet", "main"]);
    let pull = json!({
        "number": 5, "merged": false, "merge_commit_sha": base,
        "head": {"ref": "topic", "sha": head, "repo": {"full_name": "fork/n"}},
        "base": {"ref": "main", "sha": base, "repo": {"full_name": "o/n"}},
    });
    forge.deliver("pull_request", json!({"action": "opened", "number": 5, "pull_request": pull})).await;
    let expected = [
        format!("pull pull_request refs/pull/5/merge {merge}"),
        format!("target pull_request_target refs/heads/main {base}"),
    ];
    assert_eq!(forge.started().await, expected);
    let services = forge.fixture.handle().services().clone();
    let trusts = services.driver.query(|view| {
        let runs = view.state.runs().map(|run| run.meta());
        runs.map(|meta| (meta.workflow_name.clone(), format!("{:?}", meta.trust))).collect::<Vec<_>>()
    });
    for (name, trust) in trusts.await.unwrap() {
        assert_eq!(trust, if name == "pull" { "Untrusted" } else { "Trusted" }, "{name}");
    }

    // A later push to the topic whose message says so.
    forge.git(&["checkout", "--quiet", "topic"]);
    let head = forge.commit("topic.txt", "2", "Topic\n\n[skip ci]");
    let mut pull = pull;
    pull["head"]["sha"] = json!(head);
    forge.deliver("pull_request", json!({"action": "synchronize", "number": 5, "pull_request": pull})).await;
    let events: Vec<Value> = forge.runs().await.iter().map(|run| run["event_name"].clone()).collect();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events.last().unwrap(), "pull_request_target", "which no message skips");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_run_starts_those_that_wait_for_it_and_only_three_in_a_row() {
    let forge = Forge::new(&[
        ("first", "push"),
        ("after", "{ workflow_run: { workflows: [first], types: [completed], branches: [main] } }"),
        ("begun", "{ workflow_run: { workflows: [first], types: [requested] } }"),
        ("running", "{ workflow_run: { workflows: [first], types: [in_progress] } }"),
        ("elsewhere", "{ workflow_run: { workflows: [first], branches: [other] } }"),
        ("forever", "{ workflow_run: { workflows: [after, forever], types: [completed] } }"),
    ])
    .await;
    let main = forge.git(&["rev-parse", "HEAD"]);
    forge.learned().await;
    forge.push("main", &"0".repeat(40), &main).await;
    forge.quiet().await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    let mut done = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..6 {
        let assign = agent.next_assigned().await;
        let spec = agent.spec(&assign).await;
        let github = &spec["contexts"]["github"];
        let name = github["workflow"].as_str().unwrap().to_owned();
        if name == "after" {
            let event = &github["event"];
            assert_eq!(
                (&event["action"], &event["workflow_run"]["name"]),
                (&json!("completed"), &json!("first"))
            );
            assert_eq!(event["workflow_run"]["conclusion"], "success");
            assert_eq!(event["workflow_run"]["head_sha"], json!(main));
            assert_eq!(event["workflow_run"]["head_branch"], "main");
            assert_eq!(event["workflow_run"]["event"], "push");
        }
        *done.entry(name).or_default() += 1;
        agent.report(assign.lease.as_ref().unwrap(), v1::Result::Success, 0).await;
        forge.quiet().await;
    }
    let expected = [("after", 1), ("begun", 1), ("first", 1), ("forever", 2), ("running", 1)];
    assert_eq!(done, expected.map(|(name, count)| (name.to_owned(), count)).into());
    for run in forge.runs().await {
        forge.fixture.finished(run["run"].as_str().unwrap()).await;
    }
    forge.quiet().await;
    assert_eq!(forge.runs().await.len(), 6, "the chain ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_runs_the_named_workflow_at_the_named_ref() {
    let on = "{ workflow_dispatch: { inputs: { level: { type: choice, options: [low, high] }, dry: { type: boolean } } } }";
    let forge = Forge::new(&[("tool", on), ("fixed", "push")]).await;
    // What `HEAD` names then is the default branch.
    forge.learned().await;
    let main = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["checkout", "--quiet", "-b", "topic"]);
    let topic = forge.commit("code.txt", "2", "Topic");
    let post = async |body: Value| {
        let answer = forge.fixture.call(Method::POST, "/api/v1/dispatches", Some(body)).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, body) = post(json!({"workflow": "tool", "inputs": {"level": "high"}})).await;
    assert_eq!(status, 201, "{body}");
    let (status, body) =
        post(json!({"repository": "O/N", "workflow": "tool.yml", "ref": "topic", "inputs": {"dry": "true"}}))
            .await;
    assert_eq!(status, 201, "{body}");
    let expected = [
        format!("tool workflow_dispatch refs/heads/main {main}"),
        format!("tool workflow_dispatch refs/heads/topic {topic}"),
    ];
    assert_eq!(
        forge.started().await.iter().collect::<std::collections::BTreeSet<_>>(),
        expected.iter().collect()
    );
    for (body, status, word) in [
        (json!({"workflow": "nothing"}), 404, "tool.yml"),
        (json!({"workflow": "tool", "ref": "nowhere"}), 404, "`nowhere`"),
        (json!({"workflow": "tool", "ref": "a:b"}), 422, "no ref"),
        (json!({"workflow": "tool", "repository": "x/y"}), 404, "o/n"),
        (json!({"workflow": "fixed"}), 422, "workflow_dispatch"),
        (json!({"workflow": "tool", "inputs": {"level": "middle"}}), 422, "middle"),
        (json!({"workflow": "tool", "inputs": {"zzz": "1"}}), 422, "zzz"),
        (json!({}), 400, "event_type"),
        (json!({"event_type": ""}), 422, "event_type"),
    ] {
        let (found, answer) = post(body.clone()).await;
        assert_eq!(found, status, "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{body}: {answer}");
    }
}
