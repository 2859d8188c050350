//! `browsers`: a busy log that many pages follow live, beside one page: what the job's agent notices of it, and what the coordinator holds
//! in memory.
//!
//! The agent is a simulated one that writes at a steady rate and times when its lines are durable; the coordinator is a process of its
//! own, and what follows reads as a browser's stream does, from a session of its own page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use prost::Message as _;
use serde_json::{Value as Json, json};
use slipway_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::dispatch::{Bearer, connect, hello};
use crate::figure::{Figure, Samples};
use crate::process::Process;

/// Lines of one batch, and how often one is written.
const BATCH_LINES: u64 = 50;
const EVERY: Duration = Duration::from_millis(50);

/// How long followers have to connect before the log gets busy.
const SETTLE: Duration = Duration::from_secs(3);

/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// How long the whole of one side may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Pages that follow.
    pub browsers: usize,
    /// Lines of the log.
    pub lines: u64,
}

struct Side {
    durable: Samples,
    took: Duration,
    /// Rows that each follower heard of, on average.
    heard: f64,
    most_mib: f64,
}

/// Measures one page, and then as many as are asked for.
///
/// # Errors
/// When the coordinator does not start, or something ends early.
pub async fn measure(load: Load) -> anyhow::Result<Vec<Figure>> {
    let one = tokio::time::timeout(PATIENCE, side(Load { browsers: 1, ..load }));
    let mut one = one.await.context("it took too long")?.context("with one page")?;
    let many = tokio::time::timeout(PATIENCE, side(load));
    let mut many = many.await.context("it took too long")?.context("with many pages")?;
    let label = "the same with one page";
    let pair = |name: &str, unit, value, baseline| Figure::new(name, unit, value, label, baseline);
    Ok(vec![
        pair("browsers.job", "ms", many.took.as_secs_f64() * 1e3, one.took.as_secs_f64() * 1e3),
        pair("browsers.durable_p50", "ms", many.durable.quantile_ms(0.5), one.durable.quantile_ms(0.5)),
        pair("browsers.durable_p99", "ms", many.durable.quantile_ms(0.99), one.durable.quantile_ms(0.99)),
        pair("browsers.memory", "MiB", many.most_mib, one.most_mib),
        pair("browsers.messages_each", "messages", many.heard, one.heard),
    ])
}

const WORKFLOW: &str =
    "on: push\njobs:\n  job:\n    runs-on: [self-hosted, bench]\n    steps:\n      - run: 'true'\n";

async fn side(load: Load) -> anyhow::Result<Side> {
    let folder = tempfile::tempdir()?;
    let (process, _) = Process::start(folder.path())?;
    let (admin, agent_token) = (process.token("admin.token")?, process.token("agent.token")?);
    let bearer = Bearer::new(&agent_token)?;
    let channel = connect(&process.grpc).await?;
    let mut client = v1::agents_client::AgentsClient::with_interceptor(channel, bearer);
    let (sender, receiver) = mpsc::channel(16);
    sender.send(hello(0)).await?;
    let mut messages = client.session(ReceiverStream::new(receiver)).await?.into_inner();
    let http = slipway_tests::http_client_builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let api = |path: &str| format!("http://{}{path}", process.http);
    let submitted =
        json!({"workflow_file": ".github/workflows/bench.yml", "workflow": WORKFLOW, "event_name": "push"});
    let answer = http.post(api("/api/v1/runs")).bearer_auth(&admin).json(&submitted).send().await?;
    ensure!(answer.status().is_success(), "a run was not taken: {}", answer.text().await?);
    let run = answer.json::<Json>().await?;
    let run = run.get("run").and_then(Json::as_str).context("a run has an id")?.to_owned();
    let lease = loop {
        let Some(Ok(message)) = messages.next().await else { bail!("the session ended early") };
        if let Some(v1::coordinator_message::Message::Assign(assign)) = message.message {
            break assign.lease.context("an assignment has a lease")?;
        }
    };
    tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
    let renewing = tokio::spawn(renew(sender.clone(), lease.clone()));

    let (out, batches) = mpsc::channel(16);
    let mut acks = client.records(ReceiverStream::new(batches)).await?.into_inner();
    let began =
        v1::record::Record::StepStarted(v1::StepStarted { name: "Busy".to_owned(), ..Default::default() });
    out.send(batch(&lease, 1, vec![record(began)])?).await?;
    let instance = lease.attempt.as_ref().context("a lease has an attempt")?.instance_id.clone();

    let heard = Arc::new(AtomicU64::new(0));
    let cookie = session(&http, &api("/sign-in"), &admin).await?;
    let url = api(&format!("/runs/{run}/jobs/{instance}/live?record=1&line=1"));
    let mut browsers = tokio::task::JoinSet::new();
    for _ in 0..load.browsers {
        // A client of its own: a browser has connections of its own.
        let request = slipway_tests::http_client()
            .get(&url)
            .header("cookie", &cookie)
            .header("accept", "text/event-stream");
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "a page cannot follow: {}", answer.status());
        let heard = Arc::clone(&heard);
        browsers.spawn(async move {
            let mut body = answer.bytes_stream();
            while let Some(Ok(piece)) = body.next().await {
                let events =
                    piece.windows(7).filter(|window| *window == b"\nevent:" || *window == b"event: ").count();
                heard.fetch_add(events as u64, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(SETTLE).await;

    let (sent_in, mut sent) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let writing = {
        let lease = lease.clone();
        async move {
            let mut next = 2;
            while next < 2 + load.lines {
                let due = begun + EVERY * u32::try_from((next - 2) / BATCH_LINES)?;
                tokio::time::sleep_until(due.into()).await;
                let line = |number: u64| {
                    let text = format!(
                        "{number} compiling a crate with many modules, feature flags and dependencies"
                    );
                    record(v1::record::Record::Line(v1::LogLine {
                        text: text.into_bytes().into(),
                        ..Default::default()
                    }))
                };
                let records = (next..next + BATCH_LINES).map(line).collect();
                out.send(batch(&lease, next, records)?).await?;
                next += BATCH_LINES;
                sent_in.send((next - 1, Instant::now()))?;
            }
            anyhow::Ok(out)
        }
    };
    let writing = tokio::spawn(writing);
    let (mut durable, mut most_mib, last) =
        (Samples::default(), 0.0_f64, 1 + load.lines.div_ceil(BATCH_LINES) * BATCH_LINES);
    let mut open = None;
    loop {
        let ack = acks.message().await?.context("the acknowledgements ended early")?;
        most_mib = most_mib.max(process.memory_mib()?.0);
        loop {
            let (upto, at) = match open.take() {
                Some(open) => open,
                None => match sent.try_recv() {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            if upto > ack.durable {
                open = Some((upto, at));
                break;
            }
            durable.add(at.elapsed());
        }
        if ack.durable >= last {
            break;
        }
    }
    let took = begun.elapsed();
    // The stream and the session end here.
    drop((writing.await??, sender));
    let heard = heard.load(Ordering::Relaxed) as f64 / load.browsers as f64;
    ensure!(browsers.len() == load.browsers && heard > 0.0, "nobody followed");
    browsers.abort_all();
    renewing.abort();
    process.kill()?;
    Ok(Side { durable, took, heard, most_mib })
}

/// Keeps the lease.
async fn renew(sender: mpsc::Sender<v1::AgentMessage>, lease: v1::Lease) {
    for number in 1.. {
        let renew = v1::Renew { number, leases: vec![lease.clone()], lease_ms: 0 };
        let message = v1::AgentMessage { message: Some(v1::agent_message::Message::Renew(renew)) };
        if sender.send(message).await.is_err() {
            return;
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

/// The cookie of somebody who signed in.
async fn session(http: &reqwest::Client, url: &str, token: &str) -> anyhow::Result<String> {
    let form = format!("token={token}&next=%2F");
    let form_type = "application/x-www-form-urlencoded";
    let answer = http.post(url).header("content-type", form_type).body(form).send().await?;
    let cookie = answer.headers().get("set-cookie").context("nobody was signed in")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

fn record(record: v1::record::Record) -> v1::Record {
    v1::Record { time_ms: 1_800_000_000_000, step: 0, record: Some(record) }
}

fn batch(lease: &v1::Lease, first: u64, records: Vec<v1::Record>) -> anyhow::Result<v1::RecordBatch> {
    let records = records.iter().map(|record| record.encode_to_vec().into()).collect();
    Ok(v1::RecordBatch { lease: Some(lease.clone()), first, records, ..Default::default() })
}
