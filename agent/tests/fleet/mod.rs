//! What tests with real containers share: a small image, a coordinator in the test, agents that clean up.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

pub mod cloud;
pub mod coordinator;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use coordinator::{FakeCoordinator, TOKEN};
use serde_json::json;
use slipway_agent::agent::{Agent, Handle};
use slipway_agent::options::{Arguments, Options};
use slipway_workflow::action::ActionReference;
use slipway_workflow::job_spec::{
    Entry, JOB_SPEC_VERSION, JobSpec, RunDefaults, Source, SpecContexts, StepAction, StepSpec, Text,
};
use tempfile::TempDir;

/// Busybox and a user `runner` of two groups, nothing else.
pub const IMAGE: &str = "slipway-agent-test:2";

const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// Makes the image unless it is there.
pub fn want_image() {
    let there = Command::new("docker").args(["image", "inspect", IMAGE]).output().unwrap();
    if there.status.success() {
        return;
    }
    let busybox = BUSYBOX.iter().find(|path| Path::new(path).is_file()).expect("install busybox-static");
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_path_with_name(busybox, "bin/busybox").unwrap();
    let applets = Command::new(busybox).arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(applets).unwrap().lines().filter(|applet| *applet != "busybox") {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nrunner:x:1001:1001::/home/runner:/bin/sh\n";
    let group = "root:x:0:\nrunner:x:1001:\ndocker:x:999:runner\n";
    for (name, text) in [("etc/passwd", passwd), ("etc/group", group)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let mut import = Command::new("docker")
        .args(["import", "--change", "ENV PATH=/bin", "-", IMAGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&archive.into_inner().unwrap()).unwrap();
    assert!(import.wait().unwrap().success());
}

/// An agent's settings in a folder of its own. Removes what the agent made when it is dropped.
pub struct Place {
    pub folder: TempDir,
    pub arguments: Vec<String>,
}

impl Place {
    pub fn new(coordinator: &FakeCoordinator) -> Self {
        want_image();
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let arguments = [
            "--server",
            &coordinator.address,
            "--token",
            TOKEN,
            "--slots",
            "2",
            "--data-dir",
            data_dir.to_str().unwrap(),
            "--default-image",
            IMAGE,
            "--image",
            &format!("ubuntu-latest={IMAGE}"),
            "--subnets",
            "10.84.0.0/16",
            // Tests count what an agent has made; those of sandboxes ask for some.
            "--warm",
            "0",
        ];
        Self { arguments: arguments.map(str::to_owned).to_vec(), folder }
    }

    /// The same with this many containers that wait for jobs.
    pub fn warm(mut self, count: usize) -> Self {
        let flag = self.arguments.iter().position(|argument| argument == "--warm").unwrap();
        self.arguments[flag + 1] = count.to_string();
        self
    }

    pub async fn start(&self) -> Handle {
        let arguments = ["slipway-agent".to_owned()].into_iter().chain(self.arguments.clone());
        let arguments = <Arguments as clap::Parser>::parse_from(arguments);
        Agent::start(Options::from_arguments(arguments).unwrap()).await.unwrap()
    }

    pub fn id(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("data/agent.id"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    pub fn containers(&self) -> Vec<String> {
        self.list(&["ps", "-aq", "--no-trunc"])
    }

    pub fn networks(&self) -> Vec<String> {
        self.list(&["network", "ls", "-q"])
    }

    fn list(&self, command: &[&str]) -> Vec<String> {
        let filter = format!("label=slipway.agent={}", self.id());
        let listed = Command::new("docker").args(command).args(["--filter", &filter]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    pub fn jobs(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("data/jobs")).map_or(0, Iterator::count)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.id().is_empty() {
            return;
        }
        for container in self.containers() {
            let _ = Command::new("docker").args(["rm", "-f", &container]).output();
        }
        for volume in self.list(&["volume", "ls", "-q"]) {
            let _ = Command::new("docker").args(["volume", "rm", "-f", &volume]).output();
        }
        for network in self.networks() {
            let _ = Command::new("docker").args(["network", "rm", &network]).output();
        }
    }
}

/// The agent as a process of its own, which `kill -9` ends when this is dropped.
pub struct Process(std::process::Child);

impl Process {
    pub fn start(place: &Place) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-agent"));
        Self(command.args(&place.arguments).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn text(text: &str) -> Text {
    Text { text: text.to_owned(), line: 1, column: 1 }
}

pub fn entry(key: &str, value: &str) -> Entry {
    Entry { key: key.to_owned(), value: text(value) }
}

/// A `run` step.
pub fn run(id: &str, script: &str) -> StepSpec {
    let action = StepAction::Run { script: text(script), shell: None, working_directory: None };
    StepSpec {
        id: id.to_owned(),
        id_written: true,
        name: Some(text(id)),
        condition: None,
        action,
        background: false,
        env: Vec::new(),
        continue_on_error: None,
        timeout_minutes: None,
        line: 1,
    }
}

pub fn when(condition: &str, step: StepSpec) -> StepSpec {
    StepSpec { condition: Some(text(condition)), ..step }
}

/// `actions/checkout`
pub fn checkout(with: &[(&str, &str)]) -> StepSpec {
    let with = with.iter().map(|(key, value)| entry(key, value)).collect();
    let uses = "actions/checkout@v5".to_owned();
    let action = ActionReference::parse(&uses).expect("a reference");
    let action = StepAction::Uses { uses, action, with };
    StepSpec { action, ..run("checkout", "") }
}

pub fn job(steps: Vec<StepSpec>) -> JobSpec {
    JobSpec {
        version: JOB_SPEC_VERSION,
        workflow_file: ".github/workflows/test.yml".to_owned(),
        job: "test".to_owned(),
        name: "test".to_owned(),
        labels: vec!["ubuntu-latest".to_owned()],
        contexts: SpecContexts {
            github: json!({"repository": "octo/hello", "event_name": "push", "event": {"ref": "refs/heads/main"}}),
            ..SpecContexts::default()
        },
        env: Vec::new(),
        defaults: RunDefaults::default(),
        container: None,
        services: Vec::new(),
        environment: None,
        permissions: Vec::new(),
        secret_scopes: Vec::new(),
        action_pins: Default::default(),
        cancel_timeout_ms: slipway_workflow::job_spec::DEFAULT_CANCEL_TIMEOUT_MS,
        outputs: Vec::new(),
        steps,
        timeout_ms: 360 * 60_000,
        source: Source::None,
    }
}
