//! Several coordinators whose HTTP has TLS: what a follower passes on goes to the leader over TLS, to nobody else, and live.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Client, Method, Response, StatusCode, Version};
use serde_json::Value;
use slipway_coordinator::Coordinator;
use slipway_coordinator::journal::memory::MemoryJournal;
use slipway_coordinator::options::{ClusterOptions, Objects, Options, TlsOptions};
use slipway_kit::clock::SystemClock;
use slipway_proto::v1;
use slipway_tests::https_client;
use tempfile::TempDir;

use crate::fake_agent::{FIRST, FakeAgent, line};
use crate::fixture::{Fixture, ONE_JOB, TestClock};

/// What they have in common.
struct Common {
    folder: TempDir,
    journal: MemoryJournal,
}

impl Common {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, digits) in [("cluster.key", "5e"), ("other.key", "5f")] {
            std::fs::write(folder.path().join(name), digits.repeat(32)).unwrap();
        }
        Self { folder, journal: MemoryJournal::new() }
    }

    fn options(&self, data: &TempDir, key: &str, tls: Option<TlsOptions>) -> Options {
        let mut options = Options::embedded(data.path().join("data"));
        options.objects = Some(Objects::Folder(self.folder.path().join("objects")));
        options.cluster = Some(ClusterOptions {
            key_file: self.folder.path().join(key),
            advertise_http: None,
            advertise_grpc: None,
        });
        options.http_tls = tls.is_some();
        options.tls = tls;
        options
    }

    async fn start(&self, key: &str, tls: Option<TlsOptions>) -> Member {
        let data = tempfile::tempdir().unwrap();
        let options = self.options(&data, key, tls);
        let secure = options.http_tls;
        let journal = Box::new(self.journal.clone());
        let clock = Arc::<TestClock>::default();
        let handle = Coordinator::start_on(Some(journal), options, clock.clone()).await.unwrap();
        let http = match secure {
            true => https_client(&data.path().join("data/ca.pem")),
            false => slipway_tests::http_client(),
        };
        Member { fixture: Fixture { folder: data, clock, handle: Some(handle), http }, secure }
    }

    async fn secure(&self) -> Member {
        // Where others reach it is in its certificate by itself.
        self.start("cluster.key", Some(TlsOptions::Own { names: vec!["localhost".into()] })).await
    }
}

/// One of them.
struct Member {
    fixture: Fixture,
    secure: bool,
}

impl Member {
    fn client(&self) -> &Client {
        &self.fixture.http
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.fixture.handle().http_addr)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let token = self.fixture.handle().admin_token.reveal();
        let mut request = self.client().request(method, self.url(path)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn leads(&self) {
        assert!(self.fixture.handle().services().driver.leads().await);
    }

    async fn follows(&self) {
        while self.call(Method::GET, "/readyz", None).await.text().await.unwrap() != "ready, follows\n" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn submit(&self) -> String {
        let answer = self.call(Method::POST, "/api/v1/runs", Some(Fixture::submission(ONE_JOB))).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json::<Value>().await.unwrap()["run"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_passes_on_over_tls_and_live() {
    let common = Common::new();
    let first = common.secure().await;
    first.leads().await;
    let second = common.secure().await;
    second.follows().await;
    assert_eq!(
        std::fs::read(first.fixture.folder.path().join("data/ca.pem")).unwrap(),
        std::fs::read(second.fixture.folder.path().join("data/ca.pem")).unwrap(),
        "they share their authority"
    );

    let run = second.submit().await;
    let ca = std::fs::read_to_string(first.fixture.folder.path().join("data/ca.pem")).unwrap();
    let mut agent = FakeAgent::connect_over_tls(first.fixture.handle(), &ca, FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let mut stream = second.call(Method::GET, &format!("/api/v1/runs/{run}/events?follow=true"), None).await;
    assert_eq!(stream.version(), Version::HTTP_2, "a client that can has HTTP/2 at the follower");
    agent.upload(&lease, 1, vec![line("hello")]).await;
    // It comes while the job goes on: its report is made only afterwards.
    let mut seen = String::new();
    while !seen.contains(r#""line":"hello""#) {
        seen += std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream goes on")).unwrap();
    }
    agent.report(&lease, v1::Result::Success, 1).await;
    assert_eq!(agent.accepted().await, lease);
    while let Some(part) = stream.chunk().await.unwrap() {
        seen += std::str::from_utf8(&part).unwrap();
    }
    let last: Value = serde_json::from_str(seen.trim_end().lines().last().unwrap()).unwrap();
    assert_eq!(last["result"], "success", "{seen}");

    // Who asks is told to the leader, and the leader checks what is passed on.
    let audit = second.call(Method::GET, "/api/v1/audit", None).await.text().await.unwrap();
    assert!(audit.contains("http 127.0.0.1 by way of"), "{audit}");
    let wrong = second.client().get(second.url("/api/v1/agents")).bearer_auth("wrong").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_made_by_way_of_a_follower_is_for_tls_alone() {
    let common = Common::new();
    let first = common.secure().await;
    first.leads().await;
    let second = common.secure().await;
    second.follows().await;
    let token = second.fixture.handle().admin_token.reveal().to_owned();
    let answer = second.client().post(second.url("/sign-in")).body(format!("token={token}"));
    let answer = answer.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let cookie = answer.headers().get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_another_authority_is_told_nothing() {
    let common = Common::new();
    let names = vec!["localhost".into()];
    let stranger = common.start("other.key", Some(TlsOptions::Own { names })).await;
    stranger.leads().await;
    let second = common.secure().await;
    second.follows().await;
    let answer = second.call(Method::GET, "/api/v1/agents", None).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "no_leader");
}

/// A cluster changes over one coordinator after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_with_and_without_tls_pass_on_to_each_other() {
    for leader_is_secure in [true, false] {
        let common = Common::new();
        let start = async |secure| match secure {
            true => common.secure().await,
            false => common.start("cluster.key", None).await,
        };
        let first = start(leader_is_secure).await;
        first.leads().await;
        let second = start(!leader_is_secure).await;
        second.follows().await;
        let agents = second.call(Method::GET, "/api/v1/agents", None).await;
        assert_eq!(agents.status(), StatusCode::OK, "the leader has TLS: {leader_is_secure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_files_have_to_name_where_others_reach_it() {
    let common = Common::new();
    let data = tempfile::tempdir().unwrap();
    let start = async |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let [certificate, file] = ["server.pem", "server.key"].map(|file| data.path().join(file));
        std::fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&file, key.serialize_pem()).unwrap();
        let options =
            common.options(&data, "cluster.key", Some(TlsOptions::Files { certificate, key: file }));
        let journal = Box::new(common.journal.clone());
        Coordinator::start_on(Some(journal), options, Arc::new(SystemClock)).await
    };
    let refused = start("ci-1.example.com").await.err().unwrap().to_string();
    let start_of_url = "--advertise-http: `https://127.0.0.1:";
    assert!(refused.starts_with(start_of_url) && refused.contains("not for `127.0.0.1`"), "{refused}");
    assert!(start("127.0.0.1").await.is_ok());
}
