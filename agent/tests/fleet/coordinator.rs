//! A coordinator in the test's own process: hands out jobs, keeps records, accepts reports.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use slipway_proto::v1::agents_server::{Agents, AgentsServer};
use slipway_proto::v1::{self, agent_message::Message as In, coordinator_message::Message as Out};
use slipway_wire::records::Records;
use slipway_workflow::job_spec::JobSpec;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// Bounds every wait of a test; reached only when something hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const TOKEN: &str = "agent-token";

pub const RUNTIME_TOKEN: &str = "runtime-token-of-the-job";

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    secrets: HashMap<String, String>,
    /// Leases handed out and not ended, by instance.
    leases: BTreeMap<String, v1::Lease>,
    records: HashMap<String, Vec<v1::Record>>,
    /// Streams of records that were opened.
    record_streams: usize,
    reports: HashMap<String, v1::Report>,
    declined: Vec<v1::Decline>,
    paused: Vec<String>,
    hello: Option<v1::Hello>,
    session: Option<mpsc::Sender<Result<v1::CoordinatorMessage, Status>>>,
    began: Vec<String>,
    /// Length and margin of leases, in milliseconds.
    terms: Option<(u32, u32)>,
    /// Neither answers nor takes new sessions.
    silent: bool,
    /// Counts everything that happens.
    changes: u64,
}

#[derive(Clone)]
pub struct FakeCoordinator {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    pub address: String,
}

impl FakeCoordinator {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { state: Arc::default(), changed: watch::Sender::new(0), address };
        let service = AgentsServer::new(fake.clone());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        fake
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        let result = what(&mut state);
        state.changes += 1;
        let changes = state.changes;
        drop(state);
        self.changed.send_replace(changes);
        result
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = look(&self.state.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come"),
        }
    }

    pub fn secret(&self, name: &str, value: &str) {
        self.with(|state| state.secrets.insert(name.to_owned(), value.to_owned()));
    }

    pub fn blob(&self, bytes: Vec<u8>) -> v1::Digest {
        let digest =
            v1::Digest { sha256: hex::encode(Sha256::digest(&bytes)), size_bytes: bytes.len() as u64 };
        self.with(|state| state.blobs.insert(digest.sha256.clone(), bytes));
        digest
    }

    /// Assigns a job and gives its instance.
    pub async fn assign(&self, spec: &JobSpec) -> String {
        self.assign_as(spec, false).await
    }

    /// Leases are of this length and margin from the next session on.
    pub fn terms(&self, lease_ms: u32, margin_ms: u32) {
        self.with(|state| state.terms = Some((lease_ms, margin_ms)));
    }

    /// Answers nothing any more.
    pub fn fall_silent(&self) {
        self.with(|state| {
            state.silent = true;
            state.session = None;
        });
    }

    /// Assigns a job, strict or not.
    pub async fn assign_as(&self, spec: &JobSpec, strict: bool) -> String {
        let spec = self.blob(serde_json::to_vec(spec).unwrap());
        let session = self.until("a session", |state| state.session.clone()).await;
        let instance = uuid::Uuid::new_v4().to_string();
        let attempt = v1::AttemptRef {
            run_id: uuid::Uuid::new_v4().to_string(),
            instance_id: instance.clone(),
            attempt: 1,
        };
        let lease = v1::Lease {
            attempt: Some(attempt),
            token: Some(v1::FencingToken { epoch: 1, sequence: self.with(|state| state.changes) }),
        };
        self.with(|state| state.leases.insert(instance.clone(), lease.clone()));
        let assign = v1::Assign {
            lease: Some(lease),
            spec: Some(spec),
            strict,
            traceparent: String::new(),
            lease_ms: self.with(|state| state.terms.map_or(30_000, |terms| terms.0)),
        };
        session.send(Ok(out(Out::Assign(assign)))).await.unwrap();
        instance
    }

    pub async fn cancel(&self, instance: &str) {
        let session = self.until("a session", |state| state.session.clone()).await;
        let lease = self.with(|state| state.leases.get(instance).cloned());
        let cancel = v1::Cancel { lease, reason: "a test".to_owned() };
        session.send(Ok(out(Out::Cancel(cancel)))).await.unwrap();
    }

    pub async fn stop(&self, instance: &str) {
        let (session, lease) = self.with(|state| (state.session.clone(), state.leases.remove(instance)));
        let stop = v1::Stop { lease, reason: "a test".to_owned() };
        session.unwrap().send(Ok(out(Out::Stop(stop)))).await.unwrap();
    }

    /// Has so many more records of a job than it was sent.
    pub fn has_more_records(&self, instance: &str, more: usize) {
        self.with(|state| {
            let kept = state.records.entry(instance.to_owned()).or_default();
            kept.extend(std::iter::repeat_n(v1::Record::default(), more));
        });
    }

    /// Takes a lease back without a word.
    pub fn forget(&self, instance: &str) {
        self.with(|state| state.leases.remove(instance));
    }

    /// Waits for a job's report.
    pub async fn report(&self, instance: &str) -> Job {
        let (report, records) = self
            .until("the job's report", |state| {
                let report = state.reports.get(instance)?.clone();
                Some((report, state.records.get(instance).cloned().unwrap_or_default()))
            })
            .await;
        assert_eq!(report.records, records.len() as u64, "a report comes after all its records");
        let mut digest = slipway_wire::record_digest::RecordDigest::new();
        records.iter().for_each(|record| digest.push(&record.encode_to_vec()));
        let counted = slipway_wire::digest::to_wire(&digest.digest());
        assert_eq!(report.records_digest, Some(counted), "of every job, whoever began it");
        Job { report, records }
    }

    /// Waits until a line of the job's log has this text.
    pub async fn line(&self, instance: &str, text: &str) {
        self.until(&format!("the line `{text}`"), |state| {
            let records = state.records.get(instance)?;
            lines(records).iter().any(|line| line == text).then_some(())
        })
        .await;
    }

    pub async fn hello(&self) -> v1::Hello {
        self.until("Hello", |state| state.hello.clone()).await
    }

    /// What the agent said of taking jobs, once the last of it is so.
    pub async fn paused(&self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let so = |state: &State| state.paused.last().is_some_and(|said| last(said));
        self.until("a pause", |state| so(state).then(|| state.paused.clone())).await
    }

    pub async fn declined(&self) -> v1::Decline {
        self.until("a refusal", |state| state.declined.first().cloned()).await
    }
}

/// A job that has ended.
pub struct Job {
    pub report: v1::Report,
    pub records: Vec<v1::Record>,
}

impl Job {
    pub fn result(&self) -> v1::Result {
        match &self.report.outcome {
            Some(v1::report::Outcome::Work(work)) => work.result(),
            other => panic!("{other:?}\n{}", self.lines().join("\n")),
        }
    }

    pub fn work(&self) -> &v1::WorkOutcome {
        match &self.report.outcome {
            Some(v1::report::Outcome::Work(work)) => work,
            other => panic!("{other:?}"),
        }
    }

    pub fn fleet(&self) -> &v1::FleetFailure {
        match &self.report.outcome {
            Some(v1::report::Outcome::Fleet(fleet)) => fleet,
            other => panic!("{other:?}"),
        }
    }

    /// Whole lines, in order.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.records)
    }

    /// The steps' names, outcomes and conclusions.
    pub fn steps(&self) -> Vec<(String, v1::Result, v1::Result)> {
        let finished = self.records.iter().filter_map(|record| match &record.record {
            Some(v1::record::Record::StepFinished(step)) => Some(step),
            _ => None,
        });
        finished.map(|step| (step.name.clone(), step.outcome(), step.conclusion())).collect()
    }
}

/// Joins the pieces of lines; bytes that are no UTF-8 are replaced.
fn lines(records: &[v1::Record]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: HashMap<i32, Vec<u8>> = HashMap::new();
    for record in records {
        if let Some(v1::record::Record::Line(line)) = &record.record {
            let text = open.entry(line.stream).or_default();
            text.extend_from_slice(&line.text);
            if !line.partial {
                lines.push(String::from_utf8_lossy(&std::mem::take(text)).into_owned());
            }
        }
    }
    lines
}

fn out(message: Out) -> v1::CoordinatorMessage {
    v1::CoordinatorMessage { message: Some(message) }
}

fn instance(lease: Option<&v1::Lease>) -> String {
    lease
        .and_then(|lease| lease.attempt.as_ref())
        .map(|attempt| attempt.instance_id.clone())
        .unwrap_or_default()
}

impl FakeCoordinator {
    fn hear(&self, message: In) -> Option<v1::CoordinatorMessage> {
        match message {
            In::Hello(hello) => {
                let (lease_ms, margin_ms) = self.with(|state| state.terms).unwrap_or((30_000, 5_000));
                let kept = self.with(|state| {
                    let kept =
                        hello.held.iter().filter(|lease| state.leases.values().any(|known| known == *lease));
                    let kept = kept.cloned().collect();
                    state.hello = Some(hello);
                    kept
                });
                Some(out(Out::Welcome(v1::Welcome {
                    epoch: 1,
                    lease_ms,
                    margin_ms,
                    renew_ms: 500,
                    idle_ms: 2_000,
                    grace_ms: 600_000,
                    kept,
                })))
            }
            In::Renew(renew) => {
                let leases = self.with(|state| {
                    let known = |lease: &&v1::Lease| state.leases.values().any(|known| known == *lease);
                    renew.leases.iter().filter(known).cloned().collect()
                });
                Some(out(Out::Renewed(v1::Renewed {
                    number: renew.number,
                    leases,
                    lease_ms: renew.lease_ms,
                })))
            }
            In::Report(report) => {
                let lease = report.lease.clone();
                self.with(|state| {
                    let instance = instance(report.lease.as_ref());
                    assert!(state.leases.contains_key(&instance), "a report without a lease");
                    state.reports.insert(instance, report);
                });
                Some(out(Out::Accepted(v1::Accepted { lease })))
            }
            In::StepBegan(began) => {
                let lease = began.lease;
                self.with(|state| state.began.push(instance(lease.as_ref())));
                Some(out(Out::BeginStep(v1::BeginStep { lease })))
            }
            In::Decline(decline) => {
                self.with(|state| state.declined.push(decline));
                None
            }
            In::Paused(paused) => {
                self.with(|state| state.paused.push(paused.reason));
                None
            }
            In::Capacity(_) => None,
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Agents for FakeCoordinator {
    type SessionStream = Answers<v1::CoordinatorMessage>;
    type RecordsStream = Answers<v1::RecordAck>;
    type GetBlobStream = Answers<v1::BlobChunk>;
    type TunnelStream = Answers<v1::TunnelData>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let authorization = request.metadata().get("authorization").cloned();
        if authorization.is_none_or(|value| value != format!("Bearer {TOKEN}")) {
            return Err(Status::unauthenticated("wrong token"));
        }
        if self.with(|state| state.silent) {
            return Err(Status::unavailable("silent"));
        }
        let mut messages = request.into_inner();
        let (answers, answers_out) = mpsc::channel(64);
        let fake = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let Some(message) = message.message else { continue };
                if fake.with(|state| state.silent) {
                    continue;
                }
                let welcome = matches!(message, In::Hello(_));
                if let Some(answer) = fake.hear(message) {
                    let _ = answers.send(Ok(answer)).await;
                }
                if welcome {
                    fake.with(|state| state.session = Some(answers.clone()));
                }
            }
            fake.with(|state| {
                if state.session.as_ref().is_some_and(|session| session.same_channel(&answers)) {
                    state.session = None;
                }
            });
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers_out))))
    }

    async fn records(
        &self,
        request: Request<Streaming<v1::RecordBatch>>,
    ) -> Result<Response<Self::RecordsStream>, Status> {
        let mut batches = request.into_inner();
        let (acks, acks_out) = mpsc::channel(64);
        let fake = self.clone();
        // Every other stream is one of an earlier coordinator.
        let takes_delimited = self.with(|state| {
            state.record_streams += 1;
            state.record_streams % 2 == 1
        });
        tokio::spawn(async move {
            while let Some(Ok(batch)) = batches.next().await {
                let attempt = batch.lease.as_ref().and_then(|lease| lease.attempt.clone());
                let (durable, stale) = fake.with(|state| {
                    let instance = instance(batch.lease.as_ref());
                    let stale = !state.leases.contains_key(&instance);
                    let kept = state.records.entry(instance).or_default();
                    let row = Records::new(batch.delimited).unwrap();
                    let records = batch.records.into_iter().chain(row.each());
                    for (record, number) in records.zip(batch.first..) {
                        let record = v1::Record::decode(record).unwrap();
                        assert!(number <= kept.len() as u64 + 1, "record {number} after {}", kept.len());
                        if number == kept.len() as u64 + 1 {
                            kept.push(record);
                        } else {
                            // Sent twice: then it is the same.
                            assert_eq!(kept[number as usize - 1], record, "record {number} changed");
                        }
                    }
                    (kept.len() as u64, stale)
                });
                let ack = v1::RecordAck { attempt, durable, stale, takes_delimited };
                if acks.send(Ok(ack)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(acks_out))))
    }

    async fn get_blob(
        &self,
        request: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let request = request.into_inner();
        let digest = request.digest.unwrap_or_default();
        let blob = self.with(|state| state.blobs.get(&digest.sha256).cloned());
        let blob = blob.ok_or_else(|| Status::not_found("no such blob"))?;
        let chunks: Vec<_> = blob[request.offset as usize..]
            .chunks(100_000)
            .map(|part| Ok(v1::BlobChunk { digest: None, data: part.to_vec().into() }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn put_blob(
        &self,
        _: Request<Streaming<v1::BlobChunk>>,
    ) -> Result<Response<v1::PutBlobResponse>, Status> {
        Err(Status::unimplemented("no agent writes blobs"))
    }

    async fn enrol(&self, _: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        Err(Status::unimplemented("these agents have the token that all share"))
    }

    async fn renew_certificate(
        &self,
        _: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        Err(Status::unimplemented("these agents have no certificates"))
    }

    async fn fetch_secrets(
        &self,
        request: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<v1::FetchSecretsResponse>, Status> {
        let lease = request.into_inner().lease;
        let secrets = self.with(|state| {
            state.leases.contains_key(&instance(lease.as_ref())).then(|| state.secrets.clone())
        });
        let secrets = secrets.ok_or_else(|| Status::permission_denied("the lease is not current"))?;
        Ok(Response::new(v1::FetchSecretsResponse {
            secrets,
            runtime_token: RUNTIME_TOKEN.to_owned(),
            ..Default::default()
        }))
    }

    /// Sends back what comes, until it ends.
    async fn tunnel(
        &self,
        request: Request<Streaming<v1::TunnelData>>,
    ) -> Result<Response<Self::TunnelStream>, Status> {
        if self.with(|state| state.silent) {
            return Err(Status::unavailable("silent"));
        }
        let mut messages = request.into_inner();
        let first = messages.message().await?.unwrap_or_default();
        let live = self.with(|state| state.leases.contains_key(&instance(first.lease.as_ref())));
        if !live || !first.data.is_empty() {
            return Err(Status::permission_denied("the lease is not current"));
        }
        Ok(Response::new(Box::pin(messages)))
    }
}
