//! This repository's own workflow, on Slipway.

use std::path::Path;
use std::process::Command;

use slipway_tests::{Outcome, RUNNER_IMAGE, program};

fn slipway(arguments: &[&str]) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(program("slipway"));
    command.current_dir(root).args(arguments).env_remove("SLIPWAY_SERVER").env_remove("SLIPWAY_TOKEN");
    let home = tempfile::tempdir().unwrap();
    command.env("XDG_CACHE_HOME", home.path()).env("XDG_STATE_HOME", home.path());
    Outcome::of(&mut command)
}

#[test]
fn our_own_workflow_has_no_error() {
    let outcome = slipway(&["lint", ".github/workflows/ci.yml", "examples/hello.yml"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
}

#[test]
fn our_own_workflow_is_planned_as_it_is_written() {
    let outcome = slipway(&["plan", ".github/workflows/ci.yml", "--event", "pull_request", "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let plan: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(plan["triggered"], true, "{plan}");
    let mut names: Vec<_> =
        plan["jobs"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["format", "habits", "lint", "test (ubuntu-22.04)", "test (ubuntu-24.04)"]);
}

/// The job of it that needs no compiler, for real: this checkout, our checks, a container.
#[test]
fn our_own_habits_are_checked_on_slipway() {
    let image = format!("ubuntu-latest={RUNNER_IMAGE}");
    let outcome =
        slipway(&["run", ".github/workflows/ci.yml", "--job", "habits", "--json", "--image", &image]);
    outcome.expect(0, "success");
    assert_eq!(outcome.job_result("habits"), "success");
    assert!(
        outcome.log("habits").iter().any(|line| line == "the habits are kept"),
        "{:#?}",
        outcome.log("habits")
    );
}

/// What the quickstart shows.
#[test]
fn the_example_runs() {
    let image = format!("ubuntu-latest={RUNNER_IMAGE}");
    let outcome = slipway(&["run", "examples/hello.yml", "--json", "--image", &image]);
    outcome.expect(0, "success");
    assert_eq!(outcome.job("greet").len(), 2);
    assert!(outcome.log("finish").iter().any(|line| line.starts_with("both greetings were said")));
}
