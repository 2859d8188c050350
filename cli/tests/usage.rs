//! Wrong usage: one message, exit code 2, nothing on standard output.
#![allow(clippy::unwrap_used)]

mod program;

use program::{Place, finish, refuses};

const COMMANDS: [&str; 10] =
    ["up", "run", "lint", "plan", "eval", "runs", "show", "logs", "cancel", "agents"];

#[test]
fn every_command_has_help_and_the_program_a_version() {
    let place = Place::new();
    let help = place.run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in COMMANDS {
        assert!(help.out.contains(&format!("  {command} ")), "{}", help.out);
        let own = place.run(&[command, "--help"]);
        assert_eq!(own.code, 0, "{own:?}");
        assert!(own.out.contains("Usage:") && own.out.contains("--config"), "{own:?}");
    }
    for order in ["drain", "resume"] {
        assert_eq!(place.run(&["agents", order, "--help"]).code, 0);
    }
    let version = place.run(&["--version"]);
    assert_eq!((version.code, version.out), (0, format!("slipway {}\n", env!("CARGO_PKG_VERSION"))));
}

/// What people's scripts rely on.
#[test]
fn every_command_of_the_contract_is_offered() {
    let place = Place::new();
    for command in [
        &["up"][..],
        &["run"],
        &["lint"],
        &["plan"],
        &["eval"],
        &["runs"],
        &["show"],
        &["logs"],
        &["cancel"],
        &["rerun"],
        &["dispatch"],
        &["approve"],
        &["agents"],
        &["agents", "drain"],
        &["agents", "resume"],
        &["agents", "remove"],
        &["agents", "token"],
        &["pools"],
        &["pools", "set"],
        &["secrets", "set"],
        &["secrets", "list"],
        &["secrets", "rm"],
        &["identity"],
        &["identity", "rotate"],
        &["audit"],
        &["backup"],
        &["restore"],
        &["cache", "stats"],
        &["cache", "prune"],
        &["admin", "rebuild"],
        &["doctor"],
        &["github", "setup"],
        &["github", "check"],
    ] {
        let done = place.run(&[command, &["--help"]].concat());
        assert!(done.code == 0 && done.out.contains("Usage: slipway"), "{command:?}: {done:?}");
    }
}

#[test]
fn wrong_flags_and_values_are_named() {
    let place = Place::new();
    place.write(".github/workflows/ci.yml", "on: push\njobs: {a: {runs-on: x, steps: [{run: 'true'}]}}\n");
    for (arguments, fragments) in [
        (&[][..], &["Usage:"][..]),
        (&["bogus"], &["bogus"]),
        (&["runs", "--bogus"], &["--bogus"]),
        (&["runs", "--limit", "0"], &["--limit"]),
        (&["up", "--http", "nowhere"], &["--http", "nowhere"]),
        (&["up", "--grpc", "a:b"], &["--grpc", "a:b"]),
        (&["up", "--agents", "1000"], &["--agents"]),
        (&["up", "--image", "no-equals"], &["--image", "LABEL=IMAGE"]),
        (&["run", "--secret", "NO_SUCH_VARIABLE_HERE"], &["--secret", "NO_SUCH_VARIABLE_HERE"]),
        (&["run", "--input", "x"], &["--input", "NAME=VALUE"]),
        (&["run", "--secret", "A B=x"], &["--secret", "letters, digits"]),
        (&["run", "--var", "1A=x"], &["--var", "letters, digits"]),
        (&["run", "--json", "--verbose"], &["--json", "--verbose"]),
        (&["run", "--priority", "200"], &["--priority", "-100 to 100"]),
        (&["run", "--priority", "5"], &["--priority", "--server"]),
        (&["run", "--failed"], &["--failed", "is kept", "run it without --failed first"]),
        (&["run", "ci", "--failed"], &["--failed", "ci.yml", "is kept"]),
        (&["run", "--failed", "--server", "127.0.0.1:1"], &["--failed", "slipway rerun RUN --failed"]),
        (
            &["runs", "--server", "build.example:1", "--token", "t"],
            &["--server", "clear text", "--allow-plaintext"],
        ),
        (&["run", "--input", "x=1"], &["workflow_dispatch"]),
        (&["run", "--dir", "/nonexistent"], &["--dir", "/nonexistent"]),
        (&["run", "--event", "release"], &["ci.yml", "release", "push"]),
        (&["run", "--event-file", "/nonexistent"], &["/nonexistent"]),
        (&["run", "--job", "b"], &["--job", "`b`", "a"]),
        (&["run", "missing"], &["`missing`", "ci.yml"]),
        (&["plan", "missing"], &["`missing`", "ci.yml"]),
        (&["eval"], &["EXPR"]),
        (&["eval", "1", "--batch", "x"], &["--batch"]),
        (&["eval", "1", "--context", "/nonexistent"], &["/nonexistent"]),
        (&["show"], &["<RUN>"]),
        (&["show", "x!"], &["`x!`", "latest"]),
        (&["show", "abcd", "--server", "ftp://h", "--token", "t"], &["--server", "https://ci.example.com"]),
        (
            &["runs", "--server", "http://127.0.0.1:1", "--token", "t", "--server-ca", "ca.pem"],
            &["--server-ca", "without TLS", "https://"],
        ),
        (
            &["runs", "--server", "https://127.0.0.1:1", "--server-ca", "no-such.pem"],
            &["--server-ca: no-such.pem", "can't be read"],
        ),
        (
            &["runs", "--server", "https://127.0.0.1:1", "--server-fingerprint", "abc"],
            &["--server-fingerprint", "`abc`", "64 hexadecimal digits"],
        ),
        (&["agents", "drain"], &["<AGENT>"]),
        (&["--config", "/nonexistent", "runs"], &["/nonexistent"]),
    ] {
        let done = place.run(arguments);
        refuses(&done, 2, fragments);
        assert_eq!(done.out, "", "{arguments:?}");
    }
}

#[test]
fn the_configuration_file_names_its_mistakes() {
    let place = Place::new();
    place.write("s.toml", "server = 'h:1'\nservre = 'x'\n");
    refuses(&place.run(&["--config", "s.toml", "runs"]), 2, &["s.toml", "line 2", "servre"]);
    place.write("s.toml", "agents = 'many'\n");
    refuses(&place.run(&["--config", "s.toml", "up"]), 2, &["s.toml", "line 1"]);
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let place = Place::new();
    place.write("s.toml", "server = '127.0.0.1:1'\ntoken = 't'\n");
    let from_file = place.run(&["--config", "s.toml", "runs"]);
    refuses(&from_file, 3, &["http://127.0.0.1:1 "]);
    let mut with_variable = place.command(&["--config", "s.toml", "runs"]);
    with_variable.env("SLIPWAY_SERVER", "127.0.0.1:2");
    refuses(&finish(with_variable), 3, &["http://127.0.0.1:2 "]);
    let mut with_flag = place.command(&["--config", "s.toml", "runs", "--server", "127.0.0.1:3"]);
    with_flag.env("SLIPWAY_SERVER", "127.0.0.1:2");
    refuses(&finish(with_flag), 3, &["http://127.0.0.1:3 "]);
}

#[test]
fn a_terminal_is_never_fed_control_characters_of_names() {
    let place = Place::new();
    let done = place.run(&["run", "evil\u{1b}[2J"]);
    refuses(&done, 2, &["evil\\u{1b}[2J"]);
    assert!(!done.err.contains('\u{1b}'), "{done:?}");
}

#[test]
fn several_workflows_are_listed_when_none_is_named() {
    let place = Place::new();
    let workflow = "on: push\njobs: {a: {runs-on: x, steps: [{run: 'true'}]}}\n";
    place.write(".github/workflows/one.yml", workflow).write(".github/workflows/two.yaml", workflow);
    refuses(&place.run(&["run"]), 2, &[".github/workflows/one.yml", ".github/workflows/two.yaml"]);
    place.write(".github/workflows/two.yaml", &workflow.replace("push", "release"));
    let only = place.run(&["plan", "--json"]);
    assert_eq!(only.code, 0, "the only one for push: {only:?}");
    let empty = Place::new();
    refuses(&empty.run(&["run"]), 2, &[".github/workflows"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    let mut command = place.command(&["--help"]);
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().code().is_some_and(|code| code == 0));
    let lines = "{\"expr\":\"1\"}\n".repeat(100_000);
    place.write("b.jsonl", &lines);
    let mut command = place.command(&["eval", "--batch", "b.jsonl"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
}
