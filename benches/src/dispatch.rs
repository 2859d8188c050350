//! `dispatch`: from a run's submission to the assignment on an agent's stream, with a thousand simulated agents over
//! real gRPC, beside a bare tonic service that echoes as many messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use slipway_coordinator::options::Options;
use slipway_coordinator::{Coordinator, Handle};
use slipway_proto::{PROTOCOL_VERSION, v1};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};

use crate::echo;
use crate::figure::{Figure, Samples};
use crate::submission::new_run;

/// Submissions under way at once.
const SUBMITS_IN_FLIGHT: usize = 64;
/// Messages waiting on one agent's stream.
const STREAM_BUFFER: usize = 16;
/// How long the whole measurement may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Simulated agents, with one slot each.
    pub agents: usize,
    /// Runs of one job each.
    pub jobs: usize,
    /// Runs submitted a second.
    pub rate: f64,
}

/// When an assignment of which run arrived.
pub(crate) struct Arrival {
    pub(crate) run: String,
    pub(crate) at: Instant,
}

/// Measures latency at the given rate, then throughput with all that can be pushed.
///
/// # Errors
/// When a coordinator can't be started or a stream breaks.
pub async fn measure(load: Load) -> anyhow::Result<Vec<Figure>> {
    let paced = one_coordinator(load).await.context("at a steady rate")?;
    let flood = one_coordinator(Load { rate: f64::INFINITY, ..load }).await.context("in a flood")?;
    let address = echo::serve().await?;
    // As many streams and messages as the coordinator had: an assignment and a report for each job.
    let streams = load.agents;
    let mut echoed = echo::measure(address, streams, (2 * load.jobs / streams).max(1), 1).await?;
    let (mut paced_times, mut echo_times) = (paced.times, std::mem::take(&mut echoed.round_trips));
    let label = "bare tonic echo, same streams and messages";
    let quantile = |name: &str, share: f64, ours: &mut Samples, theirs: &mut Samples| {
        Figure::new(name, "ms", ours.quantile_ms(share), label, theirs.quantile_ms(share))
    };
    Ok(vec![
        quantile("dispatch.submit_to_agent_p50", 0.5, &mut paced_times, &mut echo_times),
        quantile("dispatch.submit_to_agent_p99", 0.99, &mut paced_times, &mut echo_times),
        Figure::new("dispatch.paced_leases_per_s", "per_s", paced.per_second, "rate asked for", load.rate),
        // A lease is two messages, one each way; so is an echo.
        Figure::new("dispatch.leases_per_s", "per_s", flood.per_second, label, echoed.per_second / 2.0),
    ])
}

struct Outcome {
    times: Samples,
    per_second: f64,
}

async fn one_coordinator(load: Load) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let coordinator = Arc::new(Coordinator::start(Options::embedded(folder.path())).await?);
    let (arrived, mut arrivals) = mpsc::channel(load.jobs);
    let mut agents = Vec::with_capacity(load.agents);
    let address = coordinator.grpc_addr.to_string();
    let mut channel = connect(&address).await?;
    for number in 0..load.agents {
        if number % echo::STREAMS_PER_CONNECTION == echo::STREAMS_PER_CONNECTION - 1 {
            channel = connect(&address).await?;
        }
        agents.push(agent(number, channel.clone(), &coordinator, arrived.clone()).await?);
    }
    drop(arrived);
    let measured = tokio::time::timeout(PATIENCE, drive(load, &coordinator, &mut arrivals)).await;
    agents.iter().for_each(tokio::task::JoinHandle::abort);
    let outcome = measured.context("the load was not done in time")??;
    if let Some(coordinator) = Arc::into_inner(coordinator) {
        coordinator.shutdown().await;
    }
    Ok(outcome)
}

async fn drive(
    load: Load,
    coordinator: &Arc<Handle>,
    arrivals: &mut mpsc::Receiver<Arrival>,
) -> anyhow::Result<Outcome> {
    let start = Instant::now();
    let in_flight = Arc::new(Semaphore::new(SUBMITS_IN_FLIGHT));
    let mut submits = tokio::task::JoinSet::new();
    let mut sent_at = BTreeMap::new();
    for number in 0..load.jobs {
        if load.rate.is_finite() {
            let due = start + Duration::from_secs_f64(number as f64 / load.rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let permit = Arc::clone(&in_flight).acquire_owned().await?;
        let coordinator = Arc::clone(coordinator);
        submits.spawn(async move {
            let sent = Instant::now();
            let run = coordinator.submit(new_run(ONE_JOB)).await;
            drop(permit);
            run.map(|run| (run.to_string(), sent))
        });
    }
    while let Some(submitted) = submits.join_next().await {
        let (run, sent) = submitted??;
        sent_at.insert(run, sent);
    }
    let mut times = Samples::default();
    let mut last = start;
    while times.len() < load.jobs {
        let Some(arrival) = arrivals.recv().await else { bail!("the agents' streams ended early") };
        let Some(sent) = sent_at.remove(&arrival.run) else { bail!("run {} was leased twice", arrival.run) };
        last = last.max(arrival.at);
        times.add(arrival.at.saturating_duration_since(sent));
    }
    let per_second = load.jobs as f64 / (last - start).as_secs_f64();
    Ok(Outcome { times, per_second })
}

/// A run of one job. Its specification is never read: the simulated agents report success at once.
pub(crate) const ONE_JOB: &str =
    "on: push\njobs:\n  job:\n    runs-on: [self-hosted, bench]\n    steps:\n      - run: 'true'\n";

/// A connection to a coordinator's gRPC services.
pub(crate) async fn connect(address: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(endpoint.connect().await?)
}

/// Puts the agents' token on every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    pub(crate) fn new(token: &str) -> anyhow::Result<Self> {
        Ok(Self(format!("Bearer {token}").parse()?))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// An agent with one slot that reports success for whatever it is assigned.
pub(crate) async fn agent(
    number: usize,
    channel: Channel,
    coordinator: &Handle,
    arrived: mpsc::Sender<Arrival>,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let bearer = Bearer::new(coordinator.agent_token.reveal())?;
    let mut client = v1::agents_client::AgentsClient::with_interceptor(channel, bearer);
    let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
    sender.send(hello(number)).await?;
    let mut messages = client.session(ReceiverStream::new(receiver)).await?.into_inner();
    match messages.next().await.context("no welcome")??.message {
        Some(v1::coordinator_message::Message::Welcome(_)) => {}
        other => bail!("expected a welcome, got {other:?}"),
    }
    Ok(tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            let Some(v1::coordinator_message::Message::Assign(assign)) = message.message else { continue };
            let at = Instant::now();
            let run = assign.lease.as_ref().and_then(|lease| lease.attempt.as_ref());
            let run = run.map(|attempt| attempt.run_id.clone()).unwrap_or_default();
            if arrived.send(Arrival { run, at }).await.is_err()
                || sender.send(success(assign.lease)).await.is_err()
            {
                return;
            }
        }
    }))
}

/// The hello of a simulated agent with one slot.
pub(crate) fn hello(number: usize) -> v1::AgentMessage {
    let hello = v1::Hello {
        agent_id: uuid::Uuid::from_u128(number as u128 + 1).to_string(),
        name: format!("bench-{number}"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        architecture: "X64".to_owned(),
        labels: vec!["self-hosted".to_owned(), "bench".to_owned()],
        slots: 1,
        ..v1::Hello::default()
    };
    v1::AgentMessage { message: Some(v1::agent_message::Message::Hello(hello)) }
}

/// A report of success.
pub(crate) fn success(lease: Option<v1::Lease>) -> v1::AgentMessage {
    let work = v1::WorkOutcome { result: v1::Result::Success.into(), ..v1::WorkOutcome::default() };
    let report =
        v1::Report { lease, outcome: Some(v1::report::Outcome::Work(work)), ..v1::Report::default() };
    v1::AgentMessage { message: Some(v1::agent_message::Message::Report(report)) }
}
