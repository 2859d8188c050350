//! Entries of the Actions cache that the agent had before.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::job::{Doors, Fleet, Leased, disk, random};

impl Doors {
    async fn call(&self, method: &str, message: Value) -> Value {
        let path = format!("/twirp/github.actions.results.api.v1.CacheService/{method}");
        self.request(Method::POST, &path).json(&message).send().await.unwrap().json().await.unwrap()
    }

    async fn save(&self, key: &str, bytes: Vec<u8>) {
        let size_bytes = bytes.len().to_string();
        let created = self.call("CreateCacheEntry", json!({"key": key, "version": "v"})).await;
        let url = created["signed_upload_url"].as_str().unwrap();
        let sent = self.http.put(url).header("x-ms-blob-type", "BlockBlob").body(bytes).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
        let message = json!({"key": key, "version": "v", "size_bytes": size_bytes});
        assert_eq!(self.call("FinalizeCacheEntryUpload", message).await["ok"], true);
    }

    /// Where an entry can be had.
    async fn find(&self, key: &str) -> Option<String> {
        let found = self.call("GetCacheEntryDownloadURL", json!({"key": key, "version": "v"})).await;
        (found["ok"] == true).then(|| found["signed_download_url"].as_str().unwrap().to_owned())
    }

    /// A part of it: with a header and its value.
    async fn part(&self, url: &str, range: Option<(&str, String)>) -> (StatusCode, Vec<u8>) {
        let mut request = self.http.get(url);
        if let Some((header, value)) = range {
            request = request.header(header, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default())
    }

    async fn whole(&self, url: &str) -> Vec<u8> {
        self.part(url, None).await.1
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// From now on the coordinator has the entries' rows and no bytes.
fn lose_bytes(fleet: &Fleet) {
    let lost = files(&fleet.process.data_dir().join("objects/results/data"));
    assert!(!lost.is_empty());
    lost.iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_was_restored_before_does_not_come_again() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let first = fleet.job("refs/heads/main").await;
    let doors = first.open(&fleet, &tier);
    let bytes = random((9 << 20) + 12_345, 1);
    doors.save("k", bytes.clone()).await;
    // Whoever restores is another process than the one that saved, with connections of its own.
    let doors = first.open(&fleet, &tier);
    let url = doors.find("k").await.unwrap();
    assert!(doors.whole(&url).await == bytes);
    fleet.end(&first).await;

    lose_bytes(&fleet);
    let second = fleet.job("refs/heads/main").await;
    let doors = second.open(&fleet, &tier);
    let url = doors.find("k").await.unwrap();
    assert!(doors.whole(&url).await == bytes, "the coordinator has none of it");
    // Any part of it, asked for in either way.
    let end = bytes.len();
    for (from, until) in [(0, 1), (5, 4 << 20), ((2 << 20) - 1, (2 << 20) + 1), (end - 10, end), (0, end)] {
        for header in ["range", "x-ms-range"] {
            let range = format!("bytes={from}-{}", until - 1);
            let (status, part) = doors.part(&url, Some((header, range))).await;
            assert_eq!(status, StatusCode::PARTIAL_CONTENT);
            assert!(part == bytes[from..until], "{from} to {until}");
        }
    }
    let (status, _) = doors.part(&url, Some(("range", format!("bytes={end}-")))).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    // Whoever may not read it is told so by the coordinator.
    let wrong = url.replace("sig=", "sig=0");
    assert_eq!(doors.part(&wrong, None).await.0, StatusCode::FORBIDDEN);
    fleet.end(&second).await;
    assert_eq!(doors.part(&url, None).await.0, StatusCode::FORBIDDEN, "the job is over");
    let elsewhere: Leased =
        fleet.job_of("o/other", "refs/heads/main", json!({"repository": {"default_branch": "main"}})).await;
    assert_eq!(elsewhere.open(&fleet, &tier).find("k").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_damaged_comes_from_the_coordinator() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    let bytes = random(11 << 20, 1);
    doors.save("k", bytes.clone()).await;
    let doors = job.open(&fleet, &tier);
    let url = doors.find("k").await.unwrap();
    // A range keeps the pieces that it has whole.
    let range = |from: usize, until: usize| Some(("range", format!("bytes={from}-{}", until - 1)));
    let (_, part) = doors.part(&url, range((2 << 20) + 1, 9 << 20)).await;
    assert!(part == bytes[(2 << 20) + 1..9 << 20]);
    let kept = files(&folder.path().join("cache/files"));
    assert_eq!(kept.len(), 2, "of 4 and of 6 MiB on");
    assert!(doors.whole(&url).await == bytes);
    let kept = files(&folder.path().join("cache/files"));
    assert_eq!(kept.len(), 6);
    for file in kept {
        let mut there = std::fs::read(&file).unwrap();
        there[1_000] ^= 1;
        std::fs::write(&file, there).unwrap();
    }
    assert!(doors.whole(&url).await == bytes);
    lose_bytes(&fleet);
    assert!(doors.whole(&url).await == bytes, "what was damaged was fetched and kept anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_coordinator_s_entry_of_the_same_number_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    for seed in 0..2 {
        let mut fleet = Fleet::start().await;
        let job = fleet.job("refs/heads/main").await;
        let doors = job.open(&fleet, &tier);
        let bytes = random(3 << 20, seed);
        doors.save("k", bytes.clone()).await;
        let doors = job.open(&fleet, &tier);
        let url = doors.find("k").await.unwrap();
        assert!(url.contains("/results/blobs/1?"), "{url}");
        for _ in 0..2 {
            assert!(doors.whole(&url).await == bytes);
        }
    }
}
