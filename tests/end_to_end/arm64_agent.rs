//! The ARM64 agent's own program, from its Debian package: on an AMD64 machine the kernel has it emulated, and everything that it starts too.

use std::path::{Path, PathBuf};
use std::process::Command;

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

/// An agent of this machine's own architecture.
fn native() -> AgentOptions {
    let (label, image) = (native_label(), busybox_image(native_architecture()));
    let arguments = vec!["--image".to_owned(), format!("{label}={image}")];
    AgentOptions { arguments, ..AgentOptions::named("native") }
}

fn native_label() -> &'static str {
    if native_architecture() == "arm64" { "ARM64" } else { "X64" }
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

#[test]
fn a_matrix_over_both_architectures_runs_each_job_on_its_own() {
    let other = native_label();
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  build:\n    strategy:\n      matrix:\n        arch: [{other}, ARM64]\n    \
         runs-on: [self-hosted, linux, \"${{{{ matrix.arch }}}}\"]\n    steps:\n      \
         - run: uname -m | tee machine-${{{{ matrix.arch }}}}\n      \
         - run: echo \"${{{{ runner.arch }}}} by ${{{{ runner.name }}}}\"\n      \
         - uses: actions/upload-artifact@v7\n        with: {{name: \"${{{{ matrix.arch }}}}\", path: machine-*}}\n  \
         both:\n    needs: build\n    runs-on: ARM64\n    steps:\n      \
         - uses: actions/download-artifact@v8\n        with: {{merge-multiple: true}}\n      - run: cat machine-*\n"
    ));
    let packaged = Packaged::unpack();
    let coordinator = Coordinator::start();
    let _native = Agent::start(&coordinator, native());
    let _arm64 = Agent::start(&coordinator, packaged.options());
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");
    let log = |job: &str| outcome.log(job);
    let has = |job: &str, line: &str| {
        assert!(log(job).iter().any(|logged| logged == line), "{line}: {:#?}", log(job))
    };
    has("build (ARM64)", "aarch64");
    has("build (ARM64)", "ARM64 by arm64");
    if other == "X64" {
        has("build (X64)", "x86_64");
        has("build (X64)", "X64 by native");
        has("both", "x86_64");
    }
    has("both", "aarch64");
}

#[test]
fn it_is_killed_and_goes_on_with_its_job() {
    const LINES: u32 = 300;
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  a:\n    runs-on: ARM64\n    steps:\n      \
         - run: for n in $(seq {LINES}); do echo \"line $n\"; [ $((n % 10)) != 0 ] || sleep 0.1; done\n"
    ));
    let packaged = Packaged::unpack();
    let coordinator = Coordinator::start();
    let mut agent = Agent::start(&coordinator, packaged.options());
    let mut client = coordinator.run_command(&checkout).stdout(std::process::Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let lines = || {
        coordinator.logs(&run, "a").into_iter().filter(|line| line.starts_with("line ")).collect::<Vec<_>>()
    };
    wait_until("the job prints", || (lines().len() > 20).then_some(()));
    agent.kill9();
    agent.start_again();
    assert_eq!(client.wait().unwrap().code(), Some(0));
    let expected: Vec<_> = (1..=LINES).map(|n| format!("line {n}")).collect();
    assert_eq!(lines(), expected, "none is missing, and none twice");
    let shown = coordinator.show(&run);
    assert_eq!(shown["instances"][0]["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
}
