//! The baseline of `dispatch`: a bare tonic service with Slipway's own messages that answers each `Renew` with a
//! `Renewed` and does nothing else. What it can't do, no coordinator built on tonic can.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use slipway_proto::v1;
use slipway_proto::v1::agents_server::{Agents, AgentsServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use crate::figure::Samples;

/// Messages in flight on one stream, as the coordinator has them.
const STREAM_BUFFER: usize = 16;
/// A few connections carry all streams, as a load balancer in front would: a thousand handshakes are not measured.
pub const STREAMS_PER_CONNECTION: usize = 100;

struct Echo;

type Answers<T> = ReceiverStream<Result<T, Status>>;

fn absent<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the echo server only echoes"))
}

#[tonic::async_trait]
impl Agents for Echo {
    type SessionStream = Answers<v1::CoordinatorMessage>;
    type RecordsStream = Answers<v1::RecordAck>;
    type GetBlobStream = Answers<v1::BlobChunk>;
    type TunnelStream = Answers<v1::TunnelData>;

    async fn session(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut incoming = request.into_inner();
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        tokio::spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                let Some(v1::agent_message::Message::Renew(renew)) = message.message else { continue };
                let renewed = v1::Renewed { number: renew.number, leases: renew.leases, lease_ms: 0 };
                let answer = v1::CoordinatorMessage {
                    message: Some(v1::coordinator_message::Message::Renewed(renewed)),
                };
                if sender.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn records(
        &self,
        _: Request<Streaming<v1::RecordBatch>>,
    ) -> Result<Response<Self::RecordsStream>, Status> {
        absent()
    }

    async fn get_blob(
        &self,
        _: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        absent()
    }

    async fn put_blob(
        &self,
        _: Request<Streaming<v1::BlobChunk>>,
    ) -> Result<Response<v1::PutBlobResponse>, Status> {
        absent()
    }

    async fn enrol(&self, _: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        absent()
    }

    async fn renew_certificate(
        &self,
        _: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        absent()
    }

    async fn fetch_secrets(
        &self,
        _: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<v1::FetchSecretsResponse>, Status> {
        absent()
    }

    async fn tunnel(
        &self,
        _: Request<Streaming<v1::TunnelData>>,
    ) -> Result<Response<Self::TunnelStream>, Status> {
        absent()
    }
}

/// Serves echo on a port of its own until the runtime ends.
///
/// # Errors
/// When no loopback port can be had.
pub async fn serve() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no loopback port for echo")?;
    let address = listener.local_addr()?;
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(AgentsServer::new(Echo))
            // The server's own setting counts only where it listens itself; without it each echo may wait 40 ms for the
            // acknowledgement of the one before.
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))),
    );
    Ok(address)
}

/// What echoing cost.
pub struct EchoRun {
    /// Time from sending a message to its echo.
    pub round_trips: Samples,
    /// Messages echoed a second, over all streams.
    pub per_second: f64,
}

/// Sends `per_stream` messages on each of `streams` streams, `in_flight` at a time on each, and times their echoes.
///
/// # Errors
/// When a stream breaks.
pub async fn measure(
    address: SocketAddr,
    streams: usize,
    per_stream: usize,
    in_flight: usize,
) -> anyhow::Result<EchoRun> {
    let mut channels = Vec::new();
    for _ in 0..streams.div_ceil(STREAMS_PER_CONNECTION) {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        channels.push(endpoint.connect().await?);
    }
    let started = Instant::now();
    let mut tasks = Vec::with_capacity(streams);
    for channel in channels.iter().cycle().take(streams) {
        tasks.push(tokio::spawn(one_stream(channel.clone(), per_stream, in_flight)));
    }
    let mut round_trips = Samples::default();
    for task in tasks {
        for time in task.await?? {
            round_trips.add(time);
        }
    }
    let per_second = round_trips.len() as f64 / started.elapsed().as_secs_f64();
    Ok(EchoRun { round_trips, per_second })
}

/// Sends `messages` in all at this rate, to one of `streams` streams after the other; the times of their echoes.
///
/// # Errors
/// When a stream breaks.
pub async fn paced(
    address: SocketAddr,
    streams: usize,
    messages: usize,
    rate: f64,
) -> anyhow::Result<Samples> {
    let (echoed, mut echoes) = mpsc::unbounded_channel();
    let mut senders = Vec::with_capacity(streams);
    let mut channel = None;
    for number in 0..streams {
        if number % STREAMS_PER_CONNECTION == 0 {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
            channel = Some(endpoint.connect().await?);
        }
        let mut client = v1::agents_client::AgentsClient::new(channel.clone().context("there is one")?);
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let mut answers = client.session(ReceiverStream::new(receiver)).await?.into_inner();
        let echoed = echoed.clone();
        tokio::spawn(async move {
            while let Some(Ok(answer)) = answers.next().await {
                let Some(v1::coordinator_message::Message::Renewed(renewed)) = answer.message else {
                    continue;
                };
                // The measurement may be over.
                let _ = echoed.send((renewed.number, Instant::now()));
            }
        });
        senders.push(sender);
    }
    let (mut sent_at, start) = (Vec::with_capacity(messages), Instant::now());
    for (number, sender) in senders.iter().cycle().take(messages).enumerate() {
        let due = start + std::time::Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        sent_at.push(Instant::now());
        let renew = v1::Renew { number: number as u64, leases: Vec::new(), lease_ms: 0 };
        sender.send(v1::AgentMessage { message: Some(v1::agent_message::Message::Renew(renew)) }).await?;
    }
    let mut times = Samples::default();
    while times.len() < messages {
        let (number, at) = echoes.recv().await.context("the echo streams ended early")?;
        let sent = sent_at.get(number as usize).context("an echo of what was never sent")?;
        times.add(at.saturating_duration_since(*sent));
    }
    Ok(times)
}

async fn one_stream(
    channel: Channel,
    messages: usize,
    in_flight: usize,
) -> anyhow::Result<Vec<std::time::Duration>> {
    let mut client = v1::agents_client::AgentsClient::new(channel);
    let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
    let mut answers = client.session(ReceiverStream::new(receiver)).await?.into_inner();
    let mut sent_at = Vec::with_capacity(messages);
    let mut times = Vec::with_capacity(messages);
    while times.len() < messages {
        while sent_at.len() < messages && sent_at.len() - times.len() < in_flight {
            let renew = v1::Renew { number: sent_at.len() as u64, leases: Vec::new(), lease_ms: 0 };
            sent_at.push(Instant::now());
            sender.send(v1::AgentMessage { message: Some(v1::agent_message::Message::Renew(renew)) }).await?;
        }
        let answer = answers.next().await.context("the echo stream ended early")??;
        if let Some(v1::coordinator_message::Message::Renewed(renewed)) = answer.message {
            let at = sent_at.get(renewed.number as usize).context("an echo of what was never sent")?;
            times.push(at.elapsed());
        }
    }
    Ok(times)
}
