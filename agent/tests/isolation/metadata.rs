//! The cloud's metadata address: see [`super::fleet::cloud`].

use std::process::Command;

use slipway_agent::docker::network::AddressRange;
use slipway_agent::metadata;
use slipway_proto::v1::Result::Success;

use super::fleet::cloud::{Cloud, METADATA, OTHER};
use super::fleet::{job, run};
use super::{Scene, expect_lines};

/// Removes the rules for a range that only this test has.
struct Rules(&'static str);

impl Rules {
    fn listed(&self) -> Vec<String> {
        let listed = Command::new("ip").args(["-4", "rule", "list"]).output().unwrap();
        let lines = String::from_utf8(listed.stdout).unwrap();
        lines.lines().filter(|line| line.contains(self.0)).map(str::to_owned).collect()
    }

    fn remove(&self) {
        for line in self.listed() {
            let rule = line.split_once(':').unwrap().1.trim().to_owned();
            let done = Command::new("ip")
                .args(["-4", "rule", "del"])
                .args(rule.split_whitespace())
                .output()
                .unwrap();
            assert!(done.status.success(), "{rule}: {done:?}");
        }
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ask() -> slipway_workflow::job_spec::JobSpec {
    let get = |address: &str, otherwise: &str| {
        format!("timeout 5 wget -q -O - http://{address}:80/ || echo {otherwise}")
    };
    job(vec![
        run("other", &get(OTHER, "other-is-out-of-reach")),
        run("metadata", &get(METADATA, "metadata-is-out-of-reach")),
        run("addresses", "ip -6 addr show scope global | grep -c inet6 || true"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_reaches_other_addresses_and_not_the_metadata_address() {
    let rules = Rules("10.85.0.0/16");
    rules.remove();
    let cloud = Cloud::start();
    let range = AddressRange::parse(rules.0).unwrap();
    assert!(metadata::stands(range).is_err());

    let allowed = Scene::with(&["--subnets", rules.0, "--allow-metadata"]).await;
    let job = allowed.run(&ask()).await;
    let lines = job.lines();
    assert_eq!(lines.iter().filter(|line| *line == "the-role-of-the-machine").count(), 2, "{lines:#?}");
    assert_eq!(rules.listed(), Vec::<String>::new());
    allowed.end().await;

    let guarded = Scene::with(&["--subnets", rules.0, "--accept-untrusted"]).await;
    for _ in 0..2 {
        let job = guarded.run(&ask()).await;
        assert_eq!(job.result(), Success);
        expect_lines(&job, &["metadata-is-out-of-reach", "0"]);
        let lines = job.lines();
        assert_eq!(lines.iter().filter(|line| *line == "the-role-of-the-machine").count(), 1, "{lines:#?}");
        metadata::stands(range).unwrap();
        assert_eq!(rules.listed().len(), 8, "none twice: {:#?}", rules.listed());
        // Whoever manages the machine's network flushes what it does not know.
        rules.remove();
    }
    guarded.end().await;
    drop(cloud);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_rules_code_from_outside_does_not_run() {
    // The container that adds rules cannot start: its program is not at its place.
    let scene = Scene::with(&["--subnets", "10.87.0.0/16", "--accept-untrusted"]).await;
    let rules = Rules("10.87.0.0/16");
    rules.remove();
    for entry in std::fs::read_dir(scene.place.folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("slipway-init-") {
            // Jobs have hard links of it, or copies.
            std::fs::rename(&path, path.with_extension("away")).unwrap();
        }
    }
    let instance = scene.coordinator.assign(&job(vec![run("never", "echo never")])).await;
    let job = scene.coordinator.report(&instance).await;
    let fleet = job.fleet();
    assert!(fleet.message.contains("metadata addresses"), "{fleet:?}");
    scene.end().await;
}

/// Not a promise in seconds: that nothing is started for it.
#[test]
fn looking_is_cheap() {
    let range = AddressRange::parse("10.88.0.0/16").unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        assert!(metadata::stands(range).is_err());
    }
    println!("a look takes {:?}", begun.elapsed() / 100);
}
