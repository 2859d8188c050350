//! A real coordinator process, a session that takes its jobs, and the doors that an agent opens for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_agent::coordinator::{Coordinator as Route, Server};
use slipway_agent::lease::Lease;
use slipway_agent::tier::Tier;
use slipway_agent::tunnel::Tunnel;
use slipway_proto::v1;
use slipway_proto::v1::agent_message::Message as Out;
use slipway_proto::v1::coordinator_message::Message as In;
use slipway_tests::Coordinator;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// The size of a disk that holds everything of a test.
pub(crate) const ROOM: u64 = 1 << 30;

const WORKFLOW: &str =
    "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n";

/// A coordinator, and an agent's session.
pub(crate) struct Fleet {
    pub(crate) process: Coordinator,
    pub(crate) route: Route,
    out: mpsc::Sender<v1::AgentMessage>,
    incoming: tonic::Streaming<v1::CoordinatorMessage>,
    http: reqwest::Client,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let process = Coordinator::start_with(arguments);
        let server = Server::new(&process.grpc_url(), None, false).unwrap();
        let route = Route::new(&[server], &process.agent_token()).unwrap();
        let (out, messages) = mpsc::channel(64);
        let hello = v1::Hello {
            agent_id: "11111111-0000-4000-8000-000000000001".to_owned(),
            name: "one".to_owned(),
            version: "test".to_owned(),
            protocol: slipway_proto::PROTOCOL_VERSION,
            architecture: "X64".to_owned(),
            labels: vec!["ubuntu-latest".to_owned()],
            slots: 16,
            accepts_untrusted: true,
            sizing: None,
            ..v1::Hello::default()
        };
        out.send(v1::AgentMessage { message: Some(Out::Hello(hello)) }).await.unwrap();
        let incoming = route.client().session(ReceiverStream::new(messages)).await.unwrap().into_inner();
        let mut fleet = Self { process, route, out, incoming, http: slipway_tests::http_client() };
        assert!(matches!(fleet.hear().await, In::Welcome(_)));
        fleet
    }

    async fn hear(&mut self) -> In {
        let next = tokio::time::timeout(Duration::from_secs(60), self.incoming.message());
        next.await.unwrap().unwrap().unwrap().message.unwrap()
    }

    /// A leased job of this ref.
    pub(crate) async fn job(&mut self, git_ref: &str) -> Leased {
        self.job_of("o/n", git_ref, json!({"repository": {"default_branch": "main"}})).await
    }

    /// A leased job of a pull request onto `main`.
    pub(crate) async fn pull_request(&mut self, number: u32) -> Leased {
        let event =
            json!({"repository": {"default_branch": "main"}, "pull_request": {"base": {"ref": "main"}}});
        self.job_of("o/n", &format!("refs/pull/{number}/merge"), event).await
    }

    pub(crate) async fn job_of(&mut self, repository: &str, git_ref: &str, event: Value) -> Leased {
        let run = json!({
            "workflow_file": ".github/workflows/ci.yml", "workflow": WORKFLOW, "event_name": "push",
            "event": event, "repository": repository, "git_ref": git_ref, "sha": "a".repeat(40), "actor": "ada",
        });
        let (status, answer) = self.api(Method::POST, "/api/v1/runs", Some(run)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let lease = loop {
            if let In::Assign(assign) = self.hear().await {
                break assign.lease.unwrap();
            }
        };
        self.keep(&lease);
        let lease = Lease::from_wire(Some(&lease)).unwrap();
        let token = self.route.secrets(lease).await.unwrap().runtime_token;
        Leased { lease, token }
    }

    /// Prolongs a lease until the session ends.
    fn keep(&self, lease: &v1::Lease) {
        let (out, lease) = (self.out.clone(), lease.clone());
        tokio::spawn(async move {
            for number in 1.. {
                let renew = v1::Renew { number, leases: vec![lease.clone()], lease_ms: 0 };
                if out.send(v1::AgentMessage { message: Some(Out::Renew(renew)) }).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        });
    }

    /// Ends a job, and waits until the coordinator knows.
    pub(crate) async fn end(&mut self, job: &Leased) {
        let work = v1::WorkOutcome { result: v1::Result::Success.into(), ..v1::WorkOutcome::default() };
        let report = v1::Report {
            lease: Some(job.lease.to_wire()),
            outcome: Some(v1::report::Outcome::Work(work)),
            records: 0,
            records_digest: None,
        };
        self.out.send(v1::AgentMessage { message: Some(Out::Report(report)) }).await.unwrap();
        while !matches!(self.hear().await, In::Accepted(_)) {}
    }

    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = self.http.request(method, self.process.url(path)).bearer_auth(self.process.token());
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// Empties the coordinator's cache.
    pub(crate) async fn evict_all(&self) {
        let body = json!({"unused_days": 0, "dry_run": false});
        let (status, answer) = self.api(Method::POST, "/api/v1/cache/prune", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// A figure of `/metrics`; of several lines, their sum.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = self.http.get(self.process.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let is_it =
            |line: &&str| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{"));
        let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        page.lines().filter(is_it).map(value).sum::<f64>() as u64
    }

    /// Bytes that agents fetched.
    pub(crate) async fn sent(&self) -> u64 {
        self.metric("slipway_cache_agents_read_bytes_total").await
    }
}

/// A job as its agent has it.
#[derive(Clone)]
pub(crate) struct Leased {
    pub(crate) lease: Lease,
    pub(crate) token: String,
}

impl Leased {
    /// Its relay socket, with this disk before the coordinator.
    pub(crate) fn open(&self, fleet: &Fleet, tier: &Tier) -> Doors {
        let folder = tempfile::tempdir().unwrap();
        let tier = tier.for_job(&fleet.route, &self.token);
        let tunnel = Tunnel::serve(folder.path(), fleet.route.tunnels(), self.lease, tier).unwrap();
        let socket = folder.path().join(slipway_init::limits::RELAY_SOCKET_NAME);
        let http = slipway_tests::http_client_builder().unix_socket(socket.clone()).build().unwrap();
        Doors { _folder: folder, socket, http, token: self.token.clone(), _tunnel: tunnel }
    }
}

/// A job's way to its caches, as its container has it.
pub(crate) struct Doors {
    _folder: tempfile::TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
    _tunnel: Tunnel,
}

impl Doors {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://slipway.localhost:28472{path}")).bearer_auth(&self.token)
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) {
        let answer = self.request(Method::PUT, path).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    /// `None`: it is not there.
    pub(crate) async fn get(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        let status = answer.status();
        assert!(status == StatusCode::OK || status == StatusCode::NOT_FOUND, "{path}: {status}");
        let bytes = answer.bytes().await.unwrap();
        (status == StatusCode::OK).then(|| bytes.to_vec())
    }

    /// A gRPC channel through the socket.
    pub(crate) async fn channel(&self) -> Channel {
        let socket = self.socket.clone();
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move {
                let stream = tokio::net::UnixStream::connect(socket).await?;
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://slipway.localhost:28472");
        endpoint.connect_with_connector(connect).await.unwrap()
    }
}

/// A disk in this folder.
pub(crate) async fn disk(folder: &Path) -> Tier {
    Tier::open(folder, ROOM).await
}

/// Bytes that nothing else has.
pub(crate) fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut state = seed;
    for part in bytes.chunks_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = (state ^ (state >> 29)).to_le_bytes();
        let length = part.len();
        part.copy_from_slice(&word[..length]);
    }
    bytes
}
