//! Blobs written and read as streams, beside a bare stream that hashes the same bytes, and Redis' own load driver.

use std::time::Instant;

use tokio::task::JoinSet;

use super::bare::Bare;
use super::client::{Blob, Client};
use super::limit::Limit;
use super::median;
use super::redis_server::{Benchmark, RedisServer};
use crate::figure::Figure;

/// How often everything is done; the median counts.
pub(super) const ROUNDS: usize = 3;

/// Lengths of the blobs, in MiB.
const MEBIBYTES: [usize; 3] = [1, 4, 64];

/// Streams at once.
const STREAMS: [usize; 2] = [1, 4];

/// Bytes of a message of a write.
pub(super) const FRAME_BYTES: usize = 1 << 20;

/// The same as Bazel has them, and how long the blob is whose write is measured with them, in MiB.
pub(super) const BAZEL_FRAME_BYTES: usize = 16 << 10;
const BAZEL_MEBIBYTES: usize = 4;

/// Bytes moved each way in a round, unless one blob for each stream is more.
const MOVED_BYTES: usize = 128 << 20;

/// What `redis-benchmark` is given: the longest value, a blob's of one value, and how often.
const REDIS_VALUE_BYTES: usize = 1 << 20;
const REDIS_REQUESTS: usize = 1_000;

const BARE: &str = "bare tonic stream with SHA-256";
pub(super) const LIMIT: &str = "bare tonic stream with SHA-256 and Redis";

/// A kind of transfer.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) mebibytes: usize,
    pub(super) streams: usize,
    pub(super) frame: usize,
}

/// Which way it goes.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Write,
    Read,
}

pub(super) async fn measure(
    ours: &Client,
    bare: &Bare,
    limit: &Limit,
    redis: &RedisServer,
) -> anyhow::Result<Vec<Figure>> {
    let servers = [ours, &bare.client, &limit.client];
    warm_up(ours).await?;
    let mut figures = Vec::new();
    for mebibytes in MEBIBYTES {
        for streams in STREAMS {
            let shape = Shape { mebibytes, streams, frame: FRAME_BYTES };
            let name = format!("{mebibytes}MiB_x{streams}");
            let [written, read] = sides(servers, redis, shape).await?;
            figures.extend(beside(&format!("write_{name}"), written));
            figures.extend(beside(&format!("read_{name}"), read));
            let bytes = mebibytes << 20;
            if bytes == REDIS_VALUE_BYTES {
                figures.extend(beside_redis(redis, streams, [written[0], read[0]]).await?);
            }
        }
    }
    let bazel = Shape { mebibytes: BAZEL_MEBIBYTES, streams: 1, frame: BAZEL_FRAME_BYTES };
    let [written, _] = sides(servers, redis, bazel).await?;
    figures.extend(beside(&format!("write_{BAZEL_MEBIBYTES}MiB_16KiB_frames"), written));
    Ok(figures)
}

/// Our rate beside those of the two baselines, in MB/s.
fn beside(name: &str, [ours, bare, limit]: [f64; 3]) -> [Figure; 2] {
    let name = format!("build_cache.{name}");
    [(BARE, bare), (LIMIT, limit)]
        .map(|(baseline, rate)| Figure::new(name.clone(), "MB_per_s", ours, baseline, rate))
}

/// What each of these writes, and what it reads, in MB/s.
async fn sides(servers: [&Client; 3], redis: &RedisServer, shape: Shape) -> anyhow::Result<[[f64; 3]; 2]> {
    let mut times = [const { [const { Vec::new() }; 3] }; 2];
    for round in 0..ROUNDS {
        let blobs = fresh(shape, round);
        for (way, times) in [Way::Write, Way::Read].into_iter().zip(&mut times) {
            for (server, times) in servers.into_iter().zip(times) {
                times.push(transfer(server, &blobs, shape, way).await?);
            }
            servers[0].clone().ensure_kept(&blobs).await?;
        }
        redis.flush().await?;
    }
    Ok(times.map(|times| times.map(median)))
}

async fn beside_redis(redis: &RedisServer, clients: usize, ours: [f64; 2]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for ((command, name, ours), baseline) in [("set", "write", ours[0]), ("get", "read", ours[1])]
        .into_iter()
        .zip(["redis-benchmark SET", "redis-benchmark GET"])
    {
        let bytes = REDIS_VALUE_BYTES;
        let load = Benchmark { command, bytes, clients, pipeline: 1, requests: REDIS_REQUESTS };
        if let Some(per_second) = redis.benchmark(load).await? {
            let name = format!("build_cache.{name}_1MiB_x{clients}");
            figures.push(Figure::new(name, "MB_per_s", ours, baseline, per_second * bytes as f64 / 1e6));
        }
    }
    Ok(figures)
}

/// Connections are made and code is loaded; and once it is looked whether what comes is what was written.
pub(super) async fn warm_up(client: &Client) -> anyhow::Result<()> {
    const WARM_UP_BYTES: usize = 4 << 20;
    let (mut client, blob) = (client.clone(), Blob::noise(1, WARM_UP_BYTES));
    client.write(&blob, FRAME_BYTES).await?;
    client.ensure_kept(std::slice::from_ref(&blob)).await?;
    client.read_checked(blob.digest).await
}

/// Blobs that nobody has seen yet.
pub(super) fn fresh(shape: Shape, round: usize) -> Vec<Blob> {
    let Shape { mebibytes, streams, frame } = shape;
    let bytes = mebibytes << 20;
    let count = (MOVED_BYTES / bytes).max(streams);
    let seed = ((frame * 100 + mebibytes) * 10 + streams) * 10 + round;
    (0..count).map(|number| Blob::noise((seed * 1_000 + number) as u64, bytes)).collect()
}

/// Moves all blobs over so many streams at once; MB/s.
pub(super) async fn transfer(client: &Client, blobs: &[Blob], shape: Shape, way: Way) -> anyhow::Result<f64> {
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for part in blobs.chunks(blobs.len().div_ceil(shape.streams)) {
        let (mut client, part) = (client.clone(), part.to_vec());
        tasks.spawn(async move {
            for blob in part {
                match way {
                    Way::Write => client.write(&blob, shape.frame).await?,
                    Way::Read => client.read(blob.digest).await?,
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let bytes: usize = blobs.iter().map(|blob| blob.bytes.len()).sum();
    Ok(bytes as f64 / 1e6 / begin.elapsed().as_secs_f64())
}
