//! GitHub's own cache and artifact clients, unmodified, under Node against the coordinator's HTTP.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use slipway_proto::v1;
use tokio::process::Command;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::{Fixture, ONE_JOB};

/// What each client moves, in MiB.
const MEBIBYTES: u32 = 200;

/// A folder with packages, made by `scripts/prepare-clients.sh`.
fn packages(variable: &str) -> PathBuf {
    std::env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{variable} is not set: run the tests with nextest, or scripts/prepare-clients.sh first")
    })
}

/// The token of a job that an agent holds.
pub(crate) async fn job(fixture: &Fixture) -> (FakeAgent, v1::Lease, String) {
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let token = token(&mut agent, &lease).await;
    agent.keep(&lease);
    (agent, lease, token)
}

pub(crate) async fn token(agent: &mut FakeAgent, lease: &v1::Lease) -> String {
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    agent.client.fetch_secrets(request).await.unwrap().into_inner().runtime_token
}

/// Runs one of the scripts in `tests/clients` as a step's action would be run.
async fn run(fixture: &Fixture, variable: &str, script: &str, token: &str, new_cache: bool) -> Value {
    run_with(fixture, variable, script, &MEBIBYTES.to_string(), token, new_cache).await
}

/// The same with another second argument than [`MEBIBYTES`]. The first one is the workspace, `work` in the fixture's folder.
pub(crate) async fn run_with(
    fixture: &Fixture,
    variable: &str,
    script: &str,
    argument: &str,
    token: &str,
    new_cache: bool,
) -> Value {
    let packages = packages(variable);
    // Node looks for packages beside the script.
    let here = tempfile::tempdir_in(&packages).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    std::fs::copy(source, here.path().join(script)).unwrap();
    let work = fixture.folder.path().join("work");
    let temp = fixture.folder.path().join("temp");
    for folder in [&work, &temp] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let url = fixture.url("/");
    let mut command = Command::new("node");
    command
        .current_dir(here.path())
        .arg(script)
        .arg(&work)
        .arg(argument)
        .env("GITHUB_SERVER_URL", "https://github.com")
        .env("GITHUB_REF", "refs/heads/main")
        .env("GITHUB_WORKSPACE", &work)
        .env("GITHUB_RETENTION_DAYS", "90")
        .env("RUNNER_TEMP", &temp)
        .env("ACTIONS_RUNTIME_URL", &url)
        .env("ACTIONS_RUNTIME_TOKEN", token)
        .env("ACTIONS_RESULTS_URL", &url)
        .env("ACTIONS_CACHE_URL", &url)
        .env_remove("ACTIONS_CACHE_SERVICE_V2")
        .stdin(Stdio::null());
    if new_cache {
        command.env("ACTIONS_CACHE_SERVICE_V2", "true");
    }
    let output = command.output().await.expect("node is needed: run scripts/install-deps.sh --for-tests");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed:\n{text}\n{errors}");
    let answer = text.lines().find_map(|line| line.strip_prefix("::answer::"));
    serde_json::from_str(answer.unwrap_or_else(|| panic!("{script} has no answer:\n{text}\n{errors}")))
        .unwrap()
}

fn cached() -> Value {
    json!({
        "available": true, "saved": true, "savedAgain": -1,
        "hit": "deps-linux-1", "hitSame": true, "prefix": "deps-linux-1", "prefixSame": true,
        "miss": null, "otherPaths": null, "found": "deps-linux-1",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_client_saves_and_restores() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let answer = run(&fixture, "SLIPWAY_ACTIONS_CLIENTS", "cache.mjs", &token, true).await;
    assert_eq!(answer, cached());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_cache_clients_save_and_restore() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let answer = run(&fixture, "SLIPWAY_ACTIONS_CLIENTS_OLD", "cache.mjs", &token, false).await;
    assert_eq!(answer, cached());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_client_that_is_told_to_speaks_the_old_protocol() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let answer = run(&fixture, "SLIPWAY_ACTIONS_CLIENTS", "cache.mjs", &token, false).await;
    assert_eq!(answer, cached());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_artifact_client_uploads_lists_downloads_and_deletes() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let answer = run(&fixture, "SLIPWAY_ACTIONS_CLIENTS", "artifacts.mjs", &token, true).await;
    let digest = answer["digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    assert!(answer["again"].as_str().unwrap().contains("already exists"), "{answer}");
    assert!(answer["missing"].as_str().unwrap().contains("not found"), "{answer}");
    let listed = &answer["listed"];
    assert_eq!(
        (&listed[0]["name"], &listed[0]["size"], &listed[0]["digest"]),
        (&json!("dist"), &answer["uploadSize"], &json!(format!("sha256:{digest}")))
    );
    assert_eq!((&listed[1]["name"], &listed[1]["size"]), (&json!("report.html"), &json!(14)));
    assert_eq!(answer["plain"], "<p>größe</p>");
    assert_eq!(answer["left"], json!(["report.html"]));
    for (name, expected) in
        [("sameId", true), ("digestMismatch", false), ("same", true), ("deleted", true), ("newId", true)]
    {
        assert_eq!(answer[name], expected, "{name}: {answer}");
    }
}
