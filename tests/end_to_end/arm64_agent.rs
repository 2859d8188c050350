//! The ARM64 agent's own program, from its Debian package; on an AMD64 machine it is emulated.
//!
//! Its jobs' containers are ARM64's as well, init in them included; jobs of both architectures under agents of this machine are in `arm64`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use slipway_tests::{
    Agent, AgentOptions, Checkout, Coordinator, Outcome, busybox_image, native_architecture, wait_until,
};
use tempfile::TempDir;

/// The agent of the package, and what it needs to be emulated.
struct Packaged {
    folder: TempDir,
    package: PathBuf,
}

impl Packaged {
    fn unpack() -> Self {
        let packages = std::env::var_os("SLIPWAY_ARM64_PACKAGES").unwrap_or_else(|| {
            panic!("SLIPWAY_ARM64_PACKAGES is not set: run the tests with nextest, or scripts/prepare-arm64.sh first")
        });
        let found = std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().path());
        let package = found.into_iter().find(|path| path.to_string_lossy().ends_with("_arm64.deb")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let done =
            Command::new("dpkg-deb").arg("--extract").args([&package, folder.path()]).status().unwrap();
        assert!(done.success());
        Self { folder, package }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("usr/bin/slipway-agent")
    }

    fn field(&self, name: &str) -> String {
        let said = Command::new("dpkg-deb").arg("--field").arg(&self.package).arg(name).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    fn options(&self) -> AgentOptions {
        AgentOptions {
            arguments: vec!["--image".to_owned(), format!("ARM64={}", busybox_image("arm64"))],
            program: Some(self.program()),
            variables: emulation(),
            ..AgentOptions::named("arm64")
        }
    }
}

/// Where an emulated program finds its dynamic linker and its libraries.
fn emulation() -> Vec<(String, String)> {
    match native_architecture() {
        "arm64" => Vec::new(),
        _ => vec![("QEMU_LD_PREFIX".to_owned(), "/usr/aarch64-linux-gnu".to_owned())],
    }
}

/// The machine that a file's program is for, by its ELF header.
fn machine_of(program: &Path) -> u16 {
    let bytes = std::fs::read(program).unwrap();
    assert_eq!(&bytes[..4], b"\x7fELF");
    u16::from_le_bytes([bytes[18], bytes[19]])
}

#[test]
fn the_package_is_for_arm64_and_its_program_runs() {
    const AARCH64: u16 = 183;
    let packaged = Packaged::unpack();
    assert_eq!(packaged.field("Architecture"), "arm64");
    assert!(packaged.field("Depends").contains("libc6"), "{}", packaged.field("Depends"));
    assert_eq!(machine_of(&packaged.program()), AARCH64);
    let said = Outcome::of(Command::new(packaged.program()).arg("--version").envs(emulation()));
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.stdout.starts_with("slipway-agent "), "{said:#?}");
}

/// A job that succeeds, one that fails, and one that somebody cancels. The emulator of Debian 12 does not know `openat2`: what opens files
/// of jobs (environment files, `hashFiles` through a link, a checkout) does so in its other way; and it has no signals for init to read.
const WORKFLOW: &str = r#"
on: push
jobs:
  good:
    runs-on: [self-hosted, linux, ARM64]
    steps:
      - uses: actions/checkout@v4
      - id: look
        run: |
          echo "machine=$(uname -m)" >> "$GITHUB_OUTPUT"
          mkdir sub
          ln -s ../.github/workflows/ci.yml sub/link
      - run: echo "${{ runner.arch }} is ${{ steps.look.outputs.machine }}, ${{ hashFiles('sub/*') != '' && hashFiles('sub/*') == hashFiles('.github/**') }}"
  bad:
    runs-on: ARM64
    steps:
      - run: exit 3
      - if: failure()
        run: echo "after ${{ job.status }}"
  long:
    runs-on: ARM64
    steps:
      - run: echo begun; sleep 600
      - if: cancelled()
        run: echo told
"#;

#[test]
fn it_is_let_in_as_an_arm64_agent_runs_jobs_and_hears_its_orders() {
    let packaged = Packaged::unpack();
    let checkout = Checkout::with_workflow(WORKFLOW);
    let coordinator = Coordinator::start();
    let options = AgentOptions { slots: 3, ..packaged.options() };
    let mut agent = Agent::start(&coordinator, options);
    let listed = coordinator.api("/api/v1/agents");
    let listed = listed["agents"].as_array().unwrap();
    let labels = listed[0]["labels"].as_array().unwrap();
    assert!(labels.iter().any(|label| label == "arm64"), "{listed:?}");

    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let result = |shown: &Value, job: &str| {
        let instances = shown["instances"].as_array().unwrap();
        let instance = instances.iter().find(|instance| instance["job"] == job);
        instance.and_then(|instance| instance["result"].as_str().map(str::to_owned))
    };
    wait_until("two jobs have ended and one waits to be cancelled", || {
        let shown = coordinator.show(&run);
        let ended = result(&shown, "good").is_some() && result(&shown, "bad").is_some();
        (ended && coordinator.logs(&run, "long").iter().any(|line| line == "begun")).then_some(())
    });
    assert_eq!(coordinator.plain(&["cancel", &run]).code, 0);
    let shown = coordinator.finished(&run);
    client.wait().unwrap();
    let said = agent.said();
    for (job, expected, line) in [
        ("good", "success", "ARM64 is aarch64, true"),
        ("bad", "failure", "after failure"),
        ("long", "cancelled", "told"),
    ] {
        assert_eq!(result(&shown, job).as_deref(), Some(expected), "{job}: {shown:#} {said}");
        let log = coordinator.logs(&run, job);
        assert!(log.iter().any(|logged| logged == line), "{job}: {log:#?} {said}");
    }

    let drained = coordinator.plain(&["agents", "drain", "arm64"]);
    assert_eq!(drained.code, 0, "{drained:#?}");
    assert_eq!(agent.stop(), Some(0), "{}", agent.said());
}
