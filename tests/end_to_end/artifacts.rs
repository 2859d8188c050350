//! Artifacts of a real run, as a person gets them with `slipway artifacts`.

use std::process::Command;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator};

const WORKFLOW: &str = r#"on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: mkdir out; echo built > out/program; echo notes > notes.txt
      - uses: actions/upload-artifact@v4
        with: { name: dist, path: out }
      - uses: actions/upload-artifact@v4
        with: { name: notes, path: notes.txt, retention-days: 1 }
"#;

fn done(mut command: Command) -> (i32, String, String) {
    let done = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[test]
fn they_are_listed_downloaded_pinned_and_removed() {
    let coordinator = Coordinator::start_with(&["--actions-source", "file:///nonexistent"]);
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(WORKFLOW);
    coordinator.run(&checkout).expect(0, "success");
    let artifacts =
        |arguments: &[&str]| done(coordinator.slipway(&checkout, &[&["artifacts"], arguments].concat()));

    let (code, listed, _) = artifacts(&["list", "latest"]);
    assert!(
        code == 0 && listed.contains("dist") && listed.contains("notes") && listed.contains("KEPT UNTIL"),
        "{listed}"
    );
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a/b");
    let (code, said, error) = artifacts(&["download", "latest", "--to", to.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}{error}");
    let mut unzip = Command::new("python3");
    unzip.args([
        "-c",
        "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).read('program').decode(), end='')",
    ]);
    unzip.arg(to.join("dist.zip"));
    assert_eq!(done(unzip).1, "built\n");
    assert!(to.join("notes.zip").exists());
    let (code, _, error) = artifacts(&["download", "latest", "dist", "--to", to.to_str().unwrap()]);
    assert!(code == 2 && error.contains("is there already"), "{error}");
    let (code, _, error) = artifacts(&["download", "latest", "nothing"]);
    assert!(code == 2 && error.contains("`nothing`") && error.contains("`dist`, `notes`"), "{error}");

    assert_eq!(artifacts(&["pin", "latest", "notes"]).0, 0);
    assert!(artifacts(&["list", "latest"]).1.contains("pinned"));
    assert_eq!(artifacts(&["unpin", "latest", "notes"]).0, 0);
    assert!(!artifacts(&["list", "latest"]).1.contains("pinned"));
    assert_eq!(artifacts(&["rm", "latest", "notes"]).0, 0);
    let (_, json, _) = artifacts(&["list", "latest", "--json"]);
    let left: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["name"]), (1, &"dist".into()), "{json}");
}

const OTHER: &str = r#"on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    permissions: { actions: read }
    steps:
      - uses: actions/download-artifact@v4
        with: { name: dist, path: got, run-id: RUN, repository: "${{ github.repository }}", github-token: "${{ github.token }}" }
      - run: cat got/program
      - uses: actions/download-artifact@v4
        with: { pattern: "n*", path: all, run-id: RUN }
      - run: cat all/notes.txt
      - uses: actions/download-artifact@v4
        continue-on-error: true
        with: { name: dist, run-id: 00000000-0000-4000-8000-000000000000 }
"#;

#[test]
fn a_workflow_gets_those_of_another_run_as_after_workflow_run() {
    let coordinator = Coordinator::start_with(&["--actions-source", "file:///nonexistent"]);
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(WORKFLOW);
    coordinator.run(&checkout).expect(0, "success");
    let run = coordinator.newest_run();
    checkout.write(".github/workflows/ci.yml", &OTHER.replace("RUN", &run));
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");
    let log = outcome.log("deploy");
    for line in ["built", "notes"] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
    assert!(log.iter().any(|line| line.contains("Artifact not found for name: dist")), "{log:#?}");
}
