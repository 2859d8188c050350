//! Container images of two architectures, built by unmodified workflows inside of jobs' containers, as docs/IMAGES.md has it: with Debian's
//! buildah, without a privilege that a job has not anyway; and looked at with Docker's engine.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, docker, native_architecture, wait_until};

/// The workflow of this title in docs/IMAGES.md; on an ARM64 machine without what is for AMD64.
fn documented(title: &str) -> String {
    let page = include_str!("../../docs/IMAGES.md");
    let (_, after) = page.split_once(&format!("```yaml\n# {title}\n")).expect("the page has it");
    let workflow = after.split_once("```").unwrap().0;
    if native_architecture() == "amd64" {
        return workflow.to_owned();
    }
    let lines = workflow.lines().filter(|line| !line.contains("arch: amd64"));
    let lines = lines
        .map(|line| line.replace("runs-on: X64", "runs-on: ARM64").replace("buildah:amd64", "buildah:arm64"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// What the workflow of the documentation is given to pack.
const CONTAINERFILE: &str = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY app.sh /app.sh\nENTRYPOINT [\"/bin/busybox\", \"sh\", \"/app.sh\"]\n";
const APP: &str = "echo \"$(/bin/busybox cat /machine) runs on $(/bin/busybox uname -m)\"\n";

/// Keeps the job, and so its registry, until the test has looked.
const WAIT: &str = "      - run: |
          echo \"the registry is at ${{ job.services.registry.ports['5000'] }}\"
          until [ -e /tmp/looked ]; do sleep 0.2; done
";

/// (as Docker calls it, as a label, as the kernel calls it). Another machine than an AMD64 one has no emulation here.
fn architectures() -> Vec<(&'static str, &'static str, &'static str)> {
    let arm64 = ("arm64", "ARM64", "aarch64");
    if native_architecture() == "arm64" { vec![arm64] } else { vec![("amd64", "X64", "x86_64"), arm64] }
}

/// An agent of an architecture, emulated where need be, that gives its jobs as little as any: code from outside may be among them.
fn agent(coordinator: &Coordinator, (docker_name, label, _): (&str, &str, &str)) -> Agent {
    let mut options = AgentOptions::named(docker_name);
    options.arguments = vec!["--accept-untrusted".to_owned()];
    if docker_name != native_architecture() {
        options.arguments.extend(["--arch", label, "--allow-emulation", label].map(str::to_owned));
    }
    Agent::start(coordinator, options)
}

/// The client that waits for a run; it does not stay when the test fails.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The registry of a job that waits, and the job's container.
struct Registry {
    address: String,
    container: String,
}

impl Registry {
    /// Once everything is there.
    fn of(coordinator: &Coordinator, run: &str) -> Self {
        let instance = wait_until("the last job runs, or the run is over", || {
            let shown = coordinator.show(run);
            assert_ne!(
                shown["state"],
                "finished",
                "{:#?} {:#?}",
                coordinator.logs(run, "build"),
                coordinator.logs(run, "publish")
            );
            let of_it = |instance: &&Value| instance["job"] == "publish" && instance["attempt"] == 1;
            shown["instances"].as_array()?.iter().find(of_it)?["instance_id"].as_str().map(str::to_owned)
        });
        let port = wait_until("the image is pushed, or the run is over", || {
            let log = coordinator.logs(run, "publish");
            assert_ne!(coordinator.show(run)["state"], "finished", "{log:#?}");
            log.iter().find_map(|line| line.strip_prefix("the registry is at ")).map(str::to_owned)
        });
        let filter = format!("name=slipway-{instance}-1-[0-9]+$");
        let container = docker(&["ps", "--format", "{{.Names}}", "--filter", &filter]);
        Self { address: format!("127.0.0.1:{port}"), container: container.trim().to_owned() }
    }

    /// A manifest, byte for byte, with its own media type.
    fn manifest(&self, name: &str, media_type: &str) -> Vec<u8> {
        let url = format!("http://{}/v2/team/app/manifests/{name}", self.address);
        let accept = format!("accept: {media_type}");
        let answer =
            Command::new("curl").args(["--fail", "--silent", "--header", &accept, &url]).output().unwrap();
        assert!(answer.status.success(), "{url}: {answer:?}");
        answer.stdout
    }

    /// What the image of a platform says when Docker's engine pulls and runs it.
    fn runs(&self, platform: &str) -> String {
        let image = format!("{}/team/app:1", self.address);
        docker(&["pull", "--quiet", "--platform", platform, &image]);
        let said = docker(&["run", "--rm", "--network", "none", "--platform", platform, &image]);
        docker(&["image", "rm", &image]);
        said.trim().to_owned()
    }
}

#[test]
fn a_matrix_builds_two_architectures_without_privileges_and_a_registry_has_both_under_one_name() {
    let architectures = architectures();
    let checkout = Checkout::with_workflow(&(documented("images.yml") + WAIT));
    checkout.write("Containerfile", CONTAINERFILE);
    checkout.write("app.sh", APP);
    checkout.commit("Add what is packed");
    let coordinator = Coordinator::start();
    let _agents: Vec<Agent> = architectures.iter().map(|each| agent(&coordinator, *each)).collect();
    let mut client = coordinator.run_command(&checkout);
    let mut client = Client(client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let registry = Registry::of(&coordinator, &coordinator.newest_run());

    let index: Value =
        serde_json::from_slice(&registry.manifest("1", "application/vnd.oci.image.index.v1+json")).unwrap();
    let mut listed = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        let digest = entry["digest"].as_str().unwrap();
        let manifest = registry.manifest(digest, "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(digest, format!("sha256:{}", hex::encode(Sha256::digest(&manifest))));
        assert_eq!(entry["size"], manifest.len());
        listed.push(entry["platform"]["architecture"].as_str().unwrap().to_owned());
    }
    listed.sort();
    assert_eq!(listed, architectures.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, _, machine) in &architectures {
        assert_eq!(registry.runs(&format!("linux/{name}")), format!("{machine} runs on {machine}"));
    }
    docker(&["exec", &registry.container, "touch", "/tmp/looked"]);
    assert!(client.0.wait().unwrap().success());
}

/// A file with `RUN`, which starts a process in namespaces of its own.
const WITH_RUN: &str = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox uname -m > /machine\"]\n";

#[test]
fn a_containerfile_with_run_needs_an_agent_that_allows_it() {
    let checkout = Checkout::with_workflow(&documented("run.yml"));
    checkout.write("Containerfile", WITH_RUN);
    checkout.commit("Add what is packed");
    let coordinator = Coordinator::start();
    let plain = Agent::start(&coordinator, AgentOptions::named("plain"));
    let refused = coordinator.run(&checkout);
    refused.expect(1, "failure");
    let log = refused.log("build");
    assert!(
        log.iter().any(|line| line.contains("SYS_ADMIN") && line.contains("--allow-privileged")),
        "{log:#?}"
    );
    drop(plain);
    let mut options = AgentOptions::named("privileged");
    options.arguments = vec!["--allow-privileged".to_owned()];
    let _agent = Agent::start(&coordinator, options);
    let built = coordinator.run(&checkout);
    built.expect(0, "success");
    let machine = if native_architecture() == "arm64" { "aarch64" } else { "x86_64" };
    assert!(built.log("build").iter().any(|line| line == machine), "{:#?}", built.log("build"));
}
