//! Called workflows are gathered when a run is submitted: from the request, from the commit, from other repositories.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::options::ActionsSource;
use slipway_coordinator::submit::{Bundle, CALLED_MAX, NewRun, gather};

use crate::fixture::Fixture;

const LEAF: &str = "on: workflow_call\njobs: { a: { runs-on: x, steps: [{ run: 'true' }] } }\n";

fn caller(uses: &[&str]) -> String {
    let jobs: Vec<String> =
        uses.iter().enumerate().map(|(at, uses)| format!("  j{at}:\n    uses: {uses}\n")).collect();
    format!("on: [push, workflow_call]\njobs:\n{}", jobs.concat())
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn bundle(fixture: &Fixture, text: &str, called: &[(&str, &str)]) -> Result<Bundle, String> {
    let new = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: text.to_owned(),
        called: called.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        ..NewRun::default()
    };
    let gathered = gather(fixture.handle().services(), &new).await.map(|gathered| gathered.bundle);
    gathered.map_err(|error| match error {
        slipway_coordinator::submit::SubmitError::Workflow { diagnostics, .. } => diagnostics[0].to_string(),
        other => panic!("{other}"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_called_near_and_far_is_gathered_and_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("o/shared");
    write(&repository, ".github/workflows/far.yml", &caller(&["./.github/workflows/leaf.yml"]));
    write(&repository, ".github/workflows/leaf.yml", LEAF);
    git(&repository, &["init", "--quiet", "--initial-branch=main"]);
    git(&repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "--message=One"]);
    git(&repository, &["tag", "v1"]);
    let commit = git(&repository, &["rev-parse", "HEAD"]);
    write(&repository, ".github/workflows/leaf.yml", "changed since\n");
    git(&repository, &["commit", "--quiet", "--all", "--message=Two"]);
    write(&folder.path().join("o/plain"), ".github/workflows/p.yml", LEAF);
    let fixture = Fixture::start_with(|options| {
        options.actions_source = ActionsSource::Folder(folder.path().to_owned())
    })
    .await;

    let text = caller(&[
        "./.github/workflows/near.yml",
        "o/shared/.github/workflows/far.yml@v1",
        "o/plain/.github/workflows/p.yml@any",
    ]);
    let found = bundle(
        &fixture,
        &text,
        &[(".github/workflows/near.yml", LEAF), (".github/workflows/unused.yml", "x")],
    );
    let found = found.await.unwrap();
    let names: Vec<&str> = found.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            ".github/workflows/ci.yml",
            ".github/workflows/near.yml",
            "o/plain/.github/workflows/p.yml@any",
            "o/shared/.github/workflows/far.yml@v1",
            "o/shared/.github/workflows/leaf.yml@v1",
        ]
    );
    assert_eq!(found.files["o/shared/.github/workflows/leaf.yml@v1"], LEAF);
    assert_eq!(found.commits.get("o/shared@v1"), Some(&commit));

    // As for actions, and as on GitHub: names are told apart without their case.
    assert!(bundle(&fixture, &caller(&["O/Plain/.github/workflows/p.yml@any"]), &[]).await.is_ok());

    for (uses, word) in [
        ("./.github/workflows/none.yml", "no such file"),
        ("o/shared/.github/workflows/none.yml@v1", "no such file"),
        ("o/shared/.github/workflows/far.yml@v9", "--actions-source"),
        ("o/none/.github/workflows/far.yml@v1", "has no folder `o/none`"),
    ] {
        let error = bundle(&fixture, &caller(&[uses]), &[]).await.unwrap_err();
        assert!(
            error.contains(word) && error.contains(uses) && error.contains("ci.yml:4:11"),
            "{uses}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_and_number_are_bounded() {
    let fixture = Fixture::start().await;
    let name = |number: usize| format!(".github/workflows/w{number}.yml");
    let next = |number: usize| caller(&[&format!("./{}", name(number))]);
    let chain: Vec<(String, String)> = (1..=10).map(|number| (name(number), next(number + 1))).collect();
    let borrowed: Vec<(&str, &str)> =
        chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let error = bundle(&fixture, &next(1), &borrowed).await.unwrap_err();
    assert!(error.contains("more than 10 deep") && error.contains("w9.yml"), "{error}");

    let itself = caller(&["./.github/workflows/ci.yml"]);
    let error = bundle(&fixture, &itself, &[]).await.unwrap_err();
    assert!(
        error.contains("call each other: .github/workflows/ci.yml -> .github/workflows/ci.yml"),
        "{error}"
    );

    let leaves: Vec<String> = (0..=CALLED_MAX).map(name).collect();
    let uses: Vec<String> = leaves.iter().map(|path| format!("./{path}")).collect();
    let text = caller(&uses.iter().map(String::as_str).collect::<Vec<_>>());
    let given: Vec<(&str, &str)> = leaves.iter().map(|path| (path.as_str(), LEAF)).collect();
    let error = bundle(&fixture, &text, &given).await.unwrap_err();
    assert!(error.contains(&format!("at most {CALLED_MAX}")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_cannot_be_had_is_told_at_its_line() {
    let fixture = Fixture::start().await;
    let submission = Fixture::submission(&caller(&["./.github/workflows/none.yml"]));
    let answer = fixture.call(Method::POST, "/api/v1/runs", Some(submission)).await;
    assert_eq!(answer.status(), 422);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["diagnostics"][0]["line"], json!(4), "{body}");
    assert_eq!(body["diagnostics"].as_array().unwrap().len(), 1);
}
