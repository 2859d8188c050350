//! The collector with a real engine: of images only what the agent brought goes, and nothing that anybody needs.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use slipway_agent::disk::DiskState;
use slipway_agent::disk::collect::Collector;
use slipway_agent::disk::images::Images;
use slipway_agent::disk::mark::{Mark, Marks};
use slipway_agent::disk::space::Place;
use slipway_agent::docker::{DEFAULT_HOST, Engine};
use tempfile::TempDir;
use tokio::sync::watch;

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn is_here(image: &str) -> bool {
    Command::new("docker").args(["image", "inspect", image]).output().unwrap().status.success()
}

/// Images of the test's own, an agent's note of them, and a collector.
struct Yard {
    agent: String,
    folder: TempDir,
    engine: Engine,
    images: Arc<Images>,
    made: Vec<String>,
    disk: watch::Sender<DiskState>,
}

impl Yard {
    async fn new() -> Self {
        let agent = uuid::Uuid::new_v4().to_string();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("jobs")).unwrap();
        let engine = Engine::connect(DEFAULT_HOST, &agent).await.unwrap();
        let images = Images::open(folder.path());
        Self { agent, folder, engine, images, made: Vec::new(), disk: watch::Sender::default() }
    }

    /// An image of one file, which no other has.
    fn image(&mut self, name: &str) -> String {
        let name = format!("slipway-collect-{}:{name}", &self.agent[..8]);
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("file"), &name).unwrap();
        let file = self.folder.path().join("image.tar");
        let (folder, file) = (tree.path().to_str().unwrap(), file.to_str().unwrap());
        let tar = Command::new("tar").args(["-C", folder, "-cf", file, "."]).status().unwrap();
        assert!(tar.success());
        docker(&["import", "--change", "CMD [\"/none\"]", file, &name]);
        self.made.push(name.clone());
        name
    }

    /// One that the agent notes as brought. They were used in the order in which they are made.
    fn brought(&mut self, name: &str) -> String {
        let name = self.image(name);
        self.images.bring(&name).unwrap();
        name
    }

    fn collector(&self, limit_bytes: u64, configured: &[&String], low: Mark) -> Collector {
        Collector {
            engine: self.engine.clone(),
            images: Arc::clone(&self.images),
            configured: configured.iter().map(|name| (*name).clone()).collect::<BTreeSet<_>>(),
            jobs_dir: self.folder.path().join("jobs"),
            limit_bytes: Some(limit_bytes),
            place: Place::of(self.folder.path()),
            marks: Marks { low, full: Mark::Off },
            disk: self.disk.subscribe(),
        }
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for image in &self.made {
            let _ = Command::new("docker").args(["rmi", "--force", image]).output();
        }
    }
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_the_agent_brought_the_least_recently_used_goes_and_nothing_that_is_needed() {
    let mut yard = Yard::new().await;
    let foreign = yard.image("foreign");
    let configured = yard.brought("configured");
    let (held, used) = (yard.brought("held"), yard.brought("used"));
    let (old, new) = (yard.brought("old"), yard.brought("new"));
    let container = docker(&["create", &used]);
    let hold = yard.images.hold(&held).await;
    let collecting = tokio::spawn(yard.collector(1, &[&configured], Mark::Off).run());

    until("what nobody needs goes", || !is_here(&old) && !is_here(&new)).await;
    for (stays, why) in [
        (&foreign, "the agent did not bring it"),
        (&configured, "jobs without `container:` run in it"),
        (&held, "a job is about to use it"),
        (&used, "a container has it"),
    ] {
        assert!(is_here(stays), "{why}");
    }
    // A job's end is when the collector looks again.
    docker(&["rm", &container]);
    drop(hold);
    until("what is needed no more goes", || !is_here(&held) && !is_here(&used)).await;
    assert!(is_here(&foreign) && is_here(&configured));
    let noted: Vec<String> = yard.images.brought().into_iter().map(|(name, _)| name).collect();
    assert_eq!(noted, [configured]);
    collecting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_within_their_limit_stay_until_the_disk_is_low() {
    let mut yard = Yard::new().await;
    let (one, other) = (yard.brought("one"), yard.brought("other"));
    let orphan = {
        let label = |name: &str, value: &str| format!("slipway.{name}={value}");
        let instance = uuid::Uuid::new_v4().to_string();
        let foreign = yard.image("foreign");
        docker(&[
            "create",
            "--label",
            &label("agent", &yard.agent),
            "--label",
            &label("instance", &instance),
            "--label",
            &label("attempt", "1"),
            &foreign,
        ])
    };
    let there = || docker(&["ps", "--all", "--quiet", "--no-trunc"]).contains(&orphan);
    // No disk has so much room.
    let collecting = tokio::spawn(yard.collector(1 << 30, &[], Mark::Bytes(u64::MAX / 2)).run());
    // As for the first look: the disk is not known to be low.
    yard.disk.send_modify(|state| state.paused = Some("low disk".to_owned()));
    until("a low disk takes them all", || !is_here(&one) && !is_here(&other)).await;
    until("what a job left in the engine goes", || !there()).await;
    collecting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_just_being_removed_is_brought_again() {
    let mut yard = Yard::new().await;
    let name = yard.brought("one");
    let (images, engine) = (Arc::clone(&yard.images), yard.engine.clone());
    // However the two meet: whoever holds the image finds it here, or knows that it is gone.
    let removed = tokio::spawn({
        let name = name.clone();
        async move { images.remove(&engine, &name).await }
    });
    let hold = yard.images.hold(&name).await;
    let before = is_here(&name);
    let removed = removed.await.unwrap();
    assert_eq!(removed, !is_here(&name));
    assert_eq!(before, is_here(&name), "nothing was removed under the hold");
    assert!(removed || !yard.images.remove(&yard.engine, &name).await, "held");
    drop(hold);
    assert!(yard.images.remove(&yard.engine, &name).await);
    assert!(!is_here(&name));
}
