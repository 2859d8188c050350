//! Small blobs: a hundred at once, beside the same messages to a server that keeps nothing and the same values in Redis' own
//! load driver; and one alone.

use std::time::Instant;

use slipway_cas::Digest;

use super::bare::Bare;
use super::client::{Blob, Client};
use super::median;
use super::redis_server::{Benchmark, RedisServer};
use super::streams::ROUNDS;
use crate::figure::{Figure, Samples};

/// A small blob, in bytes.
const SMALL_BYTES: usize = 1 << 10;

/// Blobs of a batch.
const BATCH_BLOBS: usize = 100;

/// Batches of a round on each side.
const BATCHES: usize = 300;

/// Single reads on each side, and how many of them follow each other on one.
const SINGLES: usize = 3_000;
const SINGLES_A_TURN: usize = 250;

const BARE: &str = "bare tonic echo";

pub(super) async fn measure(ours: &Client, bare: &Bare, redis: &RedisServer) -> anyhow::Result<Vec<Figure>> {
    let mut figures = batches(ours, bare, redis).await?;
    figures.extend(singles(ours, bare).await?);
    Ok(figures)
}

async fn batches(ours: &Client, bare: &Bare, redis: &RedisServer) -> anyhow::Result<Vec<Figure>> {
    let mut rates = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        let number = |batch: usize, blob: usize| ((round * BATCHES + batch) * BATCH_BLOBS + blob) as u64;
        let batches: Vec<Vec<Blob>> = (0..BATCHES)
            .map(|batch| (0..BATCH_BLOBS).map(|blob| Blob::noise(number(batch, blob), SMALL_BYTES)).collect())
            .collect();
        let digests: Vec<Vec<Digest>> =
            batches.iter().map(|batch| batch.iter().map(|blob| blob.digest).collect()).collect();
        let mut measured = Vec::new();
        for client in [ours, &bare.client] {
            let (mut client, begin) = (client.clone(), Instant::now());
            for batch in &batches {
                client.update(batch).await?;
            }
            measured.push(BATCHES as f64 / begin.elapsed().as_secs_f64());
        }
        for client in [ours, &bare.client] {
            let (mut client, begin) = (client.clone(), Instant::now());
            for batch in &digests {
                client.read_batch(batch).await?;
            }
            measured.push(BATCHES as f64 / begin.elapsed().as_secs_f64());
        }
        rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
    }
    let [write, bare_write, read, bare_read] = rates.map(median);
    let mut figures = Vec::new();
    for (name, command, ours, echo, baseline) in [
        (
            "build_cache.batch_write_100x1KiB",
            "set",
            write,
            bare_write,
            "redis-benchmark SET, pipelined by 100",
        ),
        ("build_cache.batch_read_100x1KiB", "get", read, bare_read, "redis-benchmark GET, pipelined by 100"),
    ] {
        figures.push(Figure::new(name, "per_s", ours, BARE, echo));
        let load = Benchmark {
            command,
            bytes: SMALL_BYTES,
            clients: 1,
            pipeline: BATCH_BLOBS,
            requests: ROUNDS * BATCHES * BATCH_BLOBS,
        };
        if let Some(per_second) = redis.benchmark(load).await? {
            figures.push(Figure::new(name, "per_s", ours, baseline, per_second / BATCH_BLOBS as f64));
        }
    }
    Ok(figures)
}

async fn singles(ours: &Client, bare: &Bare) -> anyhow::Result<Vec<Figure>> {
    let blobs: Vec<_> = (0..BATCH_BLOBS).map(|number| Blob::noise(number as u64, SMALL_BYTES)).collect();
    ours.clone().update(&blobs).await?;
    ours.clone().ensure_kept(&blobs).await?;
    let mut times = [const { Samples::new() }; 4];
    for _ in 0..SINGLES / SINGLES_A_TURN {
        let [stream, bare_stream, batch, bare_batch] = &mut times;
        for (client, streams, batches) in [(ours, stream, batch), (&bare.client, bare_stream, bare_batch)] {
            let mut client = client.clone();
            for blob in blobs.iter().cycle().take(SINGLES_A_TURN) {
                let begin = Instant::now();
                client.read(blob.digest).await?;
                streams.add(begin.elapsed());
                let begin = Instant::now();
                client.read_batch(&[blob.digest]).await?;
                batches.add(begin.elapsed());
            }
        }
    }
    let [mut stream, mut bare_stream, mut batch, mut bare_batch] = times;
    let mut figures = Vec::new();
    for (name, ours, bare) in
        [("stream", &mut stream, &mut bare_stream), ("batch_of_one", &mut batch, &mut bare_batch)]
    {
        for (quantile, share) in [("p50", 0.5), ("p99", 0.99)] {
            let name = format!("build_cache.read_1KiB_{name}_{quantile}");
            let (ours, bare) = (ours.quantile_ms(share), bare.quantile_ms(share));
            figures.push(Figure::new(name, "ms", ours, BARE, bare));
        }
    }
    Ok(figures)
}
