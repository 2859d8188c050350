//! Blobs and logs in an object store that is reached over HTTP: a coordinator with `--objects s3://…`.
//!
//! The server is moto's (`moto_server`, a model of S3 that boto's own users test with), installed by
//! `scripts/prepare-clients.sh`. It checks neither signatures nor rights; everything else of the way is real: requests,
//! multipart uploads, `If-None-Match`, listings, errors.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::response::Response;
use slipway_cas::objects::object_store::path::Path;
use slipway_cas::objects::object_store::{ObjectStore as _, ObjectStoreExt as _};
use slipway_cas::objects::{Bucket, BucketAddress, ObjectBlobs};
use slipway_cas::{Digest, Expected, Store as _};
use slipway_coordinator::options::{Objects, Options};
use slipway_coordinator::{Coordinator, StartError};
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, digest, hello, line};
use crate::fixture::{Fixture, ONE_JOB};

/// A server of a test's own.
pub(crate) struct S3 {
    process: Child,
    port: u16,
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let program = std::env::var_os("SLIPWAY_S3_SERVER").map(PathBuf::from).unwrap_or_else(|| {
            // Beside the test program: target/debug/deps/….
            let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
            target.join("s3-server-1/bin/moto_server")
        });
        assert!(program.is_file(), "{} is missing: run scripts/prepare-clients.sh", program.display());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        let http = slipway_tests::http_client();
        for _ in 0..600 {
            if http
                .put(format!("http://127.0.0.1:{port}/logs"))
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the S3 server does not answer");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self, url: &str) -> BucketAddress {
        Self::address_at(url, self.port)
    }

    /// The same through something else that listens on this port.
    pub(crate) fn address_at(url: &str, port: u16) -> BucketAddress {
        let settings = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        BucketAddress { url: url.to_owned(), settings }
    }

    pub(crate) async fn names(&self, below: &str) -> Vec<String> {
        names(&Bucket::open(&self.address("s3://logs/team")).unwrap(), below).await
    }
}

/// What the server at this port answers to a request that came elsewhere.
pub(crate) async fn pass_on(server: u16, http: &reqwest::Client, head: Parts, body: Bytes) -> Response {
    let url = format!("http://127.0.0.1:{server}{}", head.uri);
    let answer = http.request(head.method, url).headers(head.headers).body(body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

/// What lies below a path of a bucket.
async fn names(bucket: &Bucket, below: &str) -> Vec<String> {
    use futures_util::TryStreamExt as _;
    let found: Vec<_> = bucket.store().list(Some(&Path::from(below))).try_collect().await.unwrap();
    found.into_iter().map(|object| object.location.to_string()).collect()
}

fn numbered(from: u64, to: u64) -> Vec<v1::Record> {
    (from..=to).map(|n| line(&n.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_conform_and_large_ones_go_in_parts() {
    let server = S3::start().await;
    blobs_conform(|name| server.address(&format!("s3://logs/{name}"))).await;
}

/// Moves a blob's object to a week that is long over.
async fn put_weeks_ago(bucket: &Bucket, digest: Digest) {
    for name in names(bucket, "blobs").await {
        let parts: Vec<&str> = name.split('/').collect();
        let [blobs, week, shard, rest] = parts[..] else { panic!("{name} is in no week") };
        if format!("{shard}{rest}") != digest.hash_hex() {
            continue;
        }
        let number: u64 = week.strip_prefix('w').unwrap().parse().unwrap();
        let old = format!("{blobs}/w{}/{shard}/{rest}", number - 5);
        // Where it is already it was put by a round before.
        if !name.starts_with(&old) {
            bucket.store().rename(&Path::from(name.as_str()), &Path::from(old)).await.unwrap();
        }
    }
}

/// Blobs behave as everywhere in places of these names, and one of 40 MiB comes back.
pub(crate) async fn blobs_conform(address: impl Fn(&str) -> BucketAddress) {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    slipway_cas::conformance::check(|| {
        number += 1;
        let bucket = Bucket::open(&address(&number.to_string())).unwrap();
        ObjectBlobs::open(bucket, folder.path().to_owned()).unwrap()
    })
    .await;
    let opened: RefCell<Option<Bucket>> = RefCell::default();
    let number = Cell::new(0);
    let empty = || {
        number.set(number.get() + 1);
        let bucket = Bucket::open(&address(&format!("collected-{}", number.get()))).unwrap();
        opened.replace(Some(bucket.clone()));
        ObjectBlobs::open(bucket, folder.path().to_owned()).unwrap()
    };
    let age = async |_: &ObjectBlobs, digest: Digest| {
        let bucket = opened.borrow().clone().unwrap();
        put_weeks_ago(&bucket, digest).await;
    };
    slipway_cas::conformance::check_collection(empty, age, 5).await;
    let bucket = Bucket::open(&address("large")).unwrap();
    bucket.check().await.unwrap();
    let store = ObjectBlobs::open(bucket, folder.path().to_owned()).unwrap();
    let piece = bytes::Bytes::from((0..5_u32 << 20).map(|n| (n >> 7) as u8).collect::<Vec<_>>());
    let mut writer = store.writer(1 << 30).await.unwrap();
    for _ in 0..8 {
        writer.write(piece.clone()).await.unwrap();
    }
    let whole = piece.repeat(8);
    let digest = writer.finish(Expected::Digest(Digest::of(&whole))).await.unwrap();
    assert_eq!(store.get(digest).await.unwrap(), whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_store_is_told_at_the_start() {
    let server = S3::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut unreachable = server.address("s3://logs");
    unreachable.settings[0].1 = format!("http://127.0.0.1:{closed}");
    is_told(server.address("s3://nowhere/x"), &["bucket does not exist"]).await;
    is_told(unreachable, &["out of reach", "AWS_ENDPOINT_URL"]).await;
}

/// A coordinator does not start there and says these parts, in one line.
pub(crate) async fn is_told(address: BucketAddress, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::embedded(folder.path());
    let url = address.url.clone();
    options.objects = Some(Objects::Bucket(address));
    let Err(error) = Coordinator::start(options).await else { panic!("{url} was accepted") };
    assert!(matches!(error, StartError::Bucket(_)));
    let message = error.to_string();
    for part in ["--objects", &url].iter().chain(parts) {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!message.contains("secret") && !message.contains('\n'), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_line_is_lost_when_the_coordinator_is_killed() {
    let server = S3::start().await;
    no_line_is_lost(server.address("s3://logs/team")).await;
}

/// The coordinator is killed again and again while an agent sends; the agent knows only what was acknowledged.
pub(crate) async fn no_line_is_lost(address: BucketAddress) {
    const LINES: u64 = 20_000;
    let bucket = Bucket::open(&address).unwrap();
    let mut fixture = Fixture::start_with(|options| options.objects = Some(Objects::Bucket(address))).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let mut acknowledged = 0;
    for kill in 0_u64..4 {
        // Some that are waited for, and more that are on their way when it dies.
        let last = acknowledged + LINES / 8;
        let ack = agent.upload(&lease, acknowledged + 1, numbered(acknowledged + 1, last)).await;
        acknowledged = ack.durable;
        agent
            .send(&lease, acknowledged + 1, numbered(acknowledged + 1, acknowledged + 700 * (kill + 1)))
            .await;
        tokio::time::sleep(Duration::from_millis(300 * kill)).await;
        fixture.kill_and_restart().await;
        agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
        let durable = agent.durable(&lease).await.durable;
        assert!(durable >= acknowledged, "{durable} of {acknowledged} acknowledged");
        acknowledged = durable;
    }
    agent.upload(&lease, acknowledged + 1, numbered(acknowledged + 1, LINES)).await;
    agent.report_with(&lease, LINES, digest(&numbered(1, LINES))).await;
    agent.accepted().await;
    fixture.finished(&run).await;
    let logs = fixture.call(reqwest::Method::GET, &format!("/api/v1/runs/{run}/logs?job=build"), None).await;
    let logs = logs.text().await.unwrap();
    assert!(logs.lines().eq((1..=LINES).map(|n| n.to_string())), "{} lines", logs.lines().count());
    // It is sealed soon, and nothing else is left; jobs' specifications are blobs there too.
    let records = loop {
        let names = names(&bucket, &format!("records/{run}")).await;
        if names.iter().all(|name| name.ends_with("sealed.zst")) {
            break names;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(!names(&bucket, "blobs").await.is_empty());
    let verified = fixture.get(&format!("/api/v1/runs/{run}/records")).await;
    assert_eq!(verified["complete"], true, "{verified}");
    assert_eq!(verified["attempts"][0]["sealed"], true);
    // A byte that somebody changes in the store shows.
    let path = Path::from(records[0].as_str());
    let mut bytes = bucket.store().get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bucket.store().put(&path, bytes.into()).await.unwrap();
    let verified = fixture.get(&format!("/api/v1/runs/{run}/records")).await;
    assert_eq!(verified["complete"], false, "{verified}");
}
