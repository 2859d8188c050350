//! `logs`: what a step writes, until it is durable at the coordinator, beside plain copies of the same bytes.
//!
//! - throughput: a step `cat`s a file of log lines; the time is from the step's start (its own record) until the last record is
//!   durable. Beside it: the same bytes through a pipe into a file, and from there into another, and the same once more
//!   with the second file synced, which is what durable costs on this disk alone;
//! - tail: a step writes a line every 10 ms; the time is from when init read it until a follower over HTTP has it. Beside
//!   it: one line appended to a file and synced;
//! - memory: how much this process (coordinator and agent together) grows while the step writes, beside the bytes.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde_json::Value as Json;
use slipway_coordinator::Handle;
use slipway_coordinator::records::{AttemptKey, AttemptLog};
use slipway_proto::v1::record::Record as Kind;
use slipway_scheduler::JobResult;

use crate::figure::{Figure, Samples};
use crate::local;
use crate::submission::new_run;

/// How long the whole of one measurement may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A line of the log: about what tools write.
const LINE_BYTES: usize = 100;

/// Lines of the measurement of the tail.
const TAIL_LINES: usize = 500;

/// Bytes that a plain copy moves at a time.
const COPY_BYTES: usize = 128 << 10;

/// Measures a log of this many mebibytes, in containers of `image`.
///
/// # Errors
/// When the engine does not answer, the image is not there, or a job does not do what it must.
pub async fn measure(image: &str, mebibytes: u64) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let (coordinator, agent) = local::start(folder.path(), image).await?;
    let measured = tokio::time::timeout(PATIENCE, both(&coordinator, mebibytes, folder.path())).await;
    agent.discard().await;
    coordinator.shutdown().await;
    measured.context("it took too long")?
}

async fn both(coordinator: &Handle, mebibytes: u64, folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut ours = tail(coordinator).await?;
    let mut by_hand = append_and_sync(folder)?;
    let mut figures = vec![
        Figure::new(
            "logs.tail_p50",
            "ms",
            ours.quantile_ms(0.5),
            "append and sync a line",
            by_hand.quantile_ms(0.5),
        ),
        Figure::new(
            "logs.tail_p99",
            "ms",
            ours.quantile_ms(0.99),
            "append and sync a line",
            by_hand.quantile_ms(0.99),
        ),
    ];
    let lines = (mebibytes << 20) / LINE_BYTES as u64;
    let size_bytes = lines * LINE_BYTES as u64;
    let Written { time, grown_bytes } = write(coordinator, lines).await?;
    let (plain, durable) = copies(folder, lines)?;
    let rate = |time: Duration| size_bytes as f64 / 1e6 / time.as_secs_f64();
    figures.extend([
        Figure::new("logs.throughput", "MB/s", rate(time), "pipe, file, file", rate(plain)),
        Figure::new("logs.throughput_durable", "MB/s", rate(time), "pipe, file, file, synced", rate(durable)),
        Figure::new(
            "logs.memory_growth",
            "MB",
            grown_bytes as f64 / 1e6,
            "bytes of the log",
            size_bytes as f64 / 1e6,
        ),
    ]);
    Ok(figures)
}

fn workflow(script: &[String]) -> String {
    let mut text = "on: push\njobs:\n  job:\n    runs-on: [self-hosted, bench]\n    steps:\n".to_owned();
    for step in script {
        text.push_str(&format!("      - run: {step}\n        shell: sh\n"));
    }
    text
}

/// A line of the log, without its end.
fn line() -> String {
    let text =
        "2026-01-01T00:00:00Z INFO compiling a crate with many modules, feature flags and dependencies, ";
    text.chars().cycle().take(LINE_BYTES - 1).collect()
}

struct Written {
    time: Duration,
    grown_bytes: u64,
}

async fn write(coordinator: &Handle, lines: u64) -> anyhow::Result<Written> {
    // The first step makes the file, so that the second one writes as fast as it can.
    let steps = [format!("\"yes '{}' | head -n {lines} > lines\"", line()), "cat lines".to_owned()];
    let run = coordinator.submit(new_run(&workflow(&steps))).await?;
    let driver = &coordinator.services().driver;
    let attempt = loop {
        let found = driver.query(move |view| {
            let run = view.state.run(run)?;
            let mut instances = run.jobs().iter().flat_map(|job| view.state.instances_of(job));
            instances.find(|instance| !instance.attempts().is_empty()).map(|instance| instance.id())
        });
        match found.await? {
            Some(instance) => break AttemptKey { run, instance, attempt: 1 },
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let log: AttemptLog = coordinator.services().records.attempt(attempt).await?;
    let mut progress = log.progress();
    let (mut early, mut late) = (0, 0);
    let done = loop {
        let now = *progress.borrow_and_update();
        if now.broken {
            bail!("the records could not be kept");
        }
        let resident = resident_bytes()?;
        match now.durable {
            durable if durable >= lines => break SystemTime::now(),
            durable if durable < lines / 4 => early = resident.max(early),
            _ => late = resident.max(late),
        }
        progress.changed().await?;
    };
    let mut reader = coordinator.services().records.reader(attempt, 1, false).await?;
    let started_ms = loop {
        let records = reader.next().await?;
        if records.is_empty() {
            bail!("the step's beginning is not in the log");
        }
        let began = records
            .iter()
            .find(|record| record.step == 1 && matches!(record.record, Some(Kind::StepStarted(_))));
        if let Some(record) = began {
            break record.time_ms;
        }
    };
    // What follows the last line is little, and no part of it.
    let time = done.duration_since(UNIX_EPOCH + Duration::from_millis(started_ms))?;
    // Nobody reads the millions of lines.
    loop {
        let result = driver
            .query(move |view| view.state.run(run).and_then(|run| run.end().map(|end| end.result)))
            .await?;
        match result {
            Some(JobResult::Success) => break,
            Some(result) => bail!("the job's result is {result:?}"),
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(Written { time, grown_bytes: late.saturating_sub(early) })
}

/// Follows a run to its end, which has to be a success.
async fn finished(
    coordinator: &Handle,
    run: &str,
    mut seen: impl FnMut(&Json) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let url = format!("http://{}/api/v1/runs/{run}/events?follow=true", coordinator.http_addr);
    let token = coordinator.admin_token.reveal();
    let answer = slipway_tests::http_client().get(url).bearer_auth(token).send().await?.error_for_status()?;
    let mut body = answer.bytes_stream();
    let mut text = Vec::new();
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece?);
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in text
            .drain(..=end)
            .collect::<Vec<_>>()
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let event: Json = serde_json::from_slice(line)?;
            seen(&event)?;
            if event.get("type").and_then(Json::as_str) == Some("run") {
                return match event.get("result").and_then(Json::as_str) {
                    Some("success") => Ok(()),
                    _ => bail!("the job did not succeed: {event}"),
                };
            }
        }
    }
    bail!("the run's events ended early")
}

async fn tail(coordinator: &Handle) -> anyhow::Result<Samples> {
    let script = format!("\"for i in $(seq {TAIL_LINES}); do echo tail $i; usleep 10000; done\"");
    let run = coordinator.submit(new_run(&workflow(&[script]))).await?;
    let mut samples = Samples::default();
    finished(coordinator, &run.to_string(), |event| {
        if event.get("line").and_then(Json::as_str).is_some_and(|line| line.starts_with("tail ")) {
            let written_ms = event.get("time_ms").and_then(Json::as_u64).context("a line has no time")?;
            let written = UNIX_EPOCH + Duration::from_millis(written_ms);
            samples.add(SystemTime::now().duration_since(written).unwrap_or_default());
        }
        Ok(())
    })
    .await?;
    if samples.len() != TAIL_LINES {
        bail!("{} of {TAIL_LINES} lines came", samples.len());
    }
    Ok(samples)
}

fn append_and_sync(folder: &Path) -> anyhow::Result<Samples> {
    let mut file = File::options().append(true).create(true).open(folder.join("appended"))?;
    let mut samples = Samples::default();
    for _ in 0..TAIL_LINES {
        let start = Instant::now();
        file.write_all(format!("{}\n", line()).as_bytes())?;
        file.sync_data()?;
        samples.add(start.elapsed());
    }
    Ok(samples)
}

/// The same bytes through a pipe into a file and from there into another, and the same with the second one synced.
fn copies(folder: &Path, lines: u64) -> anyhow::Result<(Duration, Duration)> {
    let (source, first, second) = (folder.join("source"), folder.join("first"), folder.join("second"));
    let block = format!("{}\n", line()).repeat(1_000);
    let mut file = File::create(&source)?;
    for _ in 0..lines / 1_000 {
        file.write_all(block.as_bytes())?;
    }
    file.write_all(format!("{}\n", line()).repeat((lines % 1_000) as usize).as_bytes())?;
    file.sync_all()?;
    let start = Instant::now();
    let mut cat = Command::new("cat").arg(&source).stdout(Stdio::piped()).spawn()?;
    copy(&mut cat.stdout.take().context("cat has no output")?, &mut File::create(&first)?)?;
    if !cat.wait()?.success() {
        bail!("cat failed");
    }
    let mut copied = File::create(&second)?;
    copy(&mut File::open(&first)?, &mut copied)?;
    let plain = start.elapsed();
    copied.sync_data()?;
    Ok((plain, start.elapsed()))
}

fn copy(from: &mut impl std::io::Read, to: &mut File) -> std::io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(buffer.get(..read).unwrap_or_default())?,
        }
    }
}

/// What this process has in memory.
fn resident_bytes() -> anyhow::Result<u64> {
    let mut status = String::new();
    File::open("/proc/self/status")?.read_to_string(&mut status)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
