//! When something is broken: a build goes on, and what it gets is right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_agent::tier::Tier;

use crate::doors::{hash, missing, stream};
use crate::job::{Fleet, disk, random};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_is_a_cache_that_misses() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    let bytes = random(3 << 20, 1);
    doors.put("/cache/files/a", bytes.clone()).await;
    assert!(doors.get("/cache/files/a").await.unwrap() == bytes);
    fleet.process.kill9();
    for round in 0..20 {
        assert_eq!(doors.get("/cache/files/a").await, None);
        doors.put(&format!("/cache/files/{round}"), random(100_000, round)).await;
        assert_eq!(missing(&doors, &[&bytes]).await, 1, "nobody says that it is there");
    }
    // What its digest names is right, wherever it comes from.
    assert!(stream(&doors, &hash(&bytes), bytes.len()).await.unwrap() == bytes);
    // A job that begins meanwhile has not heard where it may read.
    let late = job.open(&fleet, &tier);
    assert_eq!(late.get("/cache/files/a").await, None);
    late.put("/cache/files/late", "dropped").await;
    assert_eq!(stream(&late, &hash(&bytes), bytes.len()).await, None);
    fleet.process.start_again();
    for doors in [&doors, &late] {
        while doors.get("/cache/files/a").await.as_ref() != Some(&bytes) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(doors.get("/cache/files/late").await, None, "what was dropped is not there");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_that_flipped_on_the_disk_come_from_the_coordinator() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    let bytes = random(9 << 20, 1);
    doors.put("/cache/files/a", bytes.clone()).await;
    let damaged = files(&folder.path().join("cache/files"));
    assert!(damaged.len() > 4, "{damaged:?}");
    for file in &damaged {
        let mut there = std::fs::read(file).unwrap();
        let middle = there.len() / 2;
        there[middle] ^= 1;
        std::fs::write(file, there).unwrap();
    }
    let before = fleet.sent().await;
    assert!(doors.get("/cache/files/a").await.unwrap() == bytes);
    assert!(fleet.sent().await - before >= bytes.len() as u64, "all of it was fetched anew");
    let before = fleet.sent().await;
    assert!(doors.get("/cache/files/a").await.unwrap() == bytes);
    assert!(fleet.sent().await - before < 4_096, "and is on the disk again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_keeps_its_bound() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = Tier::open(folder.path(), 8 << 20).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    let of = |round: u64| random(3 << 20, round);
    for round in 0..8 {
        doors.put(&format!("/cache/files/{round}"), of(round)).await;
    }
    let held: u64 = files(&folder.path().join("cache/files"))
        .iter()
        .map(|file| std::fs::metadata(file).unwrap().len())
        .sum();
    assert!(held <= 8 << 20, "{held}");
    for round in 0..8 {
        assert!(doors.get(&format!("/cache/files/{round}")).await.unwrap() == of(round), "{round}");
    }
}
