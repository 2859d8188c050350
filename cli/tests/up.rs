//! `slipway up` as a process, and the commands that talk to it. Without agents: no container engine is needed.
#![allow(clippy::unwrap_used)]

mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use program::up::Up;
use program::{Place, finish, refuses};
use serde_json::Value as Json;

const WORKFLOW: &str = "\
name: Waits
on: push
jobs:
  build: {runs-on: [self-hosted, gpu], steps: [{run: 'true'}]}
  never: {if: false, runs-on: x, steps: [{run: 'true'}]}
";

#[test]
fn one_ready_line_a_token_and_a_graceful_end() {
    let mut up = Up::start();
    let words: Vec<&str> = up.line.trim_end().split(' ').collect();
    assert_eq!(words.len(), 3, "{}", up.line);
    assert!(
        words[0] == "ready"
            && words[1].starts_with("http=127.0.0.1:")
            && words[2].starts_with("grpc=127.0.0.1:")
    );
    let token = std::fs::read_to_string(up.place.path().join("data/admin.token")).unwrap();
    assert!(!token.trim().is_empty());
    assert_eq!(up.json(&["agents", "--json"]), serde_json::json!([]));

    let second = up.run(&["up", "--agents", "0", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    refuses(&second, 3, &["data", "in use"]);
    let taken =
        up.run(&["up", "--agents", "0", "--http", &up.http, "--grpc", "127.0.0.1:0", "--data-dir", "other"]);
    refuses(&taken, 3, &["--http", &up.http, "in use"]);

    let pid = up.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    up.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "exactly one line");
}

#[test]
fn a_run_waits_says_why_and_is_cancelled() {
    let up = Up::start();
    up.place.write(".github/workflows/ci.yml", WORKFLOW);
    let mut client = up.command(&["run", "--json"]);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    let listing = up.until(&["runs", "--json"], |runs| runs.as_array().is_some_and(|runs| !runs.is_empty()));
    let run = listing[0]["run_id"].as_str().unwrap().to_owned();
    let shown = up.until(&["show", "latest", "--json"], |run| run["instances"][0]["waits_for"].is_string());
    assert!(shown["instances"][0]["waits_for"].as_str().unwrap().contains("no agent"), "{shown}");
    let people = up.run(&["show", &run[..13]]);
    assert!(people.code == 0 && people.out.contains("build waits: "), "{people:?}");
    let table = up.run(&["runs"]);
    assert!(table.out.contains("Waits") && table.out.contains(&run[..13]), "{table:?}");

    let cancelled = up.run(&["cancel", &run[..13]]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let done = client.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let lines: Vec<Json> = String::from_utf8(done.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["type"], &last["run"], &last["result"]),
        (&"run".into(), &run.clone().into(), &"cancelled".into())
    );
    let skipped = lines.iter().find(|line| line["type"] == "job" && line["job"] == "never").unwrap();
    assert_eq!(skipped["result"], "skipped");
    assert_eq!(up.json(&["show", &run, "--json"])["state"], "finished");
    assert_eq!(up.run(&["logs", &run]).code, 0);
    refuses(&up.run(&["logs", &run, "nothing"]), 2, &["`nothing`", "build"]);
}

const DEPLOY: &str = "\
name: Deploys
on: push
jobs:
  deploy: {environment: production, runs-on: [self-hosted, gpu], steps: [{run: 'true'}]}
";

#[test]
fn a_job_waits_until_its_environment_is_approved() {
    let place = Place::new();
    place.write("slipway.toml", "[[environment]]\nname = 'production'\nreviewers = ['Alice']\n");
    place.write(".github/workflows/ci.yml", DEPLOY);
    let up = Up::start_at(place);
    let mut client = up.command(&["run", "--json"]);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever follows the run is told.
    let mut lines = BufReader::new(client.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("deploy waits for approval of `production` by Alice")));
    let waits = |reason: &str| {
        up.until(&["show", "latest", "--json"], |run| run["instances"][0]["wait"]["reason"] == reason)
    };
    let run = waits("approval")["run_id"].as_str().unwrap().to_owned();
    let command =
        format!("deploy waits for approval of `production` by Alice: slipway approve {run} production");
    let people = up.run(&["show", "latest"]);
    assert!(people.out.contains(&command), "{people:?}");
    let table = up.run(&["runs"]);
    assert!(table.out.contains(&format!("{} waits for approval of production", &run[..13])), "{table:?}");

    refuses(&up.run(&["approve", "latest", "staging", "--actor", "alice"]), 2, &["`staging`", "production"]);
    refuses(&up.run(&["approve", "latest", "production", "--actor", "bob"]), 2, &["`bob` may not", "Alice"]);
    let unknown = "ffffffff-0000-7000-8000-000000000000";
    refuses(&up.run(&["approve", unknown, "production", "--actor", "alice"]), 2, &[unknown]);
    let mut nobody = up.command(&["approve", "latest", "production"]);
    nobody.env_remove("USER").env_remove("SLIPWAY_ACTOR");
    refuses(&finish(nobody), 2, &["--actor"]);
    let approved =
        up.json(&["approve", &run[..13], "PRODUCTION", "--actor", "alice", "--comment", "go", "--json"]);
    assert_eq!((&approved["decision"], &approved["run"]), (&"approved".into(), &run.clone().into()));
    waits("no_agents");
    let people = up.run(&["show", "latest"]);
    assert!(people.out.contains("alice approved production: go"), "{people:?}");
    let again = ["approve", "latest", "production", "--reject", "--actor", "alice"];
    refuses(&up.run(&again), 2, &["alice approved it"]);
    assert_eq!(up.run(&["cancel", "latest"]).code, 0);
    assert_eq!(client.wait().unwrap().code(), Some(1));
}

#[test]
fn rules_that_make_no_sense_are_told_before_anything_starts() {
    let place = Place::new();
    place.write("slipway.toml", "[[environment]]\nname = 'production'\nwait_minutes = 99999\n");
    let done =
        finish(place.command(&["up", "--agents", "0", "--config", "slipway.toml", "--data-dir", "data"]));
    refuses(&done, 2, &["[[environment]]", "`production`", "`wait_minutes` is 99999"]);
    assert!(!place.path().join("data").exists());
}

#[test]
fn badges_are_served_where_the_file_says_so() {
    for (file, status) in [("", "404"), ("badges = true\n", "200")] {
        let place = Place::new();
        place.write("slipway.toml", file);
        let up = Up::start_at(place);
        let mut stream = std::net::TcpStream::connect(&up.http).unwrap();
        let request =
            format!("GET /badge/o/n/ci.svg HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", up.http);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.contains("no status"), status == "200", "{answer}");
    }
}

#[test]
fn the_first_interrupt_cancels_the_run() {
    let up = Up::start();
    up.place.write(".github/workflows/ci.yml", WORKFLOW);
    let mut command = up.command(&["run"]);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    up.until(&["runs", "--json"], |runs| runs.as_array().is_some_and(|runs| !runs.is_empty()));
    let pid = client.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let done = client.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!(done.status.code(), Some(1), "{out}{err}");
    assert!(err.contains("cancelling the run") && out.contains("cancelled"), "{out}{err}");
    let ended = up.until(&["runs", "--json"], |runs| runs[0]["state"] == "finished");
    assert_eq!(ended[0]["result"], "cancelled");
}

#[test]
fn the_coordinator_refuses_what_is_wrong_in_one_line() {
    let up = Up::start();
    let unknown = "ffffffff-0000-7000-8000-000000000000";
    for command in ["show", "logs", "cancel"] {
        refuses(&up.run(&[command, unknown]), 2, &[unknown]);
    }
    refuses(&up.run(&["agents", "drain", "nobody"]), 2, &["nobody"]);
    refuses(&up.run(&["runs", "--token", "wrong"]), 2, &["the given token"]);
}
