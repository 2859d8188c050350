//! A thousand blobs asked for at once, beside a thousand `EXISTS` that one pipeline carries.

use std::time::Instant;

use super::client::{Blob, Client};
use super::redis_server::RedisServer;
use crate::figure::{Figure, Samples};

/// Digests of a question.
const DIGESTS: usize = 1_000;

/// Questions of each kind, each about other digests.
const QUESTIONS: usize = 30;

/// Bytes of a blob: it is not read here.
const BLOB_BYTES: usize = 64;

const EXISTS: &str = "a Redis pipeline of 1,000 EXISTS";

pub(super) async fn measure(ours: &Client, redis: &RedisServer) -> anyhow::Result<Vec<Figure>> {
    let (mut ours, mut plain) = (ours.clone(), redis.connection().await?);
    let numbers =
        |question: usize| (question * DIGESTS..(question + 1) * DIGESTS).map(|number| number as u64);
    let questions: Vec<Vec<Blob>> = (0..2 * QUESTIONS)
        .map(|question| numbers(question).map(|number| Blob::noise(number, BLOB_BYTES)).collect())
        .collect();
    let (there, absent) = questions.split_at(QUESTIONS);
    // Names as long as those of the cache, in a space of their own.
    let key = |blob: &Blob| format!("bench:c:shared-000000000000:{}-{BLOB_BYTES}", blob.digest.hash_hex());
    for blobs in there {
        ours.update(blobs).await?;
        let mut pipeline = redis::pipe();
        for blob in blobs {
            pipeline.cmd("SET").arg(key(blob)).arg(&blob.bytes[..]).ignore();
        }
        let () = pipeline.query_async(&mut plain).await?;
    }
    let mut figures = Vec::new();
    for (name, questions, missing) in
        [("all_there", there, 0), ("asked_again", there, 0), ("none_there", absent, DIGESTS)]
    {
        let (mut times, mut exists) = (Samples::default(), Samples::default());
        for blobs in questions {
            let digests: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
            let begin = Instant::now();
            let found = ours.missing(&digests).await?;
            times.add(begin.elapsed());
            anyhow::ensure!(found == missing, "{found} of {DIGESTS} blobs are missing, not {missing}");
            let keys: Vec<_> = blobs.iter().map(key).collect();
            let begin = Instant::now();
            let mut pipeline = redis::Pipeline::with_capacity(DIGESTS);
            for key in &keys {
                pipeline.cmd("EXISTS").arg(key);
            }
            let answers: Vec<usize> = pipeline.query_async(&mut plain).await?;
            exists.add(begin.elapsed());
            anyhow::ensure!(answers.iter().sum::<usize>() == DIGESTS - missing, "EXISTS said something else");
        }
        let name = format!("build_cache.missing_1000_{name}_p50");
        figures.push(Figure::new(name, "ms", times.quantile_ms(0.5), EXISTS, exists.quantile_ms(0.5)));
    }
    Ok(figures)
}
