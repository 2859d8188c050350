//! `start`: how long a user waits for a step and for a job, beside the same by hand with the container engine.
//!
//! - a step in a running container: an order to init until its end is read, beside `docker exec` of the same;
//! - a job of one step: from submission to the first log line and to the result, on a private coordinator and agent,
//!   beside creating a network and a volume and `docker run` of the same image and command, and beside `docker run --rm`, alone and in a network of its own that is there
//!   already;
//! - the same where a container waits for it ("warm").

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde_json::Value as Json;
use slipway_agent::init::{self, Body, Carried, JobSocket, Spool, Start};
use slipway_coordinator::Handle;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::figure::{Figure, Samples};
use crate::local;
use crate::submission::new_run;

/// How long any single thing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures steps and jobs in containers of `image`, each `rounds` times, ours and by hand in turn.
///
/// # Errors
/// When the engine does not answer, the image is not there, or a container does not do what it must.
pub async fn measure(image: &str, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    docker(&["image", "inspect", "--format", "{{.Id}}", image]).await.with_context(|| {
        format!("the image {image} is not there: make it with scripts/runner-image.sh --slim")
    })?;
    let mut figures = steps(image, rounds).await.context("steps")?;
    figures.extend(jobs(image, rounds).await.context("jobs")?);
    Ok(figures)
}

/// Runs the Docker client and gives its output, trimmed.
async fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        bail!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn steps(image: &str, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let run_dir = folder.path().join("run");
    std::fs::create_dir(&run_dir)?;
    init::place(&init::install(folder.path(), Carried::Init)?, Carried::Init, &run_dir)?;
    let mut socket = JobSocket::bind(&run_dir)?;
    let spool = Spool::create(&folder.path().join("spool"), init::limits::SPOOL_CAPACITY_BYTES)?;
    let mount = format!("{}:/.slipway:ro", run_dir.display());
    let container = docker(&["run", "-d", "-v", &mount, "--entrypoint", "/.slipway/init", image]).await?;
    let measured = steps_in(&container, &mut socket, &spool, rounds).await;
    docker(&["rm", "-f", &container]).await?;
    let (mut ours, mut by_hand) = measured?;
    Ok(vec![Figure::new(
        "start.step_p50",
        "ms",
        ours.quantile_ms(0.5),
        "docker exec CONTAINER true",
        by_hand.quantile_ms(0.5),
    )])
}

async fn steps_in(
    container: &str,
    socket: &mut JobSocket,
    spool: &Spool,
    rounds: usize,
) -> anyhow::Result<(Samples, Samples)> {
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", container]).await?.parse()?;
    let accepted = tokio::time::timeout(PATIENCE, socket.accept(pid, spool, None)).await;
    let connection = accepted.context("init did not connect")??;
    let mut reader = spool.reader(0);
    let (mut ours, mut by_hand) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        let start = Instant::now();
        let order = Start {
            step: round as u32 + 1,
            argv: vec![b"/bin/true".to_vec()],
            env: Vec::new(),
            cwd: b"/".to_vec(),
        };
        connection.link.start(order).await?;
        loop {
            let frame = reader.next_frame().await?.context("the spool ended")?;
            match frame.frame.body {
                Body::Exited(_) => break,
                Body::SpawnFailed { message, .. } => bail!("the step did not start: {message}"),
                _ => {}
            }
        }
        ours.add(start.elapsed());
        let start = Instant::now();
        docker(&["exec", container, "/bin/true"]).await?;
        by_hand.add(start.elapsed());
    }
    Ok((ours, by_hand))
}

/// When the first line was seen, and when all was over.
struct Seen {
    first_line: Duration,
    finished: Duration,
}

async fn jobs(image: &str, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let mut fleets = Vec::new();
    // The first makes a container for each job, the second has one that waits.
    for warm in [0, 1] {
        fleets.push(Fleet {
            fleet: local::start_with(&folder.path().join(warm.to_string()), image, warm).await?,
            warm,
        });
    }
    let own = format!("slipway-bench-own-{}", std::process::id());
    docker(&["network", "create", &own]).await?;
    let measured = jobs_on(&fleets, image, rounds, folder.path(), &own).await;
    docker(&["network", "rm", &own]).await?;
    for Fleet { fleet: (coordinator, agent), .. } in fleets {
        agent.discard().await;
        coordinator.shutdown().await;
    }
    let [cold, cold_end, warm, warm_end, line, end, bare, apart] =
        measured?.map(|mut samples| samples.quantile_ms(0.5));
    let (all, alone) = ("docker network+volume create, docker run", "docker run --rm");
    let apart_name = "docker run --rm --network its own";
    Ok(vec![
        Figure::new("start.job_first_line_p50", "ms", cold, all, line),
        Figure::new("start.job_finished_p50", "ms", cold_end, all, end),
        Figure::new("start.job_first_line_beside_run_p50", "ms", cold, alone, bare),
        Figure::new("start.job_first_line_beside_run_apart_p50", "ms", cold, apart_name, apart),
        Figure::new("start.warm_job_first_line_p50", "ms", warm, alone, bare),
        Figure::new("start.warm_job_finished_p50", "ms", warm_end, all, end),
    ])
}

/// A coordinator and an agent, with so many containers that wait.
struct Fleet {
    fleet: (Handle, slipway_agent::agent::Handle),
    warm: usize,
}

impl Fleet {
    /// Waits until as many containers wait as should.
    async fn ready(&self) -> anyhow::Result<()> {
        let own = format!("label=slipway.agent={}", self.fleet.1.id);
        let list = ["ps", "--quiet", "--filter", &own, "--filter", "name=slipway-waiting-"];
        let give_up = Instant::now() + PATIENCE;
        while docker(&list).await?.lines().count() < self.warm {
            if Instant::now() > give_up {
                bail!("no container waits");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // The machine is quiet again.
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }
}

/// Between two measurements.
const SETTLE: Duration = Duration::from_millis(500);

async fn jobs_on(
    fleets: &[Fleet],
    image: &str,
    rounds: usize,
    folder: &Path,
    own: &str,
) -> anyhow::Result<[Samples; 8]> {
    let mut samples: [Samples; 8] = Default::default();
    // The first round of each warms caches (layers, the agent's folders) and is not counted.
    for round in 0..=rounds {
        let mut times = Vec::new();
        for fleet in fleets {
            if round > 0 {
                fleet.ready().await?;
            }
            let ours = tokio::time::timeout(PATIENCE, our_job(&fleet.fleet.0)).await;
            let ours = ours.context("the job took too long")??;
            times.extend([ours.first_line, ours.finished]);
        }
        // What waits for the next job is made now, and would be in the way.
        for fleet in fleets {
            fleet.ready().await?;
        }
        let by_hand = tokio::time::timeout(PATIENCE, job_by_hand(image, round, folder)).await;
        let by_hand = by_hand.context("docker run took too long")??;
        tokio::time::sleep(SETTLE).await;
        times.extend([by_hand.first_line, by_hand.finished]);
        for network in ["bridge", own] {
            let bare = tokio::time::timeout(PATIENCE, bare_run(image, network)).await;
            times.push(bare.context("docker run --rm took too long")??);
            tokio::time::sleep(SETTLE).await;
        }
        if round > 0 {
            samples.iter_mut().zip(times).for_each(|(samples, time)| samples.add(time));
        }
    }
    Ok(samples)
}

async fn our_job(coordinator: &Handle) -> anyhow::Result<Seen> {
    let workflow = "on: push\njobs:\n  job:\n    runs-on: [self-hosted, bench]\n    steps:\n      - run: echo first line\n        shell: sh\n";
    let start = Instant::now();
    let run = coordinator.submit(new_run(workflow)).await?;
    let url = format!("http://{}/api/v1/runs/{run}/events?follow=true", coordinator.http_addr);
    let token = coordinator.admin_token.reveal();
    let answer = slipway_tests::http_client().get(url).bearer_auth(token).send().await?.error_for_status()?;
    let mut body = answer.bytes_stream();
    let (mut text, mut first_line) = (Vec::new(), None);
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece?);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let event: Json = serde_json::from_slice(&text.drain(..=end).collect::<Vec<_>>())?;
            match event.get("type").and_then(Json::as_str) {
                Some("log") if event.get("line").and_then(Json::as_str) == Some("first line") => {
                    first_line.get_or_insert_with(|| start.elapsed());
                }
                Some("run") => {
                    let first_line = first_line.context("the job's line never came")?;
                    if event.get("result").and_then(Json::as_str) != Some("success") {
                        bail!("the job did not succeed: {event}");
                    }
                    return Ok(Seen { first_line, finished: start.elapsed() });
                }
                _ => {}
            }
        }
    }
    bail!("the run's events ended early")
}

async fn job_by_hand(image: &str, round: usize, folder: &Path) -> anyhow::Result<Seen> {
    let name = format!("slipway-bench-{}-{round}", std::process::id());
    let script = folder.join("script.sh");
    std::fs::write(&script, "echo first line\n")?;
    let start = Instant::now();
    docker(&["network", "create", &name]).await?;
    docker(&["volume", "create", &name]).await?;
    let volume = format!("{name}:/home/runner/work");
    let mount = format!("{}:/script.sh:ro", script.display());
    let run = ["run", "--name", &name, "--network", &name, "-v", &volume, "-v", &mount, image];
    let seen = run_by_hand(start, &[&run[..], &["sh", "-e", "/script.sh"]].concat()).await?;
    docker(&["rm", &name]).await?;
    docker(&["volume", "rm", &name]).await?;
    docker(&["network", "rm", &name]).await?;
    Ok(seen)
}

/// Time to the first line of `docker run --rm` in this network, with nothing mounted.
async fn bare_run(image: &str, network: &str) -> anyhow::Result<Duration> {
    let run = ["run", "--rm", "--network", network, image, "sh", "-e", "-c", "echo first line"];
    Ok(run_by_hand(Instant::now(), &run).await?.first_line)
}

/// Runs the Docker client until its container has ended.
async fn run_by_hand(start: Instant, arguments: &[&str]) -> anyhow::Result<Seen> {
    let mut command = Command::new("docker");
    let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("docker run has no output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    let first_line = start.elapsed();
    let status = child.wait().await?;
    let finished = start.elapsed();
    if line.as_deref() != Some("first line") || !status.success() {
        bail!("docker run did not print its line");
    }
    Ok(Seen { first_line, finished })
}
