//! Tokens of agents, pools, secrets and `doctor`, as a person types them, against a coordinator process.
#![allow(clippy::unwrap_used)]

mod program;

use std::io::Write as _;
use std::process::Stdio;

use program::up::Up;
use program::{Done, Place, refuses};
use serde_json::{Value as Json, json};

/// A command with something on its standard input.
fn with_input(up: &Up, arguments: &[&str], input: &str) -> Done {
    let mut command = up.command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    Done {
        code: done.status.code().unwrap(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

#[test]
fn a_token_is_printed_alone_listed_without_its_text_and_revoked() {
    let up = Up::start();
    let none = up.run(&["agents", "tokens"]);
    assert!(none.code == 0 && none.out.contains("slipway agents token"), "{none:?}");
    let made = up.run(&["agents", "token", "--label", "gpu,big", "--expires", "2h"]);
    assert_eq!(made.code, 0, "{made:?}");
    let text = made.out.trim_end();
    assert!(text.starts_with("slipenrol_") && !text.contains(char::is_whitespace), "{made:?}");
    let listed = up.json(&["agents", "tokens", "--json"]);
    assert_eq!(listed[0]["labels"], json!(["big", "gpu"]));
    let table = up.run(&["agents", "tokens"]);
    assert!(table.out.contains("big, gpu") && !table.out.contains("slipenrol_"), "{table:?}");
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(up.run(&["agents", "revoke", id]).code, 0);
    refuses(&up.run(&["agents", "revoke", id]), 2, &[id]);
    refuses(&up.run(&["agents", "revoke", "../runs"]), 2, &["../runs"]);
    for wrong in ["0h", "31d", "1w", "h", ""] {
        refuses(&up.run(&["agents", "token", "--expires", wrong]), 2, &["--expires", "30d"]);
    }
    refuses(&up.run(&["agents", "remove", "nobody"]), 2, &["nobody", "slipway agents"]);
}

#[test]
fn pools_are_set_shown_and_forgotten() {
    let up = Up::start();
    let none = up.run(&["pools"]);
    assert!(none.code == 0 && none.out.contains("no agent has connected"), "{none:?}");
    let set = up.run(&["pools", "set", "arm64", "--min", "1", "--max", "8"]);
    assert!(set.code == 0 && set.out.contains("1 to 8 agents, 0 there, 1 wanted now"), "{set:?}");
    let gpu = up.json(&[
        "pools", "set", "gpu", "--arch", "X64", "--label", "gpu", "--min", "0", "--max", "3", "--json",
    ]);
    assert_eq!((&gpu["labels"], &gpu["desired"]), (&json!(["gpu"]), &json!(0)));
    let names: Vec<Json> =
        up.json(&["pools", "--json"]).as_array().unwrap().iter().map(|pool| pool["name"].clone()).collect();
    assert_eq!(names, [json!("arm64"), json!("gpu")]);
    let table = up.run(&["pools"]);
    assert!(table.out.starts_with("POOL") && table.out.contains("WANTED"), "{table:?}");
    assert_eq!(up.run(&["pools", "rm", "gpu"]).code, 0);
    refuses(&up.run(&["pools", "rm", "gpu"]), 2, &["gpu"]);
    refuses(&up.run(&["pools", "set", "x64", "--min", "3", "--max", "1"]), 2, &["--min", "--max"]);
    refuses(&up.run(&["pools", "set", "new", "--min", "0", "--max", "1"]), 2, &["X64 or ARM64"]);
    refuses(&up.run(&["pools", "set", "x64", "--max", "1"]), 2, &["--min"]);
}

#[test]
fn keys_of_identity_tokens_are_shown_and_rotated() {
    let up = Up::start();
    let none = up.run(&["identity"]);
    assert!(none.code == 0 && none.out.contains("issuer: http://127.0.0.1:"), "{none:?}");
    assert!(none.out.contains("no keys yet"), "{none:?}");
    let first = up.run(&["identity", "rotate"]);
    assert!(first.code == 0 && first.out.contains("yes"), "{first:?}");
    let both = up.run(&["identity", "rotate"]);
    assert!(both.out.contains("yes") && both.out.contains("no more"), "{both:?}");
    let alone: Json =
        serde_json::from_str(&up.run(&["identity", "rotate", "--alone", "--json"]).out).unwrap();
    assert_eq!(alone["keys"].as_array().unwrap().len(), 1);
    assert_eq!(up.json(&["identity", "--json"]), alone);
}

#[test]
fn secrets_come_from_input_file_or_variable_and_never_go_out() {
    let up = Up::start();
    let set = with_input(&up, &["secrets", "set", "deploy_key"], "from standard input\n");
    assert!(set.code == 0 && set.out.contains("DEPLOY_KEY is set"), "{set:?}");
    up.place.write("key", "from a file");
    let place = ["--repository", "octo/app", "--environment", "prod uction"];
    let file = [&["secrets", "set", "deploy_key", "--value-file", "key"][..], &place].concat();
    assert_eq!(up.run(&file).code, 0);
    let mut variable = up.command(&["secrets", "set", "FROM_ENV", "--repo", "octo/app"]);
    variable.env("FROM_ENV", "from the environment");
    assert_eq!(program::finish(variable).code, 0);
    let listed = up.run(&["secrets", "list", "--json"]);
    let names: Vec<Json> = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(names.len(), 3, "{listed:?}");
    let table = up.run(&["secrets", "list"]);
    assert!(table.out.contains("prod uction") && table.out.contains("(all)"), "{table:?}");
    for text in [&listed.out, &table.out] {
        assert!(!text.contains("from "), "{text}");
    }
    assert_eq!(up.run(&[&["secrets", "rm", "deploy_key"][..], &place].concat()).code, 0);
    refuses(
        &up.run(&[&["secrets", "rm", "deploy_key"][..], &place].concat()),
        2,
        &["DEPLOY_KEY", "octo/app"],
    );
    refuses(&up.run(&["secrets", "set", "NOTHING"]), 2, &["NOTHING", "--value-file"]);
    refuses(&with_input(&up, &["secrets", "set", "GITHUB_X"], "v"), 2, &["GITHUB_X"]);
    // Before a value is asked for.
    refuses(&up.run(&["secrets", "set", "a/b"]), 2, &["`a/b` cannot be a secret's name"]);
    refuses(&with_input(&up, &["secrets", "set", "A"], &"v".repeat(49_153)), 2, &["49152"]);
    refuses(&up.run(&["secrets", "set", "A", "--environment", "e"]), 2, &["--repository"]);
}

#[test]
fn doctor_finds_a_coordinator_without_agents_and_an_engine_that_is_not_there() {
    let up = Up::start();
    let done = up.run(&["doctor", "--json", "--docker-host", "unix:///no/such/docker.sock"]);
    assert_eq!(done.code, 3, "{done:?}");
    let findings: Vec<Json> = serde_json::from_str(&done.out).unwrap();
    let status = |check: &str| {
        findings.iter().find(|finding| finding["check"] == check).map(|finding| finding["status"].clone())
    };
    assert_eq!(status("engine"), Some(json!("failed")));
    assert_eq!(status("coordinator"), Some(json!("ok")));
    assert_eq!(status("clock"), Some(json!("ok")));
    assert_eq!(status("agents"), Some(json!("warning")));
    assert_eq!(status("cache"), Some(json!("ok")));
    for check in ["disk", "memory", "network", "emulation", "git"] {
        assert!(status(check).is_some(), "{check}");
    }
    let people = up.run(&["doctor", "--docker-host", "unix:///no/such/docker.sock"]);
    assert!(people.out.starts_with("CHECK") && people.out.contains("systemctl start docker"), "{people:?}");
}

#[test]
fn doctor_says_what_is_wrong_with_the_coordinator_that_was_named() {
    let up = Up::start();
    let engine = ["--docker-host", "unix:///no/such/docker.sock"];
    let done = up.run(&[&["doctor", "--json", "--token", "wrong"][..], &engine].concat());
    assert!(done.code == 3 && done.out.contains("\"token\""), "{done:?}");
    let nobody = Place::new();
    let done =
        nobody.run(&[&["doctor", "--server", "http://127.0.0.1:1", "--token", "t"][..], &engine].concat());
    assert!(done.code == 3 && done.out.contains("127.0.0.1:1"), "{done:?}");
}
