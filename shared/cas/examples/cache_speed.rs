//! How fast the blob layer is over an engine in memory and, if one is named, over Redis: for finding what costs time,
//! without a protocol in between.
//!
//! `cargo run --release -p slipway-cas --features cache-redis --example cache_speed -- [redis://127.0.0.1:6379]`
//!
//! It writes under a prefix of its own and removes nothing: the values go when their time is over, in ten minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use slipway_cas::cache::{
    BlobCache, CacheError, Compression, Engine, MemoryEngine, Namespace, RedisEngine, RedisOptions,
};
use slipway_cas::{Digest, Expected};

/// Bytes moved for each figure.
const MOVED: usize = 256 << 20;
const REPEATS: usize = 3;
/// Bytes in a piece that a writer is given.
const FRAME: usize = 256 << 10;

fn noise(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let one = noise(0, 64 << 20);
    let start = Instant::now();
    std::hint::black_box(Sha256::digest(&one));
    println!("SHA-256 alone: {:.0} MB/s", rate(one.len(), start.elapsed()));
    let cuts = slipway_cas::cache::blobs::chunking::Chunking::default();
    let (start, mut at) = (Instant::now(), 0);
    while at < one.len() {
        at += cuts.first(&one[at..]);
    }
    println!("cutting alone: {:.0} MB/s", rate(one.len(), start.elapsed()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new(4 << 30));
        measure("memory", &memory).await?;
        if let Some(url) = std::env::args().nth(1) {
            let mut options = RedisOptions::from_url(&url)?;
            options.prefix = format!("speed-{}", std::process::id());
            options.ttl = Duration::from_secs(600);
            let redis: Arc<dyn Engine> = Arc::new(RedisEngine::new(options)?);
            measure("Redis", &redis).await?;
        }
        Ok(())
    })
}

async fn measure(name: &str, engine: &Arc<dyn Engine>) -> Result<(), Box<dyn std::error::Error>> {
    let cache = BlobCache::new(Arc::clone(engine), Namespace::new("speed")?, Compression::WherePaying);
    for length in [1 << 20, 4 << 20, 64 << 20] {
        for at_once in [1, 4] {
            let (mut writes, mut reads) = (Vec::new(), Vec::new());
            for repeat in 0..REPEATS {
                let seed = (length * 10 + at_once * 3 + repeat) as u64;
                let (write, read) = large(&cache, length, at_once, seed).await?;
                writes.push(write);
                reads.push(read);
            }
            println!("{name}: {:3} MiB x{at_once}: write {writes:5.0?} read {reads:5.0?} MB/s", length >> 20);
        }
    }
    small(name, &cache).await?;
    Ok(())
}

async fn large(
    cache: &BlobCache,
    length: usize,
    at_once: usize,
    seed: u64,
) -> Result<(f64, f64), CacheError> {
    let blobs: Vec<_> = (0..MOVED / length).map(|n| noise(seed * 1000 + n as u64, length)).collect();
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();
    for part in blobs.chunks(blobs.len() / at_once) {
        let (part, cache) = (part.to_vec(), cache.clone());
        tasks.spawn(async move {
            let mut digests = Vec::new();
            for blob in part {
                let mut writer = cache.writer(u64::MAX);
                for frame in blob.chunks(FRAME) {
                    writer.write(blob.slice_ref(frame)).await?;
                }
                digests.push(writer.finish(Expected::Anything).await?.digest);
            }
            Ok::<_, CacheError>(digests)
        });
    }
    let parts = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let written = start.elapsed();
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();
    for digests in parts {
        let cache = cache.clone();
        tasks.spawn(async move {
            for digest in digests {
                let mut reader = cache.read(digest, 0, None).await?;
                while reader.next().await?.is_some() {}
            }
            Ok::<_, CacheError>(())
        });
    }
    tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((rate(MOVED, written), rate(MOVED, start.elapsed())))
}

async fn small(name: &str, cache: &BlobCache) -> Result<(), CacheError> {
    let blobs: Vec<_> = (0..1000).map(|n| noise(n, 1024)).map(|blob| (Digest::of(&blob), blob)).collect();
    let digests: Vec<_> = blobs.iter().map(|(digest, _)| *digest).collect();
    let (mut writes, mut reads, mut asked, mut single) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..10 {
        for part in blobs.chunks(100) {
            let part = part.to_vec();
            let start = Instant::now();
            cache.write_many(part).await;
            writes.push(start.elapsed());
        }
        for part in digests.chunks(100) {
            let start = Instant::now();
            cache.read_many(part).await;
            reads.push(start.elapsed());
        }
        let start = Instant::now();
        cache.missing(&digests).await;
        asked.push(start.elapsed());
    }
    for digest in &digests {
        let start = Instant::now();
        cache.read_all(*digest).await?;
        single.push(start.elapsed());
    }
    let middle = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    println!(
        "{name}: 100 x 1 KiB: write {:?}, read {:?}; missing of 1000: {:?}; one of 1 KiB: {:?} (medians)",
        middle(&mut writes),
        middle(&mut reads),
        middle(&mut asked),
        middle(&mut single)
    );
    Ok(())
}
