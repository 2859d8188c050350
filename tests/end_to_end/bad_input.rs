//! Bad input gets one clear message that says where and what to do, the contract's exit code, and no half effect.

use std::net::TcpListener;

use slipway_tests::{Checkout, Coordinator, Outcome, get};

const GOOD: &str = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n";

/// `slipway run` refuses this workflow with exit code 2, and `slipway lint` finds the same with code 1.
fn refused(workflow: &str, place: &str, words: &[&str]) {
    let checkout = Checkout::with_workflow(workflow);
    let mut parts = vec![place];
    parts.extend(words);
    checkout.run().expect_refusal(2, &parts);
    let lint = Outcome::of(&mut checkout.slipway(&["lint"]));
    assert_eq!(lint.code, 1, "{lint:#?}");
    for part in parts {
        assert!(lint.stdout.contains(part) || lint.stderr.contains(part), "lint says `{part}`: {lint:#?}");
    }
}

#[test]
fn malformed_yaml() {
    refused("on: push\njobs:\n  a: [unclosed\n", "ci.yml:", &[]);
}

#[test]
fn unknown_key() {
    let text =
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    stepz: []\n    steps:\n      - run: 'true'\n";
    refused(text, "ci.yml:5:5", &["stepz"]);
}

#[test]
fn cyclic_needs() {
    let text = "on: push\njobs:\n  a:\n    needs: b\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n  \
                b:\n    needs: a\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n";
    refused(text, "ci.yml:", &["a", "b", "needs"]);
}

#[test]
fn empty_matrix() {
    let text = "on: push\njobs:\n  a:\n    strategy:\n      matrix:\n        v: []\n    runs-on: ubuntu-latest\n    \
                steps: [{run: 'true'}]\n";
    refused(text, "ci.yml:6:", &["v"]);
}

#[test]
fn empty_matrix_that_only_the_run_can_tell() {
    let outcome = Checkout::with_workflow(
        r#"
on: push
jobs:
  list:
    runs-on: ubuntu-latest
    outputs: { parts: "${{ steps.none.outputs.parts }}" }
    steps:
      - id: none
        run: echo 'parts=[]' >> "$GITHUB_OUTPUT"
  part:
    needs: list
    runs-on: ubuntu-latest
    strategy: { matrix: { part: "${{ fromJSON(needs.list.outputs.parts) }}" } }
    steps: [{ run: "true" }]
"#,
    )
    .run();
    outcome.expect(1, "failure");
    assert_eq!(outcome.job_result("list"), "success");
    assert_eq!(outcome.job_result("part"), "failure");
    assert!(outcome.stdout.contains("part") && outcome.stdout.contains("empty"), "it says why: {outcome:#?}");
}

#[test]
fn what_github_does_not_know_is_refused_by_name() {
    let text = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    strategy:\n      ${{ github.ref }}: true\n    \
                steps: [{run: 'true'}]\n";
    refused(text, "ci.yml:6:", &["an expression can't be a key of `strategy`"]);
}

#[test]
fn label_that_no_agent_has() {
    let checkout = Checkout::with_workflow(&GOOD.replace("ubuntu-latest", "[self-hosted, mainframe]"));
    checkout.run().expect_refusal(3, &["mainframe"]);
}

#[test]
fn image_that_does_not_exist() {
    let text = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    container: slipway.invalid/no/such:image\n    \
                steps: [{run: 'true'}]\n";
    let outcome = Checkout::with_workflow(text).run();
    assert_eq!(outcome.code, 3, "{outcome:#?}");
    assert_eq!(outcome.run_result(), "failure");
    let job = outcome.job_object("a");
    assert!(["image_not_found", "image_pull"].iter().any(|&cause| job["cause"] == cause), "{job}");
    let everything = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(everything.contains("slipway.invalid/no/such:image"), "it names the image: {outcome:#?}");
}

#[test]
fn no_docker_engine() {
    let checkout = Checkout::with_workflow(GOOD);
    let mut command = checkout.run_command(&[]);
    let outcome = Outcome::of(command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock"));
    outcome.expect_refusal(3, &["Docker", "/nonexistent/docker.sock"]);
}

#[test]
fn wrong_usage() {
    let checkout = Checkout::with_workflow(GOOD);
    let refused = |arguments: &[&str], parts: &[&str]| {
        Outcome::of(&mut checkout.slipway(arguments)).expect_refusal(2, parts);
    };
    refused(&["run", "--no-such-flag"], &["--no-such-flag"]);
    refused(&["run", "no-such-file.yml"], &["no-such-file.yml"]);
    refused(&["run", ".github/workflows/ci.yml", "--job", "zzz"], &["zzz"]);
    refused(
        &["run", ".github/workflows/ci.yml", "--image", "without-equals"],
        &["--image", "without-equals"],
    );
    refused(&["run", ".github/workflows/ci.yml", "--input", "without-equals"], &["--input"]);
    refused(&["run", ".github/workflows/ci.yml", "--event-file", "no-such.json"], &["no-such.json"]);
    refused(&["run", ".github/workflows/ci.yml", "--event", "no_such_event"], &["no_such_event"]);
    refused(&["no-such-command"], &["no-such-command"]);
}

#[test]
fn event_file_that_is_no_object() {
    let checkout = Checkout::with_workflow(GOOD);
    checkout.write("event.json", "[1, 2");
    checkout.run_with(&["--event-file", "event.json"]).expect_refusal(2, &["event.json"]);
    checkout.write("event.json", "[1, 2]");
    checkout.run_with(&["--event-file", "event.json"]).expect_refusal(2, &["event.json", "object"]);
}

#[test]
fn configuration_with_an_unknown_field() {
    let checkout = Checkout::with_workflow(GOOD);
    checkout.write("slipway.toml", "no_such_field = 1\n");
    checkout.run_with(&["--config", "slipway.toml"]).expect_refusal(2, &["slipway.toml", "no_such_field"]);
}

#[test]
fn port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let checkout = Checkout::new();
    let arguments = ["up", "--data-dir", "data", "--http", &address, "--grpc", "127.0.0.1:0"];
    let outcome = Outcome::of(&mut checkout.slipway(&arguments));
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains(&address), "it names the address: {outcome:#?}");
    assert!(outcome.stderr.lines().count() <= 12, "one clear message: {outcome:#?}");
}

#[test]
fn no_server_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let checkout = Checkout::with_workflow(GOOD);
    let outcome = Outcome::of(&mut checkout.slipway(&["runs", "--server", &url, "--token", "x"]));
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains(&nobody.to_string()), "{outcome:#?}");
}

#[test]
fn wrong_token() {
    let coordinator = Coordinator::start();
    assert_eq!(get(&coordinator.url("/api/v1/runs"), "not-the-token").status, 401);
    assert_eq!(get(&coordinator.url("/api/v1/runs"), "").status, 401);
    let checkout = Checkout::with_workflow(GOOD);
    let url = coordinator.url("");
    let outcome = Outcome::of(&mut checkout.slipway(&["runs", "--server", &url, "--token", "not-the-token"]));
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains("token"), "{outcome:#?}");
}

/// Somebody started an older version on the data of a newer one: it must not touch them, nor look broken.
#[test]
fn data_directory_of_a_newer_version() {
    let mut coordinator = Coordinator::start();
    assert_eq!(coordinator.stop(), Some(0));
    let journal = coordinator.data_dir().join("journal.db");
    let set_format = |format: u32| {
        let file = rusqlite::Connection::open(&journal).unwrap();
        file.pragma_update(None, "user_version", format).unwrap();
    };
    let format = || -> u32 {
        let file = rusqlite::Connection::open(&journal).unwrap();
        file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    let written = format();
    set_format(4_711);

    let folder = coordinator.data_dir().display().to_string();
    let arguments =
        ["up", "--data-dir", &folder, "--agents", "0", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let outcome = Outcome::of(&mut Checkout::new().slipway(&arguments));
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert_eq!(outcome.stdout, "", "it never was ready: {outcome:#?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one clear line: {outcome:#?}");
    let readable = format!("this build reads ≤ {written}");
    for part in ["newer version", "format 4711", readable.as_str()] {
        assert!(lines[0].contains(part), "it says `{part}`: {outcome:#?}");
    }
    assert_eq!(format(), 4_711, "nothing was changed");
}
