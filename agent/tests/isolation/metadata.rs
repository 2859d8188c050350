//! The cloud's metadata address, played by a network namespace with a real web server.

use std::process::{Child, Command, Stdio};

use slipway_agent::docker::network::AddressRange;
use slipway_agent::metadata;
use slipway_proto::v1::Result::Success;

use super::fleet::{job, run};
use super::{Scene, expect_lines};

const METADATA: &str = "169.254.169.254";

/// Another address of the same place (RFC 5737).
const OTHER: &str = "198.51.100.83";

/// A namespace that has both addresses, and a server that answers at both.
struct Cloud {
    name: String,
    server: Option<Child>,
    folder: tempfile::TempDir,
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Cloud {
    fn start() -> Self {
        let name = format!("slipway-md-{}", std::process::id());
        let (outer, inner) = (format!("smdo{}", std::process::id()), format!("smdi{}", std::process::id()));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "the-role-of-the-machine\n").unwrap();
        ip(&format!("netns add {name}"));
        // From here on everything goes with it, whatever fails.
        let mut cloud = Self { name: name.clone(), server: None, folder };
        ip(&format!("link add {outer} type veth peer name {inner} netns {name}"));
        ip(&format!("address add 198.51.100.81/32 dev {outer}"));
        ip(&format!("link set {outer} up"));
        ip(&format!("-n {name} link set {inner} up"));
        ip(&format!("-n {name} link set lo up"));
        for address in [METADATA, OTHER] {
            ip(&format!("-n {name} address add {address}/32 dev {inner}"));
            ip(&format!("route add {address}/32 dev {outer} src 198.51.100.81"));
        }
        ip(&format!("-n {name} route add 198.51.100.81/32 dev {inner}"));
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &name, "busybox", "httpd", "-f", "-p", "80", "-h"]);
        cloud.server = Some(server.arg(cloud.folder.path()).stdout(Stdio::null()).spawn().unwrap());
        for address in [METADATA, OTHER] {
            let url = format!("http://{address}/");
            let patience = ["--retry", "20", "--retry-delay", "1", "--retry-connrefused", "--max-time", "30"];
            let answer =
                Command::new("curl").args(["--fail", "--silent"]).args(patience).arg(&url).output().unwrap();
            let said = String::from_utf8_lossy(&answer.stdout);
            assert_eq!(said, "the-role-of-the-machine\n", "the machine itself reaches {address}: {answer:?}");
        }
        cloud
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        // The interfaces and routes go with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

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
