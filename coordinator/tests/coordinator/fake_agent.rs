//! An agent over real gRPC that does what a test says.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use slipway_coordinator::Handle;
use slipway_proto::v1::agents_client::AgentsClient;
use slipway_proto::v1::coordinator_message::Message as In;
use slipway_proto::v1::job_cache_client::JobCacheClient;
use slipway_proto::v1::{self, agent_message::Message as Out};
use slipway_wire::records::Records;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};

#[derive(Clone)]
pub(crate) struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.0).parse().unwrap());
        Ok(request)
    }
}

pub(crate) type Client = AgentsClient<InterceptedService<Channel, Bearer>>;

pub(crate) async fn client(address: SocketAddr, token: &str) -> Client {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    AgentsClient::with_interceptor(channel, Bearer(token.to_owned()))
}

/// The same for the cache of jobs.
pub(crate) async fn job_cache(
    address: SocketAddr,
    token: &str,
) -> JobCacheClient<InterceptedService<Channel, Bearer>> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    JobCacheClient::with_interceptor(channel, Bearer(token.to_owned()))
}

/// An agent with a session.
pub(crate) struct FakeAgent {
    pub(crate) client: Client,
    out: mpsc::Sender<v1::AgentMessage>,
    incoming: Streaming<v1::CoordinatorMessage>,
    pub(crate) welcome: v1::Welcome,
}

pub(crate) fn hello(id: &str, slots: u32, held: Vec<v1::Lease>) -> v1::Hello {
    v1::Hello {
        agent_id: id.to_owned(),
        name: format!("agent-{}", &id[..4]),
        version: "test".to_owned(),
        protocol: slipway_proto::PROTOCOL_VERSION,
        architecture: "X64".to_owned(),
        labels: vec!["self-hosted".to_owned(), "linux".to_owned(), "ubuntu-latest".to_owned()],
        slots,
        held,
        draining: false,
        accepts_untrusted: false,
        sizing: None,
    }
}

pub(crate) const FIRST: &str = "11111111-0000-4000-8000-000000000001";
pub(crate) const SECOND: &str = "22222222-0000-4000-8000-000000000002";

impl FakeAgent {
    pub(crate) async fn connect(handle: &Handle, id: &str) -> Self {
        Self::connect_with(handle, hello(id, 4, Vec::new())).await
    }

    pub(crate) async fn connect_with(handle: &Handle, hello: v1::Hello) -> Self {
        Self::connect_at(handle.grpc_addr, handle.agent_token.reveal(), hello).await
    }

    pub(crate) async fn connect_at(address: SocketAddr, token: &str, hello: v1::Hello) -> Self {
        Self::connect_by(client(address, token).await, hello).await
    }

    /// Over TLS, with whom the authority of this certificate (PEM) certified for `localhost`.
    pub(crate) async fn connect_over_tls(handle: &Handle, ca: &str, id: &str) -> Self {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", handle.grpc_addr.port()));
        let channel = endpoint.unwrap().tls_config(tls).unwrap().connect().await.unwrap();
        let bearer = Bearer(handle.agent_token.reveal().to_owned());
        Self::connect_by(AgentsClient::with_interceptor(channel, bearer), hello(id, 4, Vec::new())).await
    }

    async fn connect_by(mut client: Client, hello: v1::Hello) -> Self {
        let (out, messages) = mpsc::channel(64);
        out.send(v1::AgentMessage { message: Some(Out::Hello(hello)) }).await.unwrap();
        let incoming = client.session(ReceiverStream::new(messages)).await.unwrap().into_inner();
        let mut agent = Self { client, out, incoming, welcome: v1::Welcome::default() };
        match agent.hear().await {
            In::Welcome(welcome) => agent.welcome = welcome,
            other => panic!("{other:?} instead of a welcome"),
        }
        agent
    }

    pub(crate) async fn say(&self, message: Out) {
        self.out.send(v1::AgentMessage { message: Some(message) }).await.unwrap();
    }

    /// Prolongs a lease until the session ends.
    pub(crate) fn keep(&self, lease: &v1::Lease) {
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

    /// The next message.
    pub(crate) async fn hear(&mut self) -> In {
        let next = tokio::time::timeout(Duration::from_secs(30), self.incoming.message()).await;
        next.expect("a message").unwrap().expect("the session goes on").message.unwrap()
    }

    /// How the session ended.
    pub(crate) async fn end(mut self) -> Result<(), Status> {
        loop {
            match self.incoming.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(status) => return Err(status),
            }
        }
    }

    pub(crate) async fn assigned(&mut self) -> v1::Assign {
        loop {
            match self.hear().await {
                In::Assign(assign) => return assign,
                // The answer to a renewal comes before it or after it, as the clock was looked at.
                In::Renewed(_) => {}
                other => panic!("{other:?} instead of an assignment"),
            }
        }
    }

    pub(crate) async fn spec(&mut self, assign: &v1::Assign) -> serde_json::Value {
        let request = v1::GetBlobRequest { digest: assign.spec.clone(), offset: 0 };
        let mut chunks = self.client.get_blob(request).await.unwrap().into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await.unwrap() {
            bytes.extend_from_slice(&chunk.data);
        }
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Uploads records and waits until all are durable. The last acknowledgement comes back.
    pub(crate) async fn upload(
        &mut self,
        lease: &v1::Lease,
        first: u64,
        records: Vec<v1::Record>,
    ) -> v1::RecordAck {
        let last = first + records.len() as u64 - 1;
        let records = encoded(&records);
        let batch = batch(lease, first, records);
        let (out, batches) = mpsc::channel(4);
        out.send(batch).await.unwrap();
        let mut acks = self.client.records(ReceiverStream::new(batches)).await.unwrap().into_inner();
        loop {
            let ack = acks.message().await.unwrap().expect("an acknowledgement");
            if ack.stale || ack.durable >= last {
                return ack;
            }
        }
    }

    /// Sends records and waits for nothing: the stream breaks off when the coordinator does.
    pub(crate) async fn send(&mut self, lease: &v1::Lease, first: u64, records: Vec<v1::Record>) {
        let batch = batch(lease, first, encoded(&records));
        let (out, batches) = mpsc::channel(4);
        out.send(batch).await.unwrap();
        let acks = self.client.records(ReceiverStream::new(batches)).await.unwrap();
        tokio::spawn(async move {
            let mut acks = acks.into_inner();
            while let Ok(Some(_)) = acks.message().await {}
            drop(out);
        });
    }

    /// Where to go on with the records of an attempt.
    pub(crate) async fn durable(&mut self, lease: &v1::Lease) -> v1::RecordAck {
        let batch = batch(lease, 1, Vec::new());
        let mut acks = self.client.records(tokio_stream::once(batch)).await.unwrap().into_inner();
        acks.message().await.unwrap().expect("an acknowledgement")
    }

    pub(crate) async fn report(&self, lease: &v1::Lease, result: v1::Result, records: u64) {
        let work = v1::WorkOutcome { result: result.into(), ..v1::WorkOutcome::default() };
        self.report_work(lease, work, records).await;
    }

    pub(crate) async fn report_work(&self, lease: &v1::Lease, work: v1::WorkOutcome, records: u64) {
        let outcome = Some(v1::report::Outcome::Work(work));
        let report = v1::Report { lease: Some(lease.clone()), outcome, records, records_digest: None };
        self.say(Out::Report(report)).await;
    }

    /// Reports success, with the digest of its records.
    pub(crate) async fn report_with(&self, lease: &v1::Lease, records: u64, digest: v1::Digest) {
        let work = v1::WorkOutcome { result: v1::Result::Success.into(), ..v1::WorkOutcome::default() };
        let outcome = Some(v1::report::Outcome::Work(work));
        let records_digest = Some(digest);
        self.say(Out::Report(v1::Report { lease: Some(lease.clone()), outcome, records, records_digest }))
            .await;
    }

    /// Does the next job, and gives its name and specification.
    pub(crate) async fn work(
        &mut self,
        result: v1::Result,
        outputs: &[(&str, &str)],
    ) -> (String, serde_json::Value) {
        let assign = self.next_assigned().await;
        let spec = self.spec(&assign).await;
        let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let work = v1::WorkOutcome { result: result.into(), outputs, ..v1::WorkOutcome::default() };
        self.report_work(assign.lease.as_ref().unwrap(), work, 0).await;
        (spec["name"].as_str().unwrap().to_owned(), spec)
    }

    /// The next assignment, past what else comes.
    pub(crate) async fn next_assigned(&mut self) -> v1::Assign {
        loop {
            if let In::Assign(assign) = self.hear().await {
                return assign;
            }
        }
    }

    pub(crate) async fn accepted(&mut self) -> v1::Lease {
        loop {
            match self.hear().await {
                In::Accepted(accepted) => return accepted.lease.unwrap(),
                In::Renewed(_) => {}
                other => panic!("{other:?} instead of an acceptance"),
            }
        }
    }
}

/// A batch as agents send it to a coordinator that takes rows if its first number is odd, else as to an earlier one.
pub(crate) fn batch(lease: &v1::Lease, first: u64, records: Vec<Bytes>) -> v1::RecordBatch {
    let batch = v1::RecordBatch { lease: Some(lease.clone()), first, ..v1::RecordBatch::default() };
    match first % 2 {
        1 => v1::RecordBatch { delimited: Records::from(records).bytes().clone(), ..batch },
        _ => v1::RecordBatch { records, ..batch },
    }
}

/// Records as they are sent.
pub(crate) fn encoded(records: &[v1::Record]) -> Vec<bytes::Bytes> {
    records.iter().map(|record| record.encode_to_vec().into()).collect()
}

/// Their digest, as an agent counts it.
pub(crate) fn digest(records: &[v1::Record]) -> v1::Digest {
    let mut digest = slipway_wire::record_digest::RecordDigest::new();
    encoded(records).iter().for_each(|record| digest.push(record));
    slipway_wire::digest::to_wire(&digest.digest())
}

pub(crate) fn line(text: &str) -> v1::Record {
    let line = v1::LogLine { text: text.to_owned().into_bytes().into(), stream: 1, partial: false };
    v1::Record { time_ms: 1, step: 0, record: Some(v1::record::Record::Line(line)) }
}

/// The records of one step that prints these lines and succeeds.
pub(crate) fn step(name: &str, lines: &[&str]) -> Vec<v1::Record> {
    let record = |record| v1::Record { time_ms: 1, step: 0, record: Some(record) };
    let started =
        v1::StepStarted { id: "__run".to_owned(), name: name.to_owned(), ..v1::StepStarted::default() };
    let finished = v1::StepFinished {
        id: "__run".to_owned(),
        name: name.to_owned(),
        outcome: v1::Result::Success.into(),
        conclusion: v1::Result::Success.into(),
        exit_code: Some(0),
        ..v1::StepFinished::default()
    };
    let mut records = vec![record(v1::record::Record::StepStarted(started))];
    records.extend(lines.iter().map(|text| line(text)));
    records.push(record(v1::record::Record::StepFinished(finished)));
    records
}
