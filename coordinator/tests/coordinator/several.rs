//! Several coordinators on one journal: one leads, the others follow, pass on, and take over.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use slipway_coordinator::Coordinator;
use slipway_coordinator::journal::memory::MemoryJournal;
use slipway_coordinator::options::{ClusterOptions, Objects, Options};
use slipway_proto::v1;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::fake_agent::{FIRST, FakeAgent, client, hello, line};
use crate::fixture::{Fixture, ONE_JOB, TestClock};
use crate::identity;

/// What several coordinators have in common.
struct Common {
    folder: TempDir,
    journal: MemoryJournal,
}

impl Common {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cluster.key"), "5e".repeat(32)).unwrap();
        Self { folder, journal: MemoryJournal::new() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn start(&self) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::<TestClock>::default();
        let mut options = Options::embedded(folder.path().join("data"));
        options.objects = Some(Objects::Folder(self.path("objects")));
        options.cluster = Some(ClusterOptions {
            key_file: self.path("cluster.key"),
            advertise_http: None,
            advertise_grpc: None,
        });
        let journal = Box::new(self.journal.clone());
        let handle = Coordinator::start_on(Some(journal), options, clock.clone()).await.unwrap();
        Fixture { folder, clock, handle: Some(handle), http: slipway_tests::http_client() }
    }
}

async fn leads(fixture: &Fixture) {
    assert!(fixture.handle().services().driver.leads().await);
}

/// Waits until this coordinator knows the leader.
async fn follows(fixture: &Fixture) {
    while fixture.call(Method::GET, "/readyz", None).await.status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ready = fixture.call(Method::GET, "/readyz", None).await;
    assert_eq!(ready.text().await.unwrap(), "ready, follows\n");
}

/// Every file below a folder that has these bytes in it.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|part| part == bytes) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_matter_which_one_is_asked() {
    let common = Common::new();
    let first = common.start().await;
    leads(&first).await;
    let second = common.start().await;
    follows(&second).await;
    assert_eq!(first.handle().admin_token.reveal(), second.handle().admin_token.reveal());

    let run = second.submit(ONE_JOB).await;
    let mut agent = FakeAgent::connect(first.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let (watched, reported) = tokio::join!(second.events(&run, true), async {
        agent.upload(&lease, 1, vec![line("hello")]).await;
        agent.report(&lease, v1::Result::Success, 1).await;
        agent.accepted().await
    });
    assert_eq!(reported, lease);
    assert!(watched.iter().any(|event| event["line"] == "hello"), "{watched:?}");
    assert_eq!(watched.last().unwrap()["result"], "success");
    assert_eq!(second.finished(&run).await["result"], "success");

    let rebuilt = second.call(Method::POST, "/api/v1/history/rebuild", None).await.text().await.unwrap();
    let last: Value = serde_json::from_str(rebuilt.lines().last().unwrap()).unwrap();
    assert_eq!(last["done"]["runs"], 1, "{last}");

    // The list is the follower's own; it keeps up by itself.
    loop {
        let listed = second.get("/api/v1/runs").await;
        if listed["runs"][0]["result"] == "success" {
            assert_eq!(listed["runs"][0]["run"], run.as_str());
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let wrong = second.http.get(second.url("/api/v1/agents")).bearer_auth("wrong").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED, "the leader checks what is passed on");
    let agents = second.get("/api/v1/agents").await;
    assert_eq!(agents["agents"].as_array().unwrap().len(), 1, "{agents}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_told_where_the_leader_is() {
    let common = Common::new();
    let first = common.start().await;
    leads(&first).await;
    let second = common.start().await;
    follows(&second).await;
    let (here, token) = (second.handle().grpc_addr, second.handle().agent_token.reveal());
    let refused = client(here, token).await.get_blob(v1::GetBlobRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let leader = refused.metadata().get("slipway-leader").unwrap().to_str().unwrap();
    assert_eq!(leader, format!("http://{}", first.handle().grpc_addr));
    let wrong = client(here, "wrong").await.get_blob(v1::GetBlobRequest::default()).await.unwrap_err();
    assert_eq!(wrong.code(), tonic::Code::Unauthenticated);
    assert!(wrong.metadata().get("slipway-leader").is_none());
    // Only the leader knows who enrolled a moment ago.
    let enrolled =
        client(here, "slipagent_0").await.get_blob(v1::GetBlobRequest::default()).await.unwrap_err();
    assert_eq!(enrolled.code(), tonic::Code::Unavailable);
    assert!(enrolled.metadata().get("slipway-leader").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_on_under_the_next_leader_with_its_lease_records_and_secrets() {
    let common = Common::new();
    let mut first = common.start().await;
    leads(&first).await;
    let second = common.start().await;
    follows(&second).await;
    let mut submission = Fixture::submission(ONE_JOB);
    submission["secrets"] = serde_json::json!({"TOKEN": "s3cret-of-the-run"});
    let run = first.submit_value(submission).await;
    let mut agent = FakeAgent::connect(first.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.upload(&lease, 1, vec![line("one"), line("two")]).await;
    assert_eq!(files_with(&common.path("objects"), b"s3cret-of-the-run"), Vec::<std::path::PathBuf>::new());

    first.handle = None;
    leads(&second).await;
    assert_eq!(second.handle().services().driver.epoch(), 2);
    let mut agent = FakeAgent::connect_with(second.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
    assert_eq!((agent.welcome.epoch, &agent.welcome.kept), (2, &vec![lease.clone()]));
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    let secrets = agent.client.fetch_secrets(request).await.unwrap().into_inner();
    assert_eq!(secrets.secrets["TOKEN"], "s3cret-of-the-run");
    agent.upload(&lease, 3, vec![line("three")]).await;
    agent.report(&lease, v1::Result::Success, 3).await;
    assert_eq!(agent.accepted().await, lease);
    let shown = second.finished(&run).await;
    assert_eq!(
        (shown["result"].as_str(), shown["instances"][0]["attempt"].as_u64()),
        (Some("success"), Some(1))
    );
    let lines: Vec<Value> = second.events(&run, false).await;
    let lines: Vec<&str> = lines.iter().filter_map(|event| event["line"].as_str()).collect();
    assert_eq!(lines, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_tokens_are_signed_with_the_same_key_under_the_next_leader() {
    let common = Common::new();
    let mut first = common.start().await;
    leads(&first).await;
    let second = common.start().await;
    follows(&second).await;
    first.submit(identity::DEPLOY).await;
    let mut agent = FakeAgent::connect(first.handle(), FIRST).await;
    let job = identity::next_job(&mut agent).await;
    let before = identity::token(&mut agent, &job, "").await;
    let keys = identity::published(&first).await;
    assert_eq!(identity::published(&second).await, keys, "a follower asks the leader");

    first.handle = None;
    leads(&second).await;
    assert_eq!(identity::published(&second).await, keys);
    let held = hello(FIRST, 4, vec![job.lease.clone()]);
    let mut agent = FakeAgent::connect_with(second.handle(), held).await;
    // The token with which the job's processes ask is good for the next leader, too.
    let after = identity::token(&mut agent, &job, "").await;
    let header = |token: &str| token.split('.').next().map(str::to_owned);
    assert_eq!(header(&after), header(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_between_two_leaders_is_asked_to_come_again() {
    let common = Common::new();
    let mut first = common.start().await;
    leads(&first).await;
    let second = common.start().await;
    follows(&second).await;
    first.handle = None;
    let mut answers = Vec::new();
    loop {
        let answer = second.call(Method::POST, "/api/v1/runs", Some(Fixture::submission(ONE_JOB))).await;
        match answer.status() {
            StatusCode::CREATED => break,
            StatusCode::SERVICE_UNAVAILABLE => {
                assert_eq!(answer.headers()["retry-after"], "1");
                let body: Value = answer.json().await.unwrap();
                answers.push(body["error"]["code"].as_str().unwrap().to_owned());
            }
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answers.iter().all(|code| code == "no_leader"), "{answers:?}");
    assert_eq!(second.get("/api/v1/runs").await["runs"].as_array().unwrap().len(), 1);
}

/// Signed in at one of them is signed in at all, also when another one leads; and what a follower passes on is the leader's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_in_at_one_is_signed_in_at_all() {
    let common = Common::new();
    let mut first = common.start().await;
    leads(&first).await;
    let second = common.start().await;
    follows(&second).await;
    let run = first.submit(ONE_JOB).await;
    let browser = Browser::signed_in(second.handle()).await;
    let page = format!("/runs/{run}");
    let form = format!("form_token={}", browser.form_token(&page).await);
    assert_eq!(browser.at(first.handle()).page("/session").await, "yes");
    assert_eq!(browser.post(&format!("{page}/cancel"), &form).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(first.finished(&run).await["result"], "cancelled");
    let trail = first.get("/api/v1/audit").await;
    let cancelled = trail["entries"].as_array().unwrap().iter().find(|entry| entry["action"] == "run.cancel");
    let source = cancelled.unwrap()["source"].as_str().unwrap();
    assert!(source.starts_with("page 127.0.0.1 by way of "), "{source}");

    first.handle = None;
    // Between two leaders a person is told so, on a page.
    loop {
        let answer = browser.get(&page).await;
        match answer.status() {
            StatusCode::OK => break,
            StatusCode::SERVICE_UNAVAILABLE => {
                let text = answer.text().await.unwrap();
                assert!(text.contains("<h1>") && text.contains("No coordinator leads"), "{text}");
            }
            other => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(browser.page(&page).await.contains("Re-run all jobs"));
}
