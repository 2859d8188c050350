//! `webhooks`: signed deliveries until they are durable and answered, beside a bare axum handler that checks the same signature; and
//! from a delivery to the assignment on an agent's stream.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use slipway_coordinator::Coordinator;
use slipway_coordinator::options::{Options, Repository, WebhookSecret};
use tokio::sync::{Semaphore, mpsc};

use crate::dispatch;
use crate::figure::{Figure, Samples};

const SECRET: &str = "a secret of the measurement";

/// Requests on their way at once, as GitHub's own workers would have them.
const IN_FLIGHT: usize = 64;

/// Deliveries a second while latency is measured.
const STEADY_RATE: f64 = 500.0;

/// Bytes of a delivery's body, about: what GitHub says of a push with a few commits.
const BODY_BYTES: usize = 8 << 10;

/// How long a delivery may take to become a lease before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Deliveries in each part of the first figures.
    pub deliveries: usize,
    /// Deliveries that become leases, one after the other.
    pub leases: usize,
}

/// Measures.
///
/// # Errors
/// When a coordinator cannot be started, or a delivery is not taken.
pub async fn measure(load: Load) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let (code, data) = (folder.path().join("code"), folder.path().join("data"));
    let head = repository(&code)?;
    let mut options = Options::embedded(&data);
    options.webhook.secret = Some(WebhookSecret(SECRET.to_owned()));
    options.webhook.repositories =
        vec![Repository { name: "o/n".to_owned(), clone_url: format!("file://{}", code.display()) }];
    let coordinator = Coordinator::start(options).await?;
    let bare = bare().await?;
    let (ours, theirs) = (coordinator.http_addr, bare);

    // Sides take turns, so that what else the machine does hits both.
    let mut rates = [Samples::default(), Samples::default()];
    let mut times = [Samples::default(), Samples::default()];
    for round in 0..ROUNDS {
        for (side, address) in [ours, theirs].into_iter().enumerate() {
            let flood = send(address, round, load.deliveries / ROUNDS, f64::INFINITY).await?;
            rates[side].add(flood.took / u32::try_from(flood.count)?);
            send(address, ROUNDS + round, load.deliveries / ROUNDS, STEADY_RATE)
                .await?
                .times
                .into_iter()
                .for_each(|time| times[side].add(time));
        }
    }
    let [mut our_rate, mut their_rate] = rates;
    let [mut our_times, mut their_times] = times;
    let label = "bare axum handler that checks the signature";
    let per_second = |samples: &mut Samples| 1_000.0 / samples.quantile_ms(0.5);
    let mut figures = vec![
        Figure::new(
            "webhooks.accepted_per_s",
            "per_s",
            per_second(&mut our_rate),
            label,
            per_second(&mut their_rate),
        ),
        quantile("webhooks.accept_p50", 0.5, &mut our_times, label, &mut their_times),
        quantile("webhooks.accept_p99", 0.99, &mut our_times, label, &mut their_times),
    ];
    let (mut to_lease, mut to_answer) = leases(&coordinator, ours, &head, load.leases).await?;
    let label = "the delivery's own answer";
    figures.push(quantile("webhooks.to_lease_p50", 0.5, &mut to_lease, label, &mut to_answer));
    figures.push(quantile("webhooks.to_lease_p99", 0.99, &mut to_lease, label, &mut to_answer));
    coordinator.shutdown().await;
    Ok(figures)
}

/// Turns of each side.
const ROUNDS: usize = 5;

fn quantile(name: &str, share: f64, ours: &mut Samples, label: &'static str, theirs: &mut Samples) -> Figure {
    Figure::new(name, "ms", ours.quantile_ms(share), label, theirs.quantile_ms(share))
}

struct Sent {
    count: usize,
    took: Duration,
    times: Vec<Duration>,
}

/// Sends so many deliveries of which nothing follows: the deletion of a branch.
async fn send(address: SocketAddr, round: usize, count: usize, rate: f64) -> anyhow::Result<Sent> {
    let body = padded(json!({"ref": "refs/heads/gone", "deleted": true, "after": "0".repeat(40)}))?;
    let client =
        slipway_tests::http_client_builder().pool_max_idle_per_host(IN_FLIGHT).tcp_nodelay(true).build()?;
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();
    for number in 0..count {
        if rate.is_finite() {
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let permit = Arc::clone(&in_flight).acquire_owned().await?;
        let request = delivery(&client, address, &format!("bench-{round}-{number}"), &body)?;
        tasks.spawn(async move {
            let sent = Instant::now();
            let answer = request.send().await?;
            ensure!(answer.status() == StatusCode::ACCEPTED, "a delivery was answered {}", answer.status());
            answer.bytes().await?;
            drop(permit);
            Ok(sent.elapsed())
        });
    }
    let mut times = Vec::with_capacity(count);
    while let Some(time) = tasks.join_next().await {
        times.push(time??);
    }
    Ok(Sent { count, took: start.elapsed(), times })
}

/// Posts pushes one after the other, each to the branch's one commit; from the post to the assignment, and to the answer.
async fn leases(
    coordinator: &slipway_coordinator::Handle,
    address: SocketAddr,
    head: &str,
    count: usize,
) -> anyhow::Result<(Samples, Samples)> {
    let (arrived, mut arrivals) = mpsc::channel(1);
    let channel = dispatch::connect(&coordinator.grpc_addr.to_string()).await?;
    let agent = dispatch::agent(0, channel, coordinator, arrived).await?;
    let client = slipway_tests::http_client_builder().tcp_nodelay(true).build()?;
    let push = padded(json!({
        "ref": "refs/heads/topic", "before": head, "after": head, "commits": [{"id": head}],
        "head_commit": {"id": head, "message": "Begin"},
    }))?;
    let (mut to_lease, mut to_answer) = (Samples::default(), Samples::default());
    // The first one fetches the commit.
    for number in 0..=count {
        let request = delivery(&client, address, &format!("lease-{number}"), &push)?;
        let sent = Instant::now();
        let status = request.send().await?.status();
        let answered = sent.elapsed();
        ensure!(status == StatusCode::ACCEPTED, "a push was answered {status}");
        let arrival = tokio::time::timeout(PATIENCE, arrivals.recv()).await;
        let Some(arrival) = arrival.context("a push became no lease in time")? else {
            bail!("the agent's stream ended early")
        };
        if number > 0 {
            to_lease.add(arrival.at.saturating_duration_since(sent));
            to_answer.add(answered);
        }
    }
    agent.abort();
    Ok((to_lease, to_answer))
}

/// The fields as a body of the usual length, with whose it is.
fn padded(mut fields: serde_json::Value) -> anyhow::Result<Vec<u8>> {
    let fields = fields.as_object_mut().context("it is an object")?;
    fields.insert(
        "repository".to_owned(),
        json!({"full_name": "o/n", "name": "n", "default_branch": "main", "html_url": "https://github.com/o/n"}),
    );
    fields.insert("sender".to_owned(), json!({"login": "ada"}));
    fields.insert("padding".to_owned(), json!("x".repeat(BODY_BYTES)));
    Ok(serde_json::to_vec(fields)?)
}

fn delivery(
    client: &reqwest::Client,
    address: SocketAddr,
    id: &str,
    body: &[u8],
) -> anyhow::Result<reqwest::RequestBuilder> {
    let request = client.post(format!("http://{address}/webhooks/github")).body(body.to_vec());
    let request = request.header("x-github-event", "push").header("x-github-delivery", id);
    let signature = format!("sha256={}", hex::encode(mac(body)?.finalize().into_bytes()));
    Ok(request.header("x-hub-signature-256", signature))
}

fn mac(body: &[u8]) -> anyhow::Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).context("any key will do")?;
    mac.update(body);
    Ok(mac)
}

/// A handler that checks the signature of what it gets, and forgets it.
async fn bare() -> anyhow::Result<SocketAddr> {
    async fn take(State(()): State<()>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let given = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| hex::decode(value.strip_prefix("sha256=")?).ok());
        let good = given.zip(mac(&body).ok()).is_some_and(|(given, mac)| mac.verify_slice(&given).is_ok());
        if good { StatusCode::ACCEPTED } else { StatusCode::UNAUTHORIZED }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/webhooks/github", post(take)).with_state(());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// A repository with one workflow for pushes; its commit.
fn repository(folder: &Path) -> anyhow::Result<String> {
    let workflow = folder.join(".github/workflows/ci.yml");
    std::fs::create_dir_all(workflow.parent().context("it has one")?)?;
    std::fs::write(&workflow, dispatch::ONE_JOB)?;
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args([
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@example.invalid",
        ]);
        let output = command.args(arguments).output()?;
        ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["config", "uploadpack.allowAnySHA1InWant", "true"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message=Begin"])?;
    git(&["rev-parse", "HEAD"])
}
