//! The lock file of a run's repository: read when it is submitted, kept for its reruns, and never half understood.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::options::ActionsSource;
use slipway_coordinator::submit::{NewRun, gather};
use slipway_workflow::action::lock::LOCK_FILE;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::{Fixture, ONE_JOB};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with these files in one commit.
fn repository(folder: &Path, files: &[(&str, &str)]) -> String {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    if !folder.join(".git").exists() {
        git(folder, &["init", "--quiet", "--initial-branch=main"]);
        git(folder, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    }
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "--message=x"]);
    git(folder, &["rev-parse", "HEAD"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_of_a_working_tree_and_of_a_commit_reach_the_job() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    // Whether there is anything to pin is told by the text alone.
    let workflow =
        "on: push\njobs: { build: { runs-on: ubuntu-latest, steps: [{ run: x }] } }\n# uses: O/R@V1\n";
    let pin = "a".repeat(40);
    let lock = format!("O/R@V1 {pin}\n");
    let mut from_tree = Fixture::submission(workflow);
    from_tree["called"] = json!({ LOCK_FILE: lock });
    let folder = tempfile::tempdir().unwrap();
    let commit = repository(folder.path(), &[(LOCK_FILE, &lock)]);
    let mut from_git = Fixture::submission(workflow);
    from_git["clone_url"] = json!(format!("file://{}", folder.path().display()));
    from_git["sha"] = json!(commit);
    for submission in [from_tree, from_git] {
        fixture.submit_value(submission).await;
        let assign = agent.next_assigned().await;
        let spec = agent.spec(&assign).await;
        assert_eq!(spec["action_pins"], json!({ "o/r@v1": pin }), "{spec:#}");
        agent.report(&assign.lease.unwrap(), slipway_proto::v1::Result::Success, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_file_that_is_not_understood_starts_no_run() {
    let fixture = Fixture::start().await;
    let mut submission = Fixture::submission(ONE_JOB);
    submission["called"] = json!({ LOCK_FILE: "# x\no/r@v1 main\n" });
    let answer = fixture.call(Method::POST, "/api/v1/runs", Some(submission)).await;
    assert_eq!(answer.status(), 422);
    let body: Value = answer.json().await.unwrap();
    let finding = &body["diagnostics"][0];
    assert_eq!((&finding["file"], &finding["line"]), (&json!(LOCK_FILE), &json!(2)), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reusable_workflows_are_pinned_too() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, path) = (folder.path().join("o/shared"), ".github/workflows/w.yml");
    let first = "on: workflow_call\njobs: { a: { runs-on: x, steps: [{ run: 'true' }] } }\n";
    let commit = repository(&shared, &[(path, first)]);
    repository(&shared, &[(path, "changed since\n")]);
    let fixture = Fixture::start_with(|options| {
        options.actions_source = ActionsSource::Folder(folder.path().to_owned());
    })
    .await;
    let new = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: format!("on: push\njobs:\n  j:\n    uses: o/shared/{path}@main\n"),
        action_pins: Some([("o/shared@main".to_owned(), commit.clone())].into()),
        ..NewRun::default()
    };
    let bundle = gather(fixture.handle().services(), &new).await.unwrap().bundle;
    assert_eq!(bundle.files[&format!("o/shared/{path}@main")], first);
    assert_eq!(bundle.commits["o/shared@main"], commit);
}
