//! An object store behind the build tools' cache: what the disk loses is got from there, and its absence costs nothing.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use slipway_cas::cache::{Engine, ObjectEngine, conformance};
use slipway_cas::objects::Bucket;
use slipway_coordinator::options::{CachePlace, CacheStore};

use crate::cache_house::{get, put};
use crate::fixture::Fixture;
use crate::s3::S3;

const TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Room on the disk for a few of the files below.
const DISK_BYTES: u64 = 2 << 20;

/// Files of this length, so many.
const FILE_BYTES: usize = 300_000;
const FILES: u8 = 20;

/// Bytes that do not pack.
fn file(seed: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed.into());
    (0..FILE_BYTES).map(|_| random.u8(..)).collect()
}

/// Waits until the object store was sent so many values.
async fn sent(fixture: &Fixture, values: u64) {
    loop {
        let store = fixture.get("/api/v1/cache").await["build_tools"]["store"].clone();
        if store["figures"]["puts"].as_u64().unwrap() >= values {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_as_objects_conform() {
    let server = S3::start().await;
    let empty = async || {
        let url = format!("s3://logs/{}", fastrand::u64(..));
        let bucket = Bucket::open(&server.address(&url)).unwrap();
        Arc::new(ObjectEngine::new(bucket, TTL)) as Arc<dyn Engine>
    };
    conformance::check(empty, fastrand::u64(..)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_lost_comes_from_the_object_store() {
    let server = S3::start().await;
    let address = server.address("s3://logs/team");
    let mut fixture = Fixture::start_with(|options| {
        options.cache = CachePlace::Disk { max_bytes: DISK_BYTES };
        options.cache_store = Some(CacheStore { address, ttl: TTL });
    })
    .await;
    for n in 0..FILES {
        put(&fixture, &n.to_string(), file(n)).await;
        // What comes faster than the store takes it finds no room at some time.
        sent(&fixture, 2 * (u64::from(n) + 1)).await;
    }
    for n in 0..FILES {
        assert_eq!(get(&fixture, &n.to_string()).await, Some(file(n)), "{n}");
    }
    assert_eq!(get(&fixture, "another").await, None);
    let state = fixture.get("/api/v1/cache").await["build_tools"].clone();
    assert_eq!((&state["store"]["url"], &state["store"]["up"]), (&"s3://logs/team".into(), &true.into()));
    assert!(state["store"]["figures"]["hits"].as_u64().unwrap() > u64::from(FILES) / 2, "{state}");
    assert!(state["figures"]["stored_bytes"].as_u64().unwrap() <= DISK_BYTES, "{state}");
    let metrics = fixture.http.get(fixture.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("slipway_cache_store_up 1\n"), "{metrics}");

    // A disk that is empty loses nothing but time.
    fixture.stop_and_remove("cache").await;
    for n in 0..FILES {
        assert_eq!(get(&fixture, &n.to_string()).await, Some(file(n)), "{n} on another disk");
    }
    // What an admin prunes is gone from both.
    let pruned = fixture.call(
        reqwest::Method::POST,
        "/api/v1/cache/prune",
        Some(serde_json::json!({ "unused_days": 0 })),
    );
    assert_eq!(pruned.await.status(), StatusCode::OK);
    assert_eq!(get(&fixture, "0").await, None);
    assert!(server.names("cache").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_that_is_away_costs_no_build_anything() {
    // A port of the system's own, where nobody listens: one that was free a moment ago may be another test's server by now.
    let address = S3::address_at("s3://logs/team", 1);
    let fixture = Fixture::start_with(|options| {
        options.cache_store = Some(CacheStore { address, ttl: TTL });
    })
    .await;
    for n in 0..FILES {
        assert_eq!(get(&fixture, &n.to_string()).await, None, "a miss, and no error");
        put(&fixture, &n.to_string(), file(n)).await;
        assert_eq!(get(&fixture, &n.to_string()).await, Some(file(n)));
    }
    let state = fixture.get("/api/v1/cache").await["build_tools"].clone();
    assert_eq!((&state["up"], &state["store"]["up"]), (&true.into(), &false.into()), "{state}");
    assert!(
        state["store"]["figures"]["refused_reads"].as_u64().unwrap() > 0,
        "it is not asked each time: {state}"
    );
}
