//! `cache --only agent`: a build tool's blob read by a job through its relay socket: from its agent's own disk, and through the
//! tunnel from the coordinator, beside a copy of the same bytes on the same file system, and beside the least that any such cache has to do: read
//! the file, hash it, and pass it through a socket.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use slipway_agent::coordinator::{Coordinator as ForAgents, Server};
use slipway_agent::lease::Lease;
use slipway_agent::tier::Tier;
use slipway_agent::tunnel::Tunnel;
use slipway_coordinator::Coordinator;
use slipway_coordinator::options::Options;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::figure::Figure;
use crate::results::lease;

/// The blob's length.
const MEBIBYTES: usize = 64;

/// How often each side is measured; the median counts.
const ROUNDS: usize = 9;

/// What the agent's disk may hold, in bytes.
const ROOM: u64 = 1 << 30;

/// How many bytes are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Measures.
///
/// # Errors
/// When a coordinator can't be started, or what is read is not what was put.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let mut blob = vec![0; MEBIBYTES << 20];
    fastrand::Rng::with_seed(1).fill(&mut blob);
    let file = folder.path().join("blob");
    fs::write(&file, &blob)?;
    let coordinator = Coordinator::start(Options::embedded(folder.path().join("data"))).await?;
    let server = Server::new(&format!("http://{}", coordinator.grpc_addr), None, false)?;
    let agent = ForAgents::new(&[server], coordinator.agent_token.reveal())?;
    let held = lease(&coordinator, &agent).await?;
    let held = Lease::from_wire(Some(&held)).map_err(|error| anyhow::anyhow!("the lease: {error:?}"))?;
    let token = agent.secrets(held).await?.runtime_token;
    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    let tier = Tier::open(&folder.path().join("agent"), ROOM).await.for_job(&agent, &token);
    ensure!(tier.is_some(), "the disk cannot be used");
    let _with = Tunnel::serve(&with, agent.tunnels(), held, tier)?;
    let _without = Tunnel::serve(&without, agent.tunnels(), held, None)?;
    let [with, without] = [with, without].map(|run_dir| run_dir.join("relay.sock"));
    put(&with, &token, &blob).await?;
    for socket in [&with, &without] {
        let mut got = Vec::new();
        get(socket, &token, |piece| got.extend_from_slice(piece)).await?;
        ensure!(got == blob, "what came is not what was put");
    }

    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        fs::copy(&file, folder.path().join("copy"))?;
        let mut measured = vec![begin.elapsed().as_secs_f64()];
        fs::remove_file(folder.path().join("copy"))?;
        for socket in [&with, &without] {
            let begin = Instant::now();
            get(socket, &token, |_| {}).await?;
            measured.push(begin.elapsed().as_secs_f64());
        }
        measured.push(least(&file).await?);
        times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
    }
    coordinator.shutdown().await;
    let [copied, own, through, least] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        (MEBIBYTES << 20) as f64 / 1e6 / times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    });
    let name = format!("agent_cache.read_{MEBIBYTES}MiB");
    Ok(vec![
        Figure::new(name.clone(), "MB_per_s", own, "a copy of the file", copied),
        Figure::new(
            format!("{name}_beside_socket"),
            "MB_per_s",
            own,
            "the file, hashed, through a socket",
            least,
        ),
        Figure::new(
            format!("{name}_beside_tunnel"),
            "MB_per_s",
            own,
            "through the tunnel from the coordinator",
            through,
        ),
    ])
}

/// Seconds that it takes to read a file piece by piece, hash it and pass it through a Unix socket, each piece hashed before it is passed.
async fn least(file: &Path) -> anyhow::Result<f64> {
    let (mut here, mut there) = UnixStream::pair()?;
    let begin = Instant::now();
    let mut source = tokio::fs::File::open(file).await?;
    source.set_max_buf_size(PIECE_BYTES);
    let sending = tokio::spawn(async move {
        let (mut piece, mut hash) = (vec![0; PIECE_BYTES], Sha256::new());
        loop {
            let count = source.read(&mut piece).await?;
            let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
            hash.update(read);
            here.write_all(read).await?;
        }
        anyhow::Ok(hash.finalize())
    });
    let (mut piece, mut came) = (vec![0; PIECE_BYTES], 0);
    while came < MEBIBYTES << 20 {
        let count = there.read(&mut piece).await?;
        ensure!(count > 0, "the socket was closed");
        came += count;
    }
    std::hint::black_box(sending.await??);
    Ok(begin.elapsed().as_secs_f64())
}

fn head(method: &str, token: &str, length: usize) -> String {
    format!(
        "{method} /cache/files/blob HTTP/1.1\r\nhost: slipway.localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    )
}

async fn put(socket: &Path, token: &str, blob: &[u8]) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(head("PUT", token, blob.len()).as_bytes()).await?;
    stream.write_all(blob).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 2"), "the blob was not taken: {answer}");
    Ok(())
}

/// Reads the blob: as little as a client can do.
async fn get(socket: &Path, token: &str, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(head("GET", token, 0).as_bytes()).await?;
    let mut piece = vec![0; PIECE_BYTES];
    let (mut start, mut body) = (Vec::new(), 0);
    loop {
        let count = stream.read(&mut piece).await?;
        let Some(mut read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
        if body == 0 {
            let before = start.len();
            start.extend_from_slice(read);
            let Some(end) = start.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            ensure!(start.starts_with(b"HTTP/1.1 200"), "the blob is not there");
            read = read.get(end + 4 - before..).context("a head ends in what was just read")?;
        }
        body += read.len();
        take(read);
    }
    ensure!(body == MEBIBYTES << 20, "{body} bytes came");
    Ok(())
}
