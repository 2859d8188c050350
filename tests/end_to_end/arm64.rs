//! ARM64 jobs on an AMD64 machine: where its admin allowed emulation they run, elsewhere they wait.

use std::process::Stdio;

use slipway_tests::{
    ARM64_GLIBC_IMAGE, Agent, AgentOptions, Checkout, Coordinator, busybox_image, native_architecture,
    wait_until,
};

/// The program of built-in actions is the machine's own, whatever the image's is.
const WORKFLOW: &str = "
on: push
jobs:
  a:
    runs-on: [self-hosted, linux, ARM64]
    steps:
      - run: uname -m | tee machine
      - uses: actions/upload-artifact@v7
        with: { path: machine }
      - uses: actions/download-artifact@v8
        with: { path: back }
      - run: cmp machine back/machine && echo same
";

/// An agent for ARM64 jobs in this image.
pub(crate) fn arm64(image: &str) -> AgentOptions {
    let mut options = AgentOptions::named("arm64");
    options.arguments = vec!["--image".to_owned(), format!("ARM64={image}")];
    if native_architecture() != "arm64" {
        options.arguments.extend(["--arch", "ARM64", "--allow-emulation", "ARM64"].map(str::to_owned));
    }
    options
}

#[test]
fn javascript_actions_run_in_an_arm64_image_on_the_node_for_it() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  a:\n    runs-on: ARM64\n    steps:\n      - uses: actions/checkout@v4\n      \
         - {id: old, uses: ./old}\n      - {id: new, uses: ./new}\n      \
         - run: echo \"${{ steps.old.outputs.node }} ${{ steps.new.outputs.node }}\"\n",
    );
    for (folder, node) in [("old", "node20"), ("new", "node24")] {
        checkout.write(&format!("{folder}/action.yml"), &format!("runs: {{using: {node}, main: main.js}}\n"));
        checkout.write(
            &format!("{folder}/main.js"),
            "const major = process.version.split('.')[0]\n\
             require('fs').appendFileSync(process.env.GITHUB_OUTPUT, `node=${major}-${process.arch}\\n`)\n",
        );
    }
    checkout.commit("Add actions");
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, arm64(ARM64_GLIBC_IMAGE));
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");
    assert!(outcome.log("a").contains(&"v20-arm64 v24-arm64".to_owned()), "{outcome:#?}");
}

#[test]
fn a_matrix_over_both_architectures_runs_each_job_on_its_own() {
    let other = if native_architecture() == "arm64" { "ARM64" } else { "X64" };
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  build:\n    strategy:\n      matrix:\n        arch: [{other}, ARM64]\n    \
         runs-on: [self-hosted, linux, \"${{{{ matrix.arch }}}}\"]\n    steps:\n      \
         - run: uname -m | tee machine-${{{{ matrix.arch }}}}\n      \
         - run: echo \"${{{{ runner.arch }}}} by ${{{{ runner.name }}}}\"\n      \
         - uses: actions/upload-artifact@v7\n        with: {{name: \"${{{{ matrix.arch }}}}\", path: machine-*}}\n  \
         both:\n    needs: build\n    runs-on: ARM64\n    steps:\n      \
         - uses: actions/download-artifact@v8\n        with: {{merge-multiple: true}}\n      - run: cat machine-*\n"
    ));
    let coordinator = Coordinator::start();
    let image = format!("{other}={}", busybox_image(native_architecture()));
    let arguments = vec!["--image".to_owned(), image];
    let _native = Agent::start(&coordinator, AgentOptions { arguments, ..AgentOptions::named("native") });
    let _arm64 = Agent::start(&coordinator, arm64(&busybox_image("arm64")));
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");
    let has = |job: &str, line: &str| {
        assert!(outcome.log(job).iter().any(|logged| logged == line), "{line}: {outcome:#?}");
    };
    has("build", "aarch64");
    if other == "X64" {
        has("build", "ARM64 by arm64");
        has("build", "x86_64");
        has("build", "X64 by native");
        has("both", "x86_64");
    }
    has("both", "aarch64");
}

#[test]
fn an_arm64_job_waits_for_an_agent_that_may_run_it() {
    let checkout = Checkout::with_workflow(WORKFLOW);
    let coordinator = Coordinator::start();
    // On an ARM64 machine the plain agent is the one that may, and there is nothing to emulate.
    let emulated = native_architecture() != "arm64";
    let _plain = emulated.then(|| Agent::start(&coordinator, AgentOptions::named("plain")));
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("show says why it waits", || {
        let shown = coordinator.show(&run);
        shown["instances"][0]["waits_for"].as_str().filter(|reason| reason.contains("arm64")).map(drop)
    });

    let _agent = Agent::start(&coordinator, arm64(&busybox_image("arm64")));
    assert_eq!(client.wait().unwrap().code(), Some(0));
    let log = coordinator.logs(&run, "a");
    for line in ["aarch64", "same"] {
        assert!(log.iter().any(|logged| logged == line), "{line}: {log:?}");
    }
}
