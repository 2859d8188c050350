//! Caches and artifacts of several coordinators that share nothing but a PostgreSQL server and an object store.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_cas::objects::Bucket;
use slipway_cas::objects::object_store::ObjectStoreExt as _;
use slipway_coordinator::options::{ClusterOptions, JournalPlace, Objects, Options};
use slipway_coordinator::results::limits::OBJECT_BYTES;
use slipway_coordinator::{Coordinator, backup};
use slipway_proto::v1;
use slipway_tests::postgres::PostgresServer;
use tempfile::TempDir;

use crate::clients::{job, token};
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, TestClock};
use crate::results::{ARTIFACTS, call, create, finalize, find, job_on, put, save};
use crate::s3::S3;

const BUCKET: &str = "s3://logs/team";

/// What all have.
struct Site {
    postgres: PostgresServer,
    s3: S3,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cluster.key"), "5e".repeat(32)).unwrap();
        Self { postgres: PostgresServer::start(), s3: S3::start().await, folder }
    }

    fn bucket(&self) -> Objects {
        Objects::Bucket(self.s3.address(BUCKET))
    }

    fn options(&self, data_dir: &Path, objects: Objects) -> Options {
        let mut options = Options::embedded(data_dir);
        options.journal = JournalPlace::parse(&self.postgres.url("")).unwrap();
        options.objects = Some(objects);
        options.cluster = Some(ClusterOptions {
            key_file: self.folder.path().join("cluster.key"),
            advertise_http: None,
            advertise_grpc: None,
        });
        options
    }

    async fn start(&self, objects: Objects) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::<TestClock>::default();
        let options = self.options(&folder.path().join("data"), objects);
        let handle = Coordinator::start_with_clock(options, clock.clone()).await.unwrap();
        Fixture { folder, clock, handle: Some(handle), http: slipway_tests::http_client() }
    }

    /// One that leads and one that follows.
    async fn two(&self) -> (Fixture, Fixture) {
        let first = self.start(self.bucket()).await;
        assert!(first.handle().services().driver.leads().await);
        let second = self.start(self.bucket()).await;
        while second.call(Method::GET, "/readyz", None).await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (first, second)
    }

    /// Waits until the bucket has what is wanted of caches and artifacts.
    async fn objects_until(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        for _ in 0..600 {
            let names = self.s3.names("results").await;
            if wanted(&names) {
                return names;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never came so far: {:?}", self.s3.names("results").await);
    }
}

/// Waits until a coordinator leads and its doors are open.
async fn takes_over(fixture: &Fixture) {
    assert!(fixture.handle().services().driver.leads().await);
    while fixture.call(Method::GET, "/readyz", None).await.text().await.unwrap() != "ready\n" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn downloaded(fixture: &Fixture, address: &str) -> String {
    let answer = fixture.http.get(address).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

async fn restored(fixture: &Fixture, token: &str, key: &str) -> Option<String> {
    let found = find(fixture, token, key, &[]).await;
    let address = found["signed_download_url"].as_str().filter(|_| found["ok"] == true)?;
    Some(downloaded(fixture, address).await)
}

fn ids(lease: &v1::Lease, more: Value) -> Value {
    let attempt = lease.attempt.clone().unwrap();
    let mut body = json!({
        "workflow_run_backend_id": attempt.run_id, "workflow_job_run_backend_id": attempt.instance_id,
        "name": "n", "version": 4,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn artifact(fixture: &Fixture, token: &str, lease: &v1::Lease) -> String {
    let path = format!("{ARTIFACTS}/GetSignedArtifactURL");
    let (_, signed) = call(fixture, token, &path, ids(lease, json!({}))).await;
    downloaded(fixture, signed["signed_url"].as_str().unwrap()).await
}

/// Every file of caches and artifacts in a data directory.
fn files(fixture: &Fixture) -> Vec<std::path::PathBuf> {
    let results = fixture.folder.path().join("data/objects/results");
    std::fs::read_dir(results).map_or(Vec::new(), |entries| entries.map(|it| it.unwrap().path()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_saves_the_other_restores_and_so_does_the_next_leader() {
    let site = Site::new().await;
    let (mut first, second) = site.two().await;
    let mut submission = Fixture::submission(crate::fixture::ONE_JOB);
    submission["secrets"] = json!({"TOKEN": "s3cret-of-the-run"});
    let mut agent = FakeAgent::connect(first.handle(), FIRST).await;
    let run = second.submit_value(submission).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.keep(&lease);
    let token = token(&mut agent, &lease).await;

    save(&second, &token, "deps", "saved through the follower").await;
    for fixture in [&first, &second] {
        assert_eq!(restored(fixture, &token, "deps").await.unwrap(), "saved through the follower");
    }
    let path = |method: &str| format!("{ARTIFACTS}/{method}");
    let (_, begun) = call(&first, &token, &path("CreateArtifact"), ids(&lease, json!({}))).await;
    let content = "uploaded through the leader";
    assert_eq!(put(&first, begun["signed_upload_url"].as_str().unwrap(), "", content).await.status(), 201);
    let finish = ids(&lease, json!({"size": content.len().to_string()}));
    assert_eq!(call(&first, &token, &path("FinalizeArtifact"), finish).await.1["ok"], true);
    assert_eq!(artifact(&second, &token, &lease).await, content);
    let usage = second.get("/api/v1/cache").await["repositories"].clone();
    assert_eq!((&usage[0]["caches"], &usage[0]["artifacts"]), (&json!(1), &json!(1)), "{usage}");

    // Under way when the leader dies.
    let (_, half) = create(&first, &token, "half").await;
    let half = half["signed_upload_url"].as_str().unwrap();
    assert_eq!(put(&first, half, "&comp=block&blockid=YQ%3D%3D", "half").await.status(), 201);
    let before = first.url("");
    first.handle = None;
    takes_over(&second).await;
    let mut agent = FakeAgent::connect_with(second.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
    assert_eq!(agent.welcome.kept, std::slice::from_ref(&lease));
    agent.keep(&lease);
    assert_eq!(self::token(&mut agent, &lease).await, token, "the token is the cluster's");
    let secrets = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    let secrets = agent.client.fetch_secrets(secrets).await.unwrap().into_inner().secrets;
    assert_eq!(secrets["TOKEN"], "s3cret-of-the-run");
    assert_eq!(restored(&second, &token, "deps").await.unwrap(), "saved through the follower");
    assert_eq!(artifact(&second, &token, &lease).await, content);
    assert_eq!(restored(&second, &token, "half").await, None);
    let list = "<BlockList><Latest>YQ==</Latest></BlockList>";
    let half = half.replace(&before, &second.url(""));
    assert_eq!(put(&second, &half, "&comp=blocklist", list).await.status(), 201);
    assert_eq!(finalize(&second, &token, "half", 4).await.1["ok"], true);
    assert_eq!(restored(&second, &token, "half").await.unwrap(), "half");

    // Nothing of it is on a coordinator's own disk, and the secrets are sealed where they are.
    for fixture in [&first, &second] {
        assert_eq!(files(fixture), Vec::<std::path::PathBuf>::new());
    }
    let secrets = site.s3.names("secrets").await;
    assert_eq!(secrets, [format!("secrets/{run}.json")]);
    let bucket = Bucket::open(&site.s3.address(BUCKET)).unwrap();
    let sealed = bucket.store().get(&secrets[0].as_str().into()).await.unwrap().bytes().await.unwrap();
    assert!(!sealed.windows(6).any(|part| part == b"s3cret"));

    // A backup has the index; with the same object store a machine that stands alone has all of it again.
    let answer = second.call(Method::GET, "/api/v1/backup", None).await;
    let file = site.folder.path().join("backup.tar");
    std::fs::write(&file, answer.bytes().await.unwrap()).unwrap();
    drop((first, second));
    let folder = tempfile::tempdir().unwrap();
    backup::restore(&file, &folder.path().join("data")).unwrap();
    let clock = Arc::<TestClock>::default();
    let mut options = Options::embedded(folder.path().join("data"));
    options.objects = Some(site.bucket());
    let handle = Coordinator::start_with_clock(options, clock.clone()).await.unwrap();
    let alone = Fixture { folder, clock, handle: Some(handle), http: slipway_tests::http_client() };
    let mut agent = FakeAgent::connect_with(alone.handle(), hello(FIRST, 4, vec![lease])).await;
    let (_, token) = job_on(&alone, &mut agent, "refs/heads/main", json!({})).await;
    assert_eq!(restored(&alone, &token, "deps").await.unwrap(), "saved through the follower");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_save_the_same_key_at_once_one_wins() {
    let site = Site::new().await;
    let (first, second) = site.two().await;
    let mut agent = FakeAgent::connect_with(first.handle(), hello(FIRST, 8, Vec::new())).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let (lease, token) = job_on(&first, &mut agent, "refs/heads/main", json!({})).await;
        agent.keep(&lease);
        tokens.push(token);
    }
    for number in 0..20 {
        let key = format!("k{number}");
        let (one, other) = tokio::join!(create(&first, &tokens[0], &key), create(&second, &tokens[1], &key));
        let mut statuses = [one.0, other.0];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT], "{one:?} {other:?}");
        let (winner, begun) = if one.0 == StatusCode::OK { (0, one.1) } else { (1, other.1) };
        let address = begun["signed_upload_url"].as_str().unwrap();
        assert_eq!(put(&first, address, "", "of the winner").await.status(), 201);
        assert_eq!(finalize(&second, &tokens[1 - winner], &key, 13).await.0, StatusCode::NOT_FOUND);
        assert_eq!(finalize(&second, &tokens[winner], &key, 13).await.1["ok"], true);
        assert_eq!(restored(&first, &tokens[1 - winner], &key).await.unwrap(), "of the winner");
    }
}

/// The leader as a process of its own, which can be killed.
struct Process {
    child: Child,
    grpc: SocketAddr,
    data_dir: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Site {
    /// Starts a process, and waits until it leads.
    async fn start_process(&self) -> Process {
        let data_dir = tempfile::tempdir().unwrap();
        let (http, grpc) = (slipway_tests::free_port(), slipway_tests::free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_slipway-coordinator"))
            .arg("--data-dir")
            .arg(data_dir.path())
            .args(["--journal", &self.postgres.url(""), "--objects", BUCKET])
            .arg("--cluster-key-file")
            .arg(self.folder.path().join("cluster.key"))
            .args(["--http", &format!("127.0.0.1:{http}"), "--grpc", &format!("127.0.0.1:{grpc}")])
            .envs(self.s3.address(BUCKET).settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process { child, grpc: SocketAddr::from(([127, 0, 0, 1], grpc)), data_dir };
        for _ in 0..1_200 {
            let ready =
                slipway_tests::http_client().get(format!("http://127.0.0.1:{http}/readyz")).send().await;
            if ready.is_ok_and(|answer| answer.status() == 200) {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never got ready");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_coordinator_left_is_not_seen_and_goes() {
    let site = Site::new().await;
    let mut first = site.start_process().await;
    // Whatever is asked of this one goes to the leader.
    let second = site.start(site.bucket()).await;
    while second.call(Method::GET, "/readyz", None).await.status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let agent_token = std::fs::read_to_string(first.data_dir.path().join("agent.token")).unwrap();
    assert_eq!(agent_token.trim(), second.handle().agent_token.reveal());
    let mut agent = FakeAgent::connect_at(first.grpc, agent_token.trim(), hello(FIRST, 4, Vec::new())).await;
    let (lease, token) = job_on(&second, &mut agent, "refs/heads/main", json!({})).await;
    agent.keep(&lease);
    save(&second, &token, "kept", "kept").await;

    // A block is on its way, and the first of its objects has arrived.
    let (_, begun) = create(&second, &token, "half").await;
    let address = begun["signed_upload_url"].as_str().unwrap().to_owned();
    assert_eq!(put(&second, &address, "&comp=block&blockid=YQ%3D%3D", "a whole block").await.status(), 201);
    let (body, pieces) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(4);
    let (http, url) = (second.http.clone(), format!("{address}&comp=block&blockid=Yg%3D%3D"));
    let sending = tokio::spawn(async move {
        let stream = tokio_stream::wrappers::ReceiverStream::new(pieces);
        http.put(url).body(reqwest::Body::wrap_stream(stream)).send().await
    });
    for _ in 0..(OBJECT_BYTES >> 20) + 1 {
        body.send(Ok(vec![7; 1 << 20])).await.unwrap();
    }
    let before = site.objects_until(|names| names.len() == 3).await;
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    drop(body);
    let answer = sending.await.unwrap();
    assert!(answer.is_err() || answer.unwrap().status() != 201);
    takes_over(&second).await;
    let mut agent = FakeAgent::connect_with(second.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
    assert_eq!(agent.welcome.kept, std::slice::from_ref(&lease));
    assert_eq!(restored(&second, &token, "half").await, None);
    assert_eq!(restored(&second, &token, "kept").await.unwrap(), "kept");
    // For all that this leader knows another coordinator is about to name what it finds.
    assert_eq!(site.s3.names("results").await, before);

    // The job ends without its entry, and the space of what it sent returns.
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
    second.handle().services().results.sweep(1 << 40).await.unwrap();
    site.objects_until(|names| names.len() == 1).await;
    let (_, token) = job_on(&second, &mut agent, "refs/heads/main", json!({})).await;
    assert_eq!(restored(&second, &token, "kept").await.unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_nobody_ever_named_go_after_a_day() {
    let site = Site::new().await;
    let (mut first, second) = site.two().await;
    let (agent, _lease, token) = job(&first).await;
    save(&first, &token, "kept", "kept").await;
    // As one leaves it that was killed between an object and its row, of an upload that nobody knows any more.
    let bucket = Bucket::open(&site.s3.address(BUCKET)).unwrap();
    let lost = format!("results/77/{}-{OBJECT_BYTES}/0", "ab".repeat(16));
    bucket.store().put(&lost.as_str().into(), "lost".into()).await.unwrap();
    first.handle = None;
    takes_over(&second).await;
    second.handle().services().results.sweep(1 << 40).await.unwrap();
    assert!(site.s3.names("results").await.contains(&lost), "it is too young");
    drop((agent, second));
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::<TestClock>::default();
    clock.advance(25 * 3_600_000);
    let options = site.options(&folder.path().join("data"), site.bucket());
    let handle = Coordinator::start_with_clock(options, clock.clone()).await.unwrap();
    let third = Fixture { folder, clock, handle: Some(handle), http: slipway_tests::http_client() };
    takes_over(&third).await;
    let left = site.objects_until(|names| !names.contains(&lost)).await;
    assert_eq!(left.len(), 1, "what is named stays: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_a_file_is_taken_over_once() {
    let site = Site::new().await;
    let objects = Objects::Folder(site.folder.path().join("objects"));
    let alone = Fixture::start_with(|options| options.objects = Some(objects.clone())).await;
    let (_agent, _lease, token) = job(&alone).await;
    save(&alone, &token, "deps", "of the single coordinator").await;
    create(&alone, &token, "never finished").await;
    drop(alone);

    let several = site.start(objects.clone()).await;
    takes_over(&several).await;
    let (agent, _lease, token) = job(&several).await;
    assert_eq!(restored(&several, &token, "deps").await.unwrap(), "of the single coordinator");
    save(&several, &token, "never finished", "finished").await;
    let prune = json!({"unused_days": 0, "dry_run": false});
    several.clock.advance(5);
    let pruned = several.call(Method::POST, "/api/v1/cache/prune", Some(prune)).await;
    assert_eq!(pruned.json::<Value>().await.unwrap()["actions"]["entries"], 2);
    drop((agent, several));

    // What was removed does not come back out of the file.
    let again = site.start(objects).await;
    takes_over(&again).await;
    assert_eq!(again.get("/api/v1/cache").await["repositories"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_a_folder_is_still_there_with_an_object_store() {
    let s3 = S3::start().await;
    let mut fixture = Fixture::start().await;
    let (agent, lease, token) = job(&fixture).await;
    save(&fixture, &token, "old", "in the folder").await;
    let mut options = (*fixture.handle().services().options).clone();
    options.objects = Some(Objects::Bucket(s3.address(BUCKET)));
    drop(agent);
    fixture.handle = None;
    fixture.start_again(options).await;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![lease])).await;
    let (_, token) = job_on(&fixture, &mut agent, "refs/heads/main", json!({})).await;
    assert_eq!(restored(&fixture, &token, "old").await.unwrap(), "in the folder");
    assert!(s3.names("results").await.is_empty());
    save(&fixture, &token, "new", "in the bucket").await;
    assert_eq!(s3.names("results").await.len(), 1);
    assert_eq!(restored(&fixture, &token, "new").await.unwrap(), "in the bucket");
    // Both go.
    fixture.handle().services().results.sweep(0).await.unwrap();
    assert!(s3.names("results").await.is_empty());
    let data = fixture.folder.path().join("data/objects/results/data");
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 0);
}
