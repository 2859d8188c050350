//! Agents with certificates of the coordinator's own authority, as processes: nobody but the token says whom to trust.

use std::path::{Path, PathBuf};

use serde_json::Value;
use slipway_tests::{Checkout, RUNNER_IMAGE, wait_until};
use tempfile::TempDir;

use crate::tls::{Coordinator, Process};

const WORKFLOW: &str =
    "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo over TLS\n";

/// One job that goes on for longer than a certificate is good.
const LONG: &str = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: for i in $(seq 1 150); do echo line $i; sleep 0.1; done\n";

fn start(flags: &[&str]) -> Coordinator {
    Coordinator::start(
        [&["--tls-name", "localhost"], flags].concat().into_iter().map(str::to_owned).collect(),
    )
}

/// A new token, in a file beside the coordinator's data.
fn token(coordinator: &Coordinator) -> PathBuf {
    let made = coordinator.slipway(&Checkout::new(), &["agents", "token"]);
    assert_eq!(made.code, 0, "{made:#?}");
    let file = tempfile::Builder::new().prefix("token-").tempfile_in(coordinator.process.folder.path());
    let (_, path) = file.unwrap().keep().unwrap();
    std::fs::write(&path, made.stdout).unwrap();
    path
}

fn arguments(coordinator: &Coordinator, token_file: &Path) -> Vec<String> {
    let server = format!("https://localhost:{}", coordinator.grpc_port);
    let image = format!("ubuntu-latest={RUNNER_IMAGE}");
    let arguments = ["--server", &server, "--slots", "1", "--image", &image, "--token-file"];
    arguments.into_iter().map(str::to_owned).chain([token_file.display().to_string()]).collect()
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("slipway-tls-").tempdir().unwrap()
}

fn agent(coordinator: &Coordinator, token_file: &Path) -> Process {
    Process::start_in(new_folder(), "slipway-agent", &arguments(coordinator, token_file))
}

fn agents(coordinator: &Coordinator) -> Vec<Value> {
    let listed = coordinator.slipway(&Checkout::new(), &["agents", "--json"]);
    serde_json::from_str(&listed.stdout).unwrap_or_else(|_| panic!("{listed:#?}"))
}

fn connected(coordinator: &Coordinator) {
    wait_until("the agent is connected", || {
        agents(coordinator).iter().any(|agent| agent["connected"] == true).then_some(())
    });
}

/// What this agent says when it is refused.
fn refused(mut agent: Process, message: &str) {
    wait_until(message, || {
        assert_eq!(agent.child.try_wait().unwrap().filter(std::process::ExitStatus::success), None);
        agent.log().contains(message).then_some(())
    });
}

#[test]
fn a_token_is_enough_to_trust_the_coordinator_and_its_agent_dies_with_its_removal() {
    let coordinator = start(&[]);
    let token = token(&coordinator);
    let mut first = agent(&coordinator, &token);
    connected(&coordinator);
    let checkout = Checkout::with_workflow(WORKFLOW);
    let run = || coordinator.slipway(&checkout, &["run", ".github/workflows/ci.yml", "--json"]);
    let outcome = run();
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    // The certificate is kept, for this user alone.
    use std::os::unix::fs::PermissionsExt as _;
    let kept = first.folder.path().join("data/agent.credential");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&kept).unwrap().contains("certificate"));
    // Killed, it comes back with it; the token is used up for everybody else.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let folder = std::mem::replace(&mut first.folder, new_folder());
    let back = Process::start_in(folder, "slipway-agent", &arguments(&coordinator, &token));
    connected(&coordinator);
    assert_eq!(run().code, 0);
    refused(agent(&coordinator, &token), "slipway agents token");
    // Somebody has copied all that it has.
    let stolen = new_folder();
    std::fs::create_dir(stolen.path().join("data")).unwrap();
    for name in ["agent.id", "agent.credential"] {
        std::fs::copy(back.folder.path().join("data").join(name), stolen.path().join("data").join(name))
            .unwrap();
    }
    let name = agents(&coordinator)[0]["name"].as_str().unwrap().to_owned();
    let removed = coordinator.slipway(&checkout, &["agents", "remove", &name]);
    assert_eq!(removed.code, 0, "{removed:#?}");
    wait_until("the removed agent was refused", || back.log().contains("was removed").then_some(()));
    assert_eq!(agents(&coordinator), Vec::<Value>::new());
    refused(Process::start_in(stolen, "slipway-agent", &arguments(&coordinator, &token)), "was removed");
    assert_eq!(agents(&coordinator), Vec::<Value>::new());
}

#[test]
fn whoever_stands_in_between_and_tokens_that_were_changed_are_refused() {
    let (coordinator, other) = (start(&[]), start(&[]));
    let token = token(&coordinator);
    // Another coordinator answers, with a certificate for the same name by an authority of its own.
    refused(agent(&other, &token), "is not from the authority that the token for enrolment names");
    let text = std::fs::read_to_string(&token).unwrap();
    let (secret, fingerprint) = text.trim().split_once('.').unwrap();
    let changed = coordinator.process.folder.path().join("changed");
    std::fs::write(&changed, format!("{secret}.{}", "0".repeat(64))).unwrap();
    refused(agent(&coordinator, &changed), "is not from the authority that the token for enrolment names");
    std::fs::write(&changed, format!("{secret}.{}", &fingerprint[1..])).unwrap();
    refused(agent(&coordinator, &changed), "the token is not whole");
    // Without the fingerprint there is nobody to trust but the machine's own authorities.
    std::fs::write(&changed, secret).unwrap();
    refused(agent(&coordinator, &changed), "is not from a CA of this machine's store");
    let plain = arguments(&coordinator, &token)
        .iter()
        .map(|part| part.replace("https:", "http:"))
        .collect::<Vec<_>>();
    refused(Process::start_in(new_folder(), "slipway-agent", &plain), "use https://");
    // None of them used the token up.
    let _agent = agent(&coordinator, &token);
    connected(&coordinator);
}

#[test]
fn certificates_are_renewed_while_a_job_runs_and_after_they_ended() {
    let coordinator = start(&["--agent-certificates", "10"]);
    let token = token(&coordinator);
    let mut first = agent(&coordinator, &token);
    connected(&coordinator);
    let kept = |process: &Process| {
        let text = std::fs::read_to_string(process.folder.path().join("data/agent.credential")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["certificate"]["certificate"].clone()
    };
    let before = kept(&first);
    let checkout = Checkout::with_workflow(LONG);
    let outcome = coordinator.slipway(&checkout, &["run", ".github/workflows/ci.yml", "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let lines = outcome.log("a").iter().filter(|line| line.starts_with("line ")).count();
    assert_eq!(lines, 150);
    let after = wait_until("another certificate", || Some(kept(&first)).filter(|now| *now != before));
    // It was away for longer than its certificate was good.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let folder = std::mem::replace(&mut first.folder, new_folder());
    let path = folder.path().join("data/agent.credential");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["certificate"]["good_until_ms"] = Value::from(1);
    std::fs::write(&path, file.to_string()).unwrap();
    let back = Process::start_in(folder, "slipway-agent", &arguments(&coordinator, &token));
    wait_until("a certificate after all", || Some(kept(&back)).filter(|now| *now != after));
    let outcome =
        coordinator.slipway(&Checkout::with_workflow(WORKFLOW), &["run", ".github/workflows/ci.yml"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
}
