//! `dispatch` with a backlog: ten thousand agents that renew their leases, and a hundred thousand jobs that wait. How soon an
//! agent that became free has its next job, how many leases a second there can be, and the coordinator's memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::canary::Canary;
use crate::dispatch::{Bearer, connect, hello, success};
use crate::echo;
use crate::figure::{Figure, Samples};
use crate::process::Process;

/// Instances of one run: the most that a matrix may have, rounded.
const JOBS_PER_RUN: usize = 250;
/// Submissions under way at once.
const SUBMITS_IN_FLIGHT: usize = 8;
/// Messages waiting on one agent's stream.
const STREAM_BUFFER: usize = 16;
/// How often an agent renews its lease, as real ones do.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long one part may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Simulated agents, with one slot each.
    pub agents: usize,
    /// Jobs that wait before the first agent comes.
    pub waiting: usize,
    /// Leases a second while latency is measured.
    pub rate: f64,
    /// Leases in each part.
    pub leases: usize,
}

/// Measures.
///
/// # Errors
/// When the load leaves nothing to lease, the coordinator can't be started, or a stream breaks.
pub async fn measure(load: Load) -> anyhow::Result<Vec<Figure>> {
    let Load { agents, waiting, rate, leases } = load;
    if waiting < agents + 2 * leases {
        bail!("--waiting has to be at least agents and twice --leases: {}", agents + 2 * leases);
    }
    let folder = tempfile::tempdir()?;
    let (coordinator, _) = Process::start(folder.path())?;
    let (empty_mib, _) = coordinator.memory_mib()?;
    fill(&coordinator, waiting).await.context("submitting the backlog")?;
    let mut crowd = Crowd::connect(&coordinator, agents).await.context("connecting the agents")?;
    let canary = Canary::start()?;
    let paced = crowd.paced(leases, rate).await.context("at a steady rate")?;
    let disturbances = canary.end();
    let (mut all, mut undisturbed) = (Samples::new(), Samples::new());
    for (sent, arrived) in paced {
        let time = arrived.saturating_duration_since(sent);
        all.add(time);
        if !disturbances.touch(sent, arrived) {
            undisturbed.add(time);
        }
    }
    let flood = crowd.flood(leases).await.context("in a flood")?;
    let (_, peak_mib) = coordinator.memory_mib()?;
    drop(crowd);
    drop(coordinator);
    let address = echo::serve().await?;
    let mut paced_echo = echo::paced(address, agents, leases, rate).await?;
    let echoed = echo::measure(address, agents, (3 * leases / (2 * agents)).max(1), 1).await?;
    let label = "bare tonic echo, same streams and rate";
    let quantile = |name: &str, share: f64, ours: &mut Samples, theirs: &mut Samples| {
        Figure::new(name, "ms", ours.quantile_ms(share), label, theirs.quantile_ms(share))
    };
    Ok(vec![
        quantile("dispatch.backlog_free_to_next_p50", 0.5, &mut all, &mut paced_echo),
        quantile("dispatch.backlog_free_to_next_p99", 0.99, &mut all, &mut paced_echo),
        quantile(
            "dispatch.backlog_free_to_next_p99_machine_undisturbed",
            0.99,
            &mut undisturbed,
            &mut paced_echo,
        ),
        Figure::new(
            "dispatch.backlog_machine_disturbed",
            "share",
            disturbances.share,
            "the longest that the machine stood still, ms",
            disturbances.longest_ms,
        ),
        // A lease is three messages (report, accepted, assign); an echo is two.
        Figure::new(
            "dispatch.backlog_leases_per_s",
            "per_s",
            flood,
            "bare tonic echo, as many messages",
            echoed.per_second * 2.0 / 3.0,
        ),
        Figure::new("dispatch.backlog_memory", "MiB", peak_mib, "the coordinator when it started", empty_mib),
    ])
}

/// Submits runs until so many jobs wait.
async fn fill(coordinator: &Process, waiting: usize) -> anyhow::Result<()> {
    let numbers: Vec<String> = (0..JOBS_PER_RUN).map(|number| number.to_string()).collect();
    let workflow = format!(
        "on: push\njobs:\n  job:\n    runs-on: [self-hosted, bench]\n    strategy:\n      matrix:\n        n: [{}]\n    steps:\n      - run: 'true'\n",
        numbers.join(", ")
    );
    let submission = serde_json::json!({
        "workflow_file": ".github/workflows/bench.yml", "workflow": workflow, "event_name": "push",
        "repository": "slipway/bench", "git_ref": "refs/heads/main", "actor": "bench",
    });
    let (client, token) = (slipway_tests::http_client(), coordinator.token("admin.token")?);
    let url = format!("http://{}/api/v1/runs", coordinator.http);
    let mut under_way = JoinSet::new();
    for _ in 0..waiting.div_ceil(JOBS_PER_RUN) {
        while under_way.len() >= SUBMITS_IN_FLIGHT {
            under_way.join_next().await.context("there is one")???;
        }
        let request = client.post(&url).bearer_auth(&token).json(&submission);
        under_way.spawn(async move { anyhow::Ok(request.send().await?.error_for_status().map(drop)?) });
    }
    while let Some(submitted) = under_way.join_next().await {
        submitted??;
    }
    let began = Instant::now();
    while queue_length(&client, coordinator, &token).await? < waiting {
        if began.elapsed() > PATIENCE {
            bail!("the jobs are not all planned after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn queue_length(client: &reqwest::Client, coordinator: &Process, token: &str) -> anyhow::Result<usize> {
    let url = format!("http://{}/metrics", coordinator.http);
    let page = client.get(url).bearer_auth(token).send().await?.error_for_status()?.text().await?;
    let lines = page.lines().filter(|line| line.starts_with("slipway_queue_length"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum())
}

/// A job came to an agent.
struct Arrival {
    agent: usize,
    lease: Option<v1::Lease>,
    at: Instant,
}

/// All agents. Each holds one job until it is told to report.
struct Crowd {
    /// The leases to report, by agent.
    tell: Vec<mpsc::Sender<v1::Lease>>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// Who has a job, longest first.
    busy: VecDeque<(usize, v1::Lease)>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Crowd {
    /// Connects so many agents and waits until each has a job.
    async fn connect(coordinator: &Process, agents: usize) -> anyhow::Result<Self> {
        let token = coordinator.token("agent.token")?;
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let mut crowd = Self { tell: Vec::new(), arrivals, busy: VecDeque::new(), tasks: JoinSet::new() };
        let mut channel = connect(&coordinator.grpc).await?;
        for number in 0..agents {
            if number % echo::STREAMS_PER_CONNECTION == echo::STREAMS_PER_CONNECTION - 1 {
                channel = connect(&coordinator.grpc).await?;
            }
            let (tell, told) = mpsc::channel(1);
            let bearer = Bearer::new(&token)?;
            crowd.tasks.spawn(agent(number, channel.clone(), bearer, told, arrived.clone()));
            crowd.tell.push(tell);
        }
        for _ in 0..agents {
            crowd.take_arrival().await?;
        }
        Ok(crowd)
    }

    async fn take_arrival(&mut self) -> anyhow::Result<(usize, Instant)> {
        tokio::select! {
            arrival = self.arrivals.recv() => {
                let Arrival { agent, lease, at } = arrival.context("the agents are there")?;
                self.busy.push_back((agent, lease.context("an assignment has a lease")?));
                Ok((agent, at))
            }
            Some(ended) = self.tasks.join_next() => {
                ended??;
                bail!("an agent's stream ended early")
            }
            () = tokio::time::sleep(PATIENCE) => bail!("no agent got a job for {PATIENCE:?}"),
        }
    }

    /// Ends the job of who has one longest.
    async fn report_one(&mut self) -> anyhow::Result<usize> {
        let (agent, lease) = self.busy.pop_front().context("no agent has a job")?;
        let tell = self.tell.get(agent).context("an agent of this crowd")?;
        tell.send(lease).await.context("an agent's stream ended")?;
        Ok(agent)
    }

    /// Reports at this rate; when each agent reported, and when it had its next job.
    async fn paced(&mut self, leases: usize, rate: f64) -> anyhow::Result<Vec<(Instant, Instant)>> {
        let mut sent = vec![None; self.tell.len()];
        let (mut done, mut reported, start) = (0, 0, Instant::now());
        let mut times = Vec::with_capacity(leases);
        while done < leases {
            let due = start + Duration::from_secs_f64(reported as f64 / rate);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.into()), if reported < leases => {
                    let agent = self.busy.front().context("no agent has a job")?.0;
                    if let Some(place) = sent.get_mut(agent) {
                        *place = Some(Instant::now());
                    }
                    self.report_one().await?;
                    reported += 1;
                }
                arrival = self.take_arrival() => {
                    let (agent, at) = arrival?;
                    let sent = sent.get_mut(agent).and_then(Option::take).context("a job that nobody waited for")?;
                    times.push((sent, at));
                    done += 1;
                }
            }
        }
        Ok(times)
    }

    /// All agents report at once and go on as soon as they have a job again; leases a second.
    async fn flood(&mut self, leases: usize) -> anyhow::Result<f64> {
        let start = Instant::now();
        let mut reported = 0;
        while reported < leases && !self.busy.is_empty() {
            self.report_one().await?;
            reported += 1;
        }
        for _ in 0..leases {
            self.take_arrival().await?;
            if reported < leases {
                self.report_one().await?;
                reported += 1;
            }
        }
        Ok(leases as f64 / start.elapsed().as_secs_f64())
    }
}

/// An agent with one slot: takes what it is assigned, renews it, and reports it when it is told to.
async fn agent(
    number: usize,
    channel: Channel,
    bearer: Bearer,
    mut told: mpsc::Receiver<v1::Lease>,
    arrived: mpsc::UnboundedSender<Arrival>,
) -> anyhow::Result<()> {
    let mut client = v1::agents_client::AgentsClient::with_interceptor(channel, bearer);
    let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
    sender.send(hello(number)).await?;
    let mut messages = client.session(ReceiverStream::new(receiver)).await?.into_inner();
    // Not all at once, as it would be with agents that start at their own times.
    let first = RENEW_EVERY.mul_f64((number % 1_000) as f64 / 1_000.0);
    let mut renew = tokio::time::interval_at((Instant::now() + first).into(), RENEW_EVERY);
    let (mut held, mut renewals) = (None, 0);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { bail!("the session ended") };
                let Some(Message::Assign(assign)) = message?.message else { continue };
                held.clone_from(&assign.lease);
                // Nobody listens any more when the measurement is over.
                if arrived.send(Arrival { agent: number, lease: assign.lease, at: Instant::now() }).is_err() {
                    return Ok(());
                }
            }
            lease = told.recv() => {
                let Some(lease) = lease else { return Ok(()) };
                held = None;
                sender.send(success(Some(lease))).await?;
            }
            _ = renew.tick() => {
                renewals += 1;
                let renewal = v1::Renew { number: renewals, leases: held.iter().cloned().collect(), lease_ms: 0 };
                let message = Some(v1::agent_message::Message::Renew(renewal));
                sender.send(v1::AgentMessage { message }).await?;
            }
        }
    }
}
