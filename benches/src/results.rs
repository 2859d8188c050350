//! `results`: a cache entry saved and restored as the actions do, straight and through an agent's tunnel, beside a plain
//! copy of the same bytes on the same disk.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use slipway_agent::coordinator::{Coordinator as ForAgents, Server};
use slipway_agent::lease::Lease;
use slipway_agent::tunnel::Tunnel;
use slipway_coordinator::options::Options;
use slipway_coordinator::{Coordinator, Handle};
use slipway_proto::{PROTOCOL_VERSION, v1};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::figure::Figure;
use crate::submission::new_run;

/// Size of the blocks in which `@actions/cache` uploads.
const BLOCK_BYTES: u64 = 64 << 20;

/// How many bytes of a file are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// How often everything is done; the median counts.
const ROUNDS: usize = 5;

/// How often the lease is prolonged.
const RENEW_EVERY: Duration = Duration::from_secs(5);

const SERVICE: &str = "twirp/github.actions.results.api.v1.CacheService";

const ONE_JOB: &str =
    "on: push\njobs:\n  job:\n    runs-on: [self-hosted, bench]\n    steps:\n      - run: 'true'\n";

/// Measures with an entry of so many MiB.
///
/// # Errors
/// When a coordinator can't be started, or answers wrongly.
pub async fn measure(mebibytes: u64) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("entry");
    write_random(&file, mebibytes)?;
    let coordinator = Coordinator::start(Options::embedded(folder.path().join("data"))).await?;
    let agent = ForAgents::new(
        &[Server::new(&format!("http://{}", coordinator.grpc_addr), None, false)?],
        coordinator.agent_token.reveal(),
    )?;
    let lease = lease(&coordinator, &agent).await?;
    let lease = Lease::from_wire(Some(&lease)).map_err(|error| anyhow::anyhow!("the lease: {error:?}"))?;
    let token = agent.secrets(lease).await?.runtime_token;
    let run_dir = folder.path().join("run");
    let _tunnel = Tunnel::serve(&run_dir, agent.tunnels(), lease, None)?;
    let straight = Client {
        http: slipway_tests::http_client(),
        base: format!("http://{}/", coordinator.http_addr),
        token,
    };
    let tunnelled = Client {
        http: slipway_tests::http_client_builder().unix_socket(run_dir.join("relay.sock")).build()?,
        base: "http://slipway.localhost/".to_owned(),
        token: straight.token.clone(),
    };

    let mut times = [const { Vec::new() }; 6];
    let copy = folder.path().join("copy");
    for round in 0..ROUNDS {
        let mut measured = vec![timed(async { plain_copy(&file, &copy, true) }).await?];
        measured.push(timed(async { plain_copy(&file, &copy, false) }).await?);
        for (client, name) in [(&straight, "straight"), (&tunnelled, "tunnelled")] {
            let key = format!("{name}-{round}");
            measured.push(timed(client.save(&key, &file)).await?);
            measured.push(timed(client.restore(&key, &copy)).await?);
            ensure!(same(&file, &copy)?, "what was restored is not what was saved");
        }
        times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
    }
    let per_second = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        mebibytes as f64 / times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    });
    let [synced, copied, save, restore, tunnel_save, tunnel_restore] = per_second;
    coordinator.shutdown().await;
    let (to_disk, to_cache) = ("plain copy on the same disk, synced", "plain copy on the same disk");
    Ok(vec![
        Figure::new("results.cache_save", "MiB_per_s", save, to_disk, synced),
        Figure::new("results.cache_restore", "MiB_per_s", restore, to_cache, copied),
        Figure::new("results.tunnel_cache_save", "MiB_per_s", tunnel_save, to_disk, synced),
        Figure::new("results.tunnel_cache_restore", "MiB_per_s", tunnel_restore, to_cache, copied),
    ])
}

async fn timed(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<f64> {
    let begin = Instant::now();
    work.await?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Bytes that don't repeat.
fn write_random(path: &Path, mebibytes: u64) -> anyhow::Result<()> {
    let mut source = File::open("/dev/urandom")?;
    let mut file = File::create(path)?;
    let copied = std::io::copy(&mut std::io::Read::take(&mut source, mebibytes << 20), &mut file)?;
    ensure!(copied == mebibytes << 20, "only {copied} bytes were written");
    Ok(file.sync_all()?)
}

/// Reads and writes: no reflink, no copy in the kernel.
fn plain_copy(from: &Path, to: &Path, sync: bool) -> anyhow::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = std::io::Read::read(&mut from, &mut piece)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
        to.write_all(read)?;
    }
    if sync {
        to.sync_all()?;
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> anyhow::Result<bool> {
    Ok(std::fs::read(one)? == std::fs::read(other)?)
}

/// A leased job that does nothing; its lease is prolonged for as long as the coordinator lives.
pub(crate) async fn lease(coordinator: &Handle, agent: &ForAgents) -> anyhow::Result<v1::Lease> {
    let (out, messages) = mpsc::channel(4);
    let hello = v1::Hello {
        agent_id: uuid::Uuid::from_u128(1).to_string(),
        name: "bench".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        architecture: "X64".to_owned(),
        labels: vec!["self-hosted".to_owned(), "bench".to_owned()],
        slots: 1,
        ..v1::Hello::default()
    };
    out.send(v1::AgentMessage { message: Some(v1::agent_message::Message::Hello(hello)) }).await?;
    let mut incoming = agent.client().session(ReceiverStream::new(messages)).await?.into_inner();
    coordinator.submit(new_run(ONE_JOB)).await?;
    let lease = loop {
        let message = incoming.next().await.context("the session ended")??.message;
        if let Some(v1::coordinator_message::Message::Assign(assign)) = message {
            break assign.lease.context("an assignment without a lease")?;
        }
    };
    let kept = lease.clone();
    tokio::spawn(async move {
        for number in 1.. {
            let renew = v1::Renew { number, leases: vec![kept.clone()], lease_ms: 0 };
            let message = v1::AgentMessage { message: Some(v1::agent_message::Message::Renew(renew)) };
            if out.send(message).await.is_err() {
                return;
            }
            let _ =
                tokio::time::timeout(RENEW_EVERY, async { while incoming.next().await.is_some() {} }).await;
        }
    });
    Ok(lease)
}

struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    async fn call(&self, method: &str, body: Value) -> anyhow::Result<Value> {
        let url = format!("{}{SERVICE}/{method}", self.base);
        let answer = self.http.post(url).bearer_auth(&self.token).json(&body).send().await?;
        let status = answer.status();
        let answer: Value = answer.json().await?;
        ensure!(status.is_success() && answer["ok"] == true, "{method}: {status}: {answer}");
        Ok(answer)
    }

    async fn save(&self, key: &str, file: &Path) -> anyhow::Result<()> {
        let begun = self.call("CreateCacheEntry", json!({"key": key, "version": "v"})).await?;
        let address = begun["signed_upload_url"].as_str().context("no address")?.to_owned();
        let size_bytes = file.metadata()?.len();
        let mut blocks = tokio::task::JoinSet::new();
        let mut list = String::new();
        for (number, offset) in (0..size_bytes).step_by(usize::try_from(BLOCK_BYTES)?).enumerate() {
            list.push_str(&format!("<Latest>B{number:07}</Latest>"));
            let url = format!("{address}&comp=block&blockid=B{number:07}");
            let (http, file) = (self.http.clone(), file.to_owned());
            let length = BLOCK_BYTES.min(size_bytes - offset);
            blocks.spawn(async move {
                let request = http.put(url).header("content-length", length);
                let body = reqwest::Body::wrap_stream(pieces(file, offset, length));
                Ok::<_, anyhow::Error>(request.body(body).send().await?.error_for_status()?)
            });
        }
        while let Some(done) = blocks.join_next().await {
            done??;
        }
        let url = format!("{address}&comp=blocklist");
        let body = format!("<BlockList>{list}</BlockList>");
        self.http.put(url).body(body).send().await?.error_for_status()?;
        let body = json!({"key": key, "version": "v", "size_bytes": size_bytes.to_string()});
        self.call("FinalizeCacheEntryUpload", body).await.map(drop)
    }

    async fn restore(&self, key: &str, to: &Path) -> anyhow::Result<()> {
        let found = self.call("GetCacheEntryDownloadURL", json!({"key": key, "version": "v"})).await?;
        let Some(address) = found["signed_download_url"].as_str() else { bail!("no address") };
        let mut bytes = self.http.get(address).send().await?.error_for_status()?.bytes_stream();
        let mut file = tokio::fs::File::create(to).await?;
        while let Some(piece) = bytes.next().await {
            file.write_all(&piece?).await?;
        }
        Ok(file.flush().await?)
    }
}

/// Some bytes of a file, as they are read.
fn pieces(
    file: PathBuf,
    offset: u64,
    length: u64,
) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> {
    futures_util::stream::try_unfold((None, length), move |(opened, left)| {
        let file = file.clone();
        async move {
            if left == 0 {
                return Ok(None);
            }
            let mut opened = match opened {
                Some(opened) => opened,
                None => {
                    let mut opened = tokio::fs::File::open(file).await?;
                    opened.seek(std::io::SeekFrom::Start(offset)).await?;
                    opened
                }
            };
            let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
            opened.read_exact(&mut piece).await?;
            let left = left - piece.len() as u64;
            Ok(Some((piece, (Some(opened), left))))
        }
    })
}
