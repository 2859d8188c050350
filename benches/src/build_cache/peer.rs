//! Another server of the remote cache, which whoever measures has started with a Redis of its own, beside ours, by the same client.
//!
//! It is a process of its own, where ours shares this one with the client: both talk over loopback. Its Redis is not emptied in between.

use std::time::Instant;

use super::client::{Blob, Client};
use super::median;
use super::redis_server::RedisServer;
use super::streams::{BAZEL_FRAME_BYTES, FRAME_BYTES, LIMIT, ROUNDS, Shape, Way, fresh, transfer, warm_up};
use crate::figure::Figure;

const PEER: &str = "the other server";

/// Blobs of a batch, their length in bytes, and batches of a round.
const BATCH: usize = 100;
const BATCH_BYTES: usize = 1 << 10;
const BATCHES: usize = 100;

/// Blobs asked for at once, and how often in a round.
const ASKED: usize = 1_000;
const QUESTIONS: usize = 20;

pub(super) async fn measure(
    ours: &Client,
    peer: &Client,
    limit: &Client,
    redis: &RedisServer,
) -> anyhow::Result<Vec<Figure>> {
    warm_up(peer).await?;
    let mut figures = Vec::new();
    for (mebibytes, streams, frame) in [
        (1, 1, FRAME_BYTES),
        (4, 1, FRAME_BYTES),
        (4, 4, FRAME_BYTES),
        (64, 1, FRAME_BYTES),
        (4, 1, BAZEL_FRAME_BYTES),
    ] {
        let shape = Shape { mebibytes, streams, frame };
        let mut rates = [const { Vec::new() }; 6];
        for round in 0..ROUNDS {
            let blobs = fresh(shape, round);
            let mut measured = Vec::new();
            for way in [Way::Write, Way::Read] {
                for client in [ours, peer, limit] {
                    measured.push(transfer(client, &blobs, shape, way).await?);
                }
            }
            rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
            redis.flush().await?;
        }
        let [write, peer_write, most_written, read, peer_read, most_read] = rates.map(median);
        let name =
            format!("{mebibytes}MiB_x{streams}{}", if frame == FRAME_BYTES { "" } else { "_16KiB_frames" });
        // The other one beside the limit too: that says whether a multiple of its rate can be had at all.
        for (what, value, baseline, beside) in [
            ("beside_write", write, PEER, peer_write),
            ("beside_read", read, PEER, peer_read),
            ("other_write", peer_write, LIMIT, most_written),
            ("other_read", peer_read, LIMIT, most_read),
        ] {
            let metric = format!("build_cache.{what}_{name}");
            figures.push(Figure::new(metric, "MB_per_s", value, baseline, beside));
        }
    }
    figures.extend(many(ours, peer).await?);
    Ok(figures)
}

/// Batches of small blobs, and questions about a thousand.
async fn many(ours: &Client, peer: &Client) -> anyhow::Result<Vec<Figure>> {
    let mut rates = [const { Vec::new() }; 6];
    for round in 0..ROUNDS {
        let number =
            |batch: usize, blob: usize| ((round * BATCHES + batch) * BATCH + blob + (1 << 40)) as u64;
        let batch =
            |at| (0..BATCH).map(|blob| Blob::noise(number(at, blob), BATCH_BYTES)).collect::<Vec<_>>();
        let batches: Vec<Vec<Blob>> = (0..BATCHES).map(batch).collect();
        let asked: Vec<_> = batches.iter().flatten().take(ASKED).map(|blob| blob.digest).collect();
        let mut measured = Vec::new();
        let per_second = |begin: Instant, count: usize| count as f64 / begin.elapsed().as_secs_f64();
        for client in [ours, peer] {
            let mut client = client.clone();
            let begin = Instant::now();
            for batch in &batches {
                client.update(batch).await?;
            }
            measured.push(per_second(begin, BATCHES * BATCH));
            let begin = Instant::now();
            for batch in &batches {
                client.read_batch(&batch.iter().map(|blob| blob.digest).collect::<Vec<_>>()).await?;
            }
            measured.push(per_second(begin, BATCHES * BATCH));
            let begin = Instant::now();
            for _ in 0..QUESTIONS {
                client.missing(&asked).await?;
            }
            measured.push(begin.elapsed().as_secs_f64() * 1e3 / QUESTIONS as f64);
        }
        rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
    }
    let [update, read, question, peer_update, peer_read, peer_question] = rates.map(median);
    let figure = |metric: &str, unit, value, beside| {
        Figure::new(format!("build_cache.beside_{metric}"), unit, value, PEER, beside)
    };
    Ok(vec![
        figure("batch_update_100x1KiB", "blobs_per_s", update, peer_update),
        figure("batch_read_100x1KiB", "blobs_per_s", read, peer_read),
        figure("find_missing_1000", "ms", question, peer_question),
    ])
}
