//! The full runner image has what workflows take for granted on `ubuntu-latest`: the commands that docs/RUNNER_IMAGES.md names, and most
//! of them used in earnest by an unmodified workflow, without a network.
//!
//! Not part of the usual run, because making the image takes minutes: docs/SPECIFICATION.md says how to run it.

use slipway_tests::{Agent, Checkout, Coordinator, Outcome, native_architecture};

use crate::arm64::arm64;

/// The image of a machine's own architecture, the agent's default.
const NATIVE_IMAGE: &str = "slipway/runner:latest";

/// The commands of the full image's table in docs/RUNNER_IMAGES.md, in their order.
fn documented() -> Vec<&'static str> {
    let page = include_str!("../../docs/RUNNER_IMAGES.md");
    let (_, table) = page.split_once("| for | commands |\n|---|---|\n").expect("the page has the table");
    let (table, _) = table.split_once("\n\n").expect("the table ends");
    // Every other piece between backquotes is quoted.
    table.split('`').skip(1).step_by(2).collect()
}

/// The workflow for a label, and the files that it works on. Where the processor is emulated, `sudo` is left out.
fn checkout(label: &str, emulated: bool) -> Checkout {
    let commands = documented();
    assert!(commands.len() > 60 && commands.contains(&"gcc"), "{commands:?}");
    let workflow = include_str!("full_image/workflow.yml")
        .replace("COMMANDS_OF_THE_PAGE", &commands.join(" "))
        .replace("ubuntu-latest", label)
        .replace("EMULATED: false", &format!("EMULATED: {emulated}"));
    let checkout = Checkout::new();
    checkout.write(".github/workflows/ci.yml", &workflow);
    for (path, text) in [
        ("main.c", include_str!("full_image/main.c")),
        ("CMakeLists.txt", include_str!("full_image/CMakeLists.txt")),
        ("configure.ac", include_str!("full_image/configure.ac")),
        ("Makefile.am", include_str!("full_image/Makefile.am")),
    ] {
        checkout.write(path, text);
    }
    checkout.commit("Add a program");
    checkout
}

/// Each step succeeded, and the last one was reached.
fn has_everything(outcome: &Outcome) {
    outcome.expect(0, "success");
    let log = outcome.log("full");
    assert!(log.iter().any(|line| line == "missing: nothing"), "{log:#?}");
    assert!(log.iter().any(|line| line == "everything was used"), "{log:#?}");
}

#[test]
#[ignore = "needs the full runner image: scripts/runner-image.sh"]
fn a_workflow_finds_and_uses_what_it_takes_for_granted() {
    // Without --image: ubuntu-latest means the full image.
    let checkout = checkout("ubuntu-latest", false);
    let outcome = Outcome::of(&mut checkout.slipway(&["run", ".github/workflows/ci.yml", "--json"]));
    has_everything(&outcome);
}

#[test]
#[ignore = "needs the full runner image for ARM64: scripts/runner-image.sh --arch arm64"]
fn so_does_one_on_arm64() {
    let emulated = native_architecture() != "arm64";
    let image = if emulated { "slipway/runner:arm64" } else { NATIVE_IMAGE };
    let checkout = checkout("ARM64", emulated);
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, arm64(image));
    has_everything(&coordinator.run(&checkout));
}
