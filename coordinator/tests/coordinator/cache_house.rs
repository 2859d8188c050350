//! The caches as their administrator sees them: what they hold, what goes, and whether it is whole.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::options::CachePlace;

use crate::fixture::Fixture;

pub(crate) async fn put(fixture: &Fixture, name: &str, bytes: Vec<u8>) {
    let token = fixture.handle().admin_token.reveal().to_owned();
    let url = fixture.url(&format!("/cache/files/{name}"));
    let answer = fixture.http.put(url).bearer_auth(token).body(bytes).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

pub(crate) async fn get(fixture: &Fixture, name: &str) -> Option<Vec<u8>> {
    let token = fixture.handle().admin_token.reveal().to_owned();
    let url = fixture.url(&format!("/cache/files/{name}"));
    let answer = fixture.http.get(url).bearer_auth(token).send().await.unwrap();
    match answer.status() {
        StatusCode::OK => Some(answer.bytes().await.unwrap().into()),
        StatusCode::NOT_FOUND => None,
        other => panic!("{other}"),
    }
}

async fn ask(fixture: &Fixture, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let answer = fixture.call(Method::POST, path, body).await;
    (answer.status(), answer.json().await.unwrap())
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The largest file below a folder.
fn largest(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    let mut found = (0, PathBuf::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.metadata().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                file => found = found.max((file.len(), entry.path())),
            }
        }
    }
    found.1
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_holds_is_told_pruned_and_checked() {
    let fixture = Fixture::start().await;
    let empty = fixture.get("/api/v1/cache").await;
    assert_eq!(empty["build_tools"]["place"], "disk");
    assert_eq!(empty["build_tools"]["up"], true);
    assert_eq!(empty["build_tools"]["figures"]["values"], 0);
    assert_eq!(empty["repositories"], json!([]));
    let file = noise(300_000);
    put(&fixture, "large", file.clone()).await;
    put(&fixture, "small", b"small".to_vec()).await;
    assert_eq!(get(&fixture, "large").await, Some(file.clone()));
    let held = fixture.get("/api/v1/cache").await["build_tools"]["figures"].clone();
    assert_eq!(held["values"], 3, "two entries and a blob: {held}");
    assert!(held["stored_bytes"].as_u64().unwrap() >= 300_000 && held["hit_rate"].as_f64().unwrap() > 0.0);

    // A bit on the disk flips.
    let path = largest(&fixture.folder.path().join("data/cache"));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (status, checked) = ask(&fixture, "/api/v1/cache/check", None).await;
    assert_eq!(status, StatusCode::OK, "{checked}");
    assert_eq!(checked["damaged"], 1, "{checked}");
    assert_eq!(get(&fixture, "large").await, None, "a miss, and no wrong byte");
    assert_eq!(get(&fixture, "small").await.as_deref(), Some(&b"small"[..]));
    let (_, again) = ask(&fixture, "/api/v1/cache/check", None).await;
    assert_eq!(again["damaged"], 0, "{again}");

    let unused = |days: u64, dry_run: bool| Some(json!({"unused_days": days, "dry_run": dry_run}));
    let (_, fresh) = ask(&fixture, "/api/v1/cache/prune", unused(1, false)).await;
    assert_eq!(fresh["build_tools"]["values"], 0, "{fresh}");
    let (_, dry) = ask(&fixture, "/api/v1/cache/prune", unused(0, true)).await;
    assert!(dry["build_tools"]["values"].as_u64().unwrap() >= 1, "{dry}");
    assert_eq!(get(&fixture, "small").await.as_deref(), Some(&b"small"[..]), "a dry run removes nothing");
    let (_, pruned) = ask(&fixture, "/api/v1/cache/prune", unused(0, false)).await;
    assert_eq!(pruned["build_tools"]["values"], dry["build_tools"]["values"], "{pruned}");
    assert_eq!(get(&fixture, "small").await, None);
    assert_eq!(fixture.get("/api/v1/cache").await["build_tools"]["figures"]["values"], 0);
    let (status, refused) = ask(&fixture, "/api/v1/cache/prune", unused(40_000, false)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["error"]["message"].as_str().unwrap().contains("36525"), "{refused}");
    let trail = fixture.get("/api/v1/audit").await;
    let prunes = trail["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "cache.prune");
    assert_eq!(prunes.count(), 2, "dry runs change nothing: {trail}");
    let checks = trail["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "cache.check");
    assert_eq!(checks.count(), 2, "{trail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_off_says_so() {
    let fixture = Fixture::start_with(|options| options.cache = CachePlace::Off).await;
    assert_eq!(fixture.get("/api/v1/cache").await["build_tools"], json!({"place": "off", "up": false}));
    let (status, refused) = ask(&fixture, "/api/v1/cache/check", None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["error"]["message"].as_str().unwrap().contains("--cache off"), "{refused}");
    let (status, pruned) =
        ask(&fixture, "/api/v1/cache/prune", Some(json!({"unused_days": 0, "dry_run": false}))).await;
    assert_eq!((status, &pruned["build_tools"]), (StatusCode::OK, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ones_own_is_for_one_cache_reads_or_writes_and_ends() {
    let fixture = Fixture::start().await;
    let make = async |body: Value| {
        let (status, answer) = ask(&fixture, "/api/v1/cache/tokens", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    };
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let send = async |method: Method, instance: &str, token: &str| {
        let url = fixture.url(&format!("/cache/bazel/{instance}/cas/{hash}"));
        let request = fixture.http.request(method.clone(), url).bearer_auth(token);
        let request = if method == Method::PUT { request.body("hello") } else { request };
        request.send().await.unwrap().status()
    };
    let writer = make(json!({"instance": "team/app", "write": true, "days": 30})).await;
    let reader = make(json!({"instance": "team/app", "write": false, "days": 1})).await;
    let all = make(json!({"write": false, "days": 1})).await;
    assert_eq!(send(Method::PUT, "team/app", &reader).await, StatusCode::FORBIDDEN);
    assert_eq!(send(Method::PUT, "team/other", &writer).await, StatusCode::FORBIDDEN);
    assert_eq!(send(Method::PUT, "team/app", &writer).await, StatusCode::OK);
    for token in [&writer, &reader, &all] {
        assert_eq!(send(Method::GET, "team/app", token).await, StatusCode::OK);
    }
    assert_eq!(send(Method::GET, "team/other", &all).await, StatusCode::NOT_FOUND);
    assert_eq!(send(Method::GET, "team/other", &reader).await, StatusCode::FORBIDDEN);
    assert_eq!(send(Method::GET, "team/app", &format!("{reader}x")).await, StatusCode::UNAUTHORIZED);
    fixture.clock.advance(24 * 3600 * 1_000);
    assert_eq!(send(Method::GET, "team/app", &reader).await, StatusCode::UNAUTHORIZED, "it is over");
    assert_eq!(send(Method::GET, "team/app", &writer).await, StatusCode::OK);
    for (wrong, word) in [
        (json!({"write": true, "days": 0}), "1 to 366"),
        (json!({"write": true, "days": 367}), "1 to 366"),
        (json!({"write": true, "days": 1, "instance": ""}), "instance"),
    ] {
        let (status, refused) = ask(&fixture, "/api/v1/cache/tokens", Some(wrong)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(refused["error"]["message"].as_str().unwrap().contains(word), "{refused}");
    }
    // None of these may ask for anything but the cache.
    let answer = fixture.http.get(fixture.url("/api/v1/runs")).bearer_auth(&writer).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_client_asked_for_is_told() {
    let fixture = Fixture::start().await;
    let token = fixture.handle().admin_token.reveal().to_owned();
    let url = fixture.url("/cache/files/of-ccache");
    let ccache =
        |request: reqwest::RequestBuilder| request.bearer_auth(&token).header("user-agent", "ccache/4.7.5 x");
    assert!(ccache(fixture.http.put(&url).body(noise(100_000))).send().await.unwrap().status().is_success());
    for _ in 0..3 {
        assert_eq!(
            ccache(fixture.http.get(&url)).send().await.unwrap().bytes().await.unwrap().len(),
            100_000
        );
    }
    let none = fixture.url("/cache/files/none");
    assert_eq!(ccache(fixture.http.get(&none)).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let told = fixture.get("/api/v1/cache").await["build_tools"].clone();
    let client = &told["clients"][0];
    assert_eq!(
        (client["client"].as_str(), client["door"].as_str(), client["repository"].is_null()),
        (Some("ccache"), Some("http"), true)
    );
    assert_eq!((client["hits"].as_u64(), client["misses"].as_u64()), (Some(3), Some(1)), "{client}");
    assert_eq!(client["hit_rate"], 0.75);
    assert!(client["read_bytes"].as_u64().unwrap() >= 300_000, "{client}");
    assert!((100_000..110_000).contains(&client["written_bytes"].as_u64().unwrap()), "{client}");
    let hours: u64 =
        told["hours"].as_array().unwrap().iter().map(|hour| hour["hits"].as_u64().unwrap()).sum();
    assert_eq!(hours, 3);
    let held = &told["held"][0];
    assert_eq!((held["kind"].as_str(), held["quota_bytes"].is_null()), (Some("other"), true));
    assert!(held["stored_bytes"].as_u64().unwrap() >= 100_000);
    let metrics = fixture.http.get(fixture.url("/metrics")).bearer_auth(&token).send().await.unwrap();
    let line = "slipway_cache_client_hits_total{door=\"http\",client=\"ccache\"} 3";
    assert!(metrics.text().await.unwrap().lines().any(|found| found == line));
}
