//! The private fleet of `slipway run`: what cannot start is told soon, and what a killed one left is removed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use slipway_tests::{Checkout, Outcome, docker};

const LONG: &str =
    "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo going; sleep 600\n";

const QUICK: &str =
    "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo quick\n";

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let temporary = tempfile::tempdir().unwrap();
    let long = Checkout::with_workflow(LONG);
    let mut killed = long.run_command(&[]);
    killed.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut killed = killed.spawn().unwrap();
    let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    let begun = lines.map_while(Result::ok).any(|line| line.contains(r#""line":"going""#));
    assert!(begun, "the step prints before it sleeps");
    killed.kill().unwrap();
    killed.wait().unwrap();

    let folders = folders(temporary.path());
    let [folder] = folders.as_slice() else { panic!("one folder stays behind: {folders:?}") };
    let agent =
        std::fs::read_to_string(temporary.path().join(folder).join("data/agents/1/agent.id")).unwrap();
    let label = format!("label=slipway.agent={}", agent.trim());
    let containers = || docker(&["ps", "--all", "--quiet", "--filter", &label]);
    let networks = || docker(&["network", "ls", "--quiet", "--filter", &label]);
    assert_ne!(containers().trim(), "", "its container goes on");

    let quick = Checkout::with_workflow(QUICK);
    let outcome = Outcome::of(quick.run_command(&[]).env("TMPDIR", temporary.path()));
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains("killed had left: 1 container"), "{outcome:#?}");
    assert_eq!((containers().trim(), networks().trim()), ("", ""));
    assert!(self::folders(temporary.path()).is_empty(), "and its files, and this run's own");
}

#[test]
fn an_image_that_is_nowhere_fails_the_run_before_it_begins() {
    let checkout = Checkout::with_workflow(QUICK);
    let missing = checkout.run_with(&["--image", "ubuntu-latest=localhost:1/does-not-exist:1"]);
    missing.expect_refusal(3, &["`a`", "image_pull", "localhost:1/does-not-exist:1"]);
    missing.expect(3, "failure");
    assert_eq!(missing.job_object("a")["cause"], "image_pull", "scripts read it as of any run");
    let contained =
        Checkout::with_workflow(&QUICK.replace(
            "runs-on: ubuntu-latest",
            "runs-on: ubuntu-latest\n    container: localhost:1/nor-this:1",
        ));
    contained.run().expect_refusal(3, &["`a`", "image_pull", "localhost:1/nor-this:1"]);
}

fn folders(temporary: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(temporary).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("slipway-run-")).collect()
}
