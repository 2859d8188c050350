//! `idle`: what it costs when nothing is to do. An agent that waits for jobs, and a coordinator with ten thousand of them, each enrolled, with a
//! certificate and a connection of its own, renewing as real ones do.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use slipway_agent::coordinator::{Coordinator, Server, Trusted};
use slipway_agent::credential;
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message;
use slipway_tests::program;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::dispatch::hello;
use crate::figure::Figure;
use crate::process::{self, Process};

/// Agents that enrol at once.
const ENROL_AT_ONCE: usize = 16;
/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// After the start, until all that belongs to it is over.
const SETTLE: Duration = Duration::from_secs(10);
/// How long all of them may take to come.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures with so many agents.
///
/// # Errors
/// When one of them cannot enrol or connect, or a program ends.
pub async fn measure(agents: usize) -> anyhow::Result<Vec<Figure>> {
    let mut figures = one_agent().await.context("an idle agent")?;
    figures.extend(coordinator(agents).await.context("idle agents")?);
    Ok(figures)
}

/// Memory in MiB and processor time in hundredths of one processor, of a process that is looked at for a while.
async fn look(pid: u32) -> anyhow::Result<(f64, f64)> {
    let (begin, before) = (Instant::now(), process::cpu_seconds(pid)?);
    tokio::time::sleep(LOOK).await;
    let used = process::cpu_seconds(pid)? - before;
    let (memory, _) = process::memory_mib(pid)?;
    Ok((memory, used / begin.elapsed().as_secs_f64() * 100.0))
}

async fn one_agent() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let (coordinator, _) = Process::start(&folder.path().join("coordinator"))?;
    let token = coordinator.token("agent.token")?;
    let mut agent = tokio::process::Command::new(program("slipway-agent"))
        .args(["--server", &format!("http://{}", coordinator.grpc), "--token", &token, "--data-dir"])
        .arg(folder.path().join("agent"))
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    tokio::time::sleep(SETTLE).await;
    let pid = agent.id().context("the agent runs")?;
    let looked = look(pid).await;
    if let Some(ended) = agent.try_wait()? {
        bail!("the agent ended: {ended}");
    }
    let (memory, cpu) = looked?;
    let (coordinator_memory, coordinator_cpu) = look(coordinator.pid()).await?;
    Ok(vec![
        Figure::new("idle.agent_memory", "MiB", memory, "asked", 30.0),
        Figure::new("idle.agent_cpu", "percent", cpu, "asked", 0.1),
        Figure::new("idle.coordinator_memory_of_one", "MiB", coordinator_memory, "its agent", memory),
        Figure::new("idle.coordinator_cpu_of_one", "percent", coordinator_cpu, "its agent", cpu),
    ])
}

async fn coordinator(agents: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("coordinator");
    let (coordinator, _) = Process::start_with(&data, &["--tls-name", "localhost"])?;
    tokio::time::sleep(SETTLE).await;
    let (empty, _) = coordinator.memory_mib()?;
    let port = coordinator.grpc.rsplit_once(':').context("an address has a port")?.1;
    let server =
        Server::trusting(&format!("https://localhost:{port}"), Trusted::File(&data.join("ca.pem")), false)?;
    let mut crowd = JoinSet::new();
    let (ready, mut readies) = mpsc::channel(agents.max(1));
    let began = Instant::now();
    let mut joining = JoinSet::new();
    for number in 0..agents {
        while joining.len() >= ENROL_AT_ONCE {
            crowd.spawn(joining.join_next().await.context("there is one")???);
        }
        let (token, server, ready) = (token(&coordinator).await?, server.clone(), ready.clone());
        let folder = folder.path().join(format!("agent-{number}"));
        joining.spawn(async move {
            let agent = enrol(number, &server, &token, &folder).await?;
            anyhow::Ok(stay(number, agent, ready))
        });
    }
    while let Some(joined) = joining.join_next().await {
        crowd.spawn(joined??);
    }
    for _ in 0..agents {
        tokio::select! {
            ready = readies.recv() => ready.context("an agent is there")?,
            Some(ended) = crowd.join_next() => { ended??; bail!("an agent's session ended early") }
            () = tokio::time::sleep(PATIENCE.saturating_sub(began.elapsed())) => bail!("not all agents came"),
        }
    }
    tokio::time::sleep(SETTLE).await;
    let (memory, cpu) = look(coordinator.pid()).await?;
    if let Some(ended) = crowd.try_join_next() {
        ended??;
        bail!("an agent's session ended early");
    }
    Ok(vec![
        Figure::new("idle.coordinator_memory", "MiB", memory, "the same without agents", empty),
        Figure::new("idle.coordinator_cpu", "percent", cpu, "asked for 10,000 agents", 5.0),
    ])
}

/// A token for enrolment. One after the other: the coordinator keeps a bounded number of them.
async fn token(coordinator: &Process) -> anyhow::Result<String> {
    let url = format!("http://{}/api/v1/agents/tokens", coordinator.http);
    let request = slipway_tests::http_client().post(url).bearer_auth(coordinator.token("admin.token")?);
    let answer = request.json(&serde_json::json!({})).send().await?.error_for_status()?;
    let answer: serde_json::Value = answer.json().await?;
    Ok(answer.get("token").and_then(serde_json::Value::as_str).context("the answer has a token")?.to_owned())
}

async fn enrol(number: usize, server: &Server, token: &str, folder: &Path) -> anyhow::Result<Coordinator> {
    std::fs::create_dir(folder)?;
    let id = uuid::Uuid::from_u128(number as u128 + 1);
    let servers = [server.clone()];
    let member = credential::obtain(&servers, token, folder, id, &format!("bench-{number}")).await?;
    let servers = [server.with_badge(&member.badge)];
    Ok(Coordinator::new(&servers, &member.credential)?)
}

/// A session that renews nothing, as often as it is told to.
async fn stay(number: usize, agent: Coordinator, ready: mpsc::Sender<()>) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::channel(4);
    sender.send(hello(number)).await?;
    let mut messages = agent.client().session(ReceiverStream::new(receiver)).await?.into_inner();
    let welcome = messages.next().await.context("no welcome")??.message;
    let Some(Message::Welcome(welcome)) = welcome else { bail!("{welcome:?} instead of a welcome") };
    ready.send(()).await?;
    let every = Duration::from_millis(welcome.idle_ms.max(100).into());
    let mut renewals = 0;
    loop {
        tokio::select! {
            message = messages.next() => { message.context("the session ended")??; }
            () = tokio::time::sleep(every) => {
                renewals += 1;
                let renew = v1::Renew { number: renewals, leases: Vec::new(), lease_ms: 0 };
                sender.send(v1::AgentMessage { message: Some(v1::agent_message::Message::Renew(renew)) }).await?;
            }
        }
    }
}
