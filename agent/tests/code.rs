//! `actions/checkout` from a working tree and from git.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::path::Path;
use std::process::Command;

use fleet::coordinator::FakeCoordinator;
use fleet::{Place, checkout, job, run};
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::{Failure, Success};
use slipway_tests::{GitServer, Verdict};
use slipway_workflow::job_spec::{JobSpec, Source};

async fn run_job(coordinator: &FakeCoordinator, spec: &JobSpec) -> fleet::coordinator::Job {
    let place = Place::new(coordinator);
    let handle = place.start().await;
    let instance = coordinator.assign(spec).await;
    let job = coordinator.report(&instance).await;
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.jobs(), 0);
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_is_unpacked_for_the_containers_user() {
    let coordinator = FakeCoordinator::start().await;
    let mut tree = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(19);
    tree.append_data(&mut header, "bin/hello", &b"#!/bin/sh\necho tree\n"[..19]).unwrap();
    let archive = zstd::encode_all(tree.into_inner().unwrap().as_slice(), 1).unwrap();
    let digest = coordinator.blob(archive);
    let mut spec = job(vec![
        run("dirt", "touch dirt; ln -s /etc out"),
        checkout(&[]),
        run("use", "bin/hello; touch mine; ls -d dirt 2>/dev/null || true; stat -c %u bin/hello"),
    ]);
    spec.source = Source::Tree { digest: digest.sha256, size_bytes: digest.size_bytes };
    let job = run_job(&coordinator, &spec).await;
    assert_eq!(job.result(), Success, "{:?}", job.lines());
    assert!(job.lines().iter().any(|line| line == "1001"), "{:?}", job.lines());
    assert!(!job.lines().iter().any(|line| line == "dirt"));
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_fetched_and_what_cannot_be_is_told() {
    let coordinator = FakeCoordinator::start().await;
    let server = tempfile::tempdir().unwrap();
    let origin = server.path().join("octo/hello");
    std::fs::create_dir_all(&origin).unwrap();
    git(&origin, &["init", "--quiet", "-b", "main"]);
    for number in 1..=3 {
        std::fs::write(origin.join("file"), format!("version {number}\n")).unwrap();
        for folder in ["one", "two"] {
            std::fs::create_dir_all(origin.join(folder)).unwrap();
            std::fs::write(origin.join(folder).join("inner"), folder).unwrap();
        }
        git(&origin, &["add", "."]);
        git(&origin, &["commit", "--quiet", "-m", &number.to_string()]);
    }
    git(&origin, &["tag", "v3"]);
    let second = git(&origin, &["rev-parse", "HEAD~1"]);
    let source = Source::Git {
        clone_url: format!("file://{}", origin.display()),
        repository: "octo/hello".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: second.clone(),
    };
    let mut spec = job(vec![
        checkout(&[]),
        run("second", "cat file; cat .git/HEAD; wc -l < .git/shallow"),
        checkout(&[("ref", "v3"), ("path", "sub"), ("fetch-depth", "0")]),
        run("third", "cat sub/file; ls sub/.git/shallow || echo whole"),
        checkout(&[("path", "part"), ("sparse-checkout", "one\n")]),
        run(
            "part",
            "echo part: $(ls part); mkdir part/mine; touch part/mine/x part/one/y; echo changed > part/file",
        ),
        checkout(&[("path", "part"), ("clean", "false"), ("ref", "v3")]),
        run("kept", "echo kept: $(ls part part/one part/mine); cat part/file"),
    ]);
    spec.source = source.clone();
    let done = run_job(&coordinator, &spec).await;
    assert_eq!(done.result(), Success, "{:?}", done.lines());
    for line in [
        "version 2",
        "ref: refs/heads/main",
        "1",
        "version 3",
        "whole",
        "part: file one",
        "kept: part: file mine one two part/mine: x part/one: inner y",
    ] {
        assert!(done.lines().iter().any(|found| found == line), "`{line}` is not in {:?}", done.lines());
    }

    let mut spec = job(vec![checkout(&[("ref", "no-such-branch")])]);
    spec.source = source;
    let done = run_job(&coordinator, &spec).await;
    assert_eq!(done.result(), Failure);
    assert!(done.lines().iter().any(|line| line.contains("no-such-branch")), "{:?}", done.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_who_it_is_gets_the_token() {
    // `x-access-token:s3cret`, as forges take tokens.
    const BASIC: &str = "basic eC1hY2Nlc3MtdG9rZW46czNjcmV0";
    let coordinator = FakeCoordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("octo/hello");
    std::fs::create_dir_all(&origin).unwrap();
    git(&origin, &["init", "--quiet", "-b", "main"]);
    std::fs::write(origin.join("file"), "private\n").unwrap();
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "--quiet", "-m", "one"]);
    let server = GitServer::start_with(folder.path(), |request| match request.authorization == BASIC {
        true => Verdict::Answer,
        false => Verdict::AskWho,
    });
    let source = Source::Git {
        clone_url: server.clone_url("octo/hello"),
        repository: "octo/hello".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: git(&origin, &["rev-parse", "HEAD"]),
    };
    let mut spec = job(vec![
        checkout(&[("token", "s3cret")]),
        run("kept", "cat file; echo kept $(grep -c 'extraheader = AUTHORIZATION: basic' .git/config)"),
        checkout(&[("token", "s3cret"), ("path", "two"), ("persist-credentials", "false")]),
        run("dropped", "echo dropped $(grep -c AUTHORIZATION two/.git/config)"),
    ]);
    spec.source = source.clone();
    let done = run_job(&coordinator, &spec).await;
    assert_eq!(done.result(), Success, "{:?}", done.lines());
    for line in ["private", "kept 1", "dropped 0"] {
        assert!(done.lines().iter().any(|found| found == line), "`{line}` is not in {:?}", done.lines());
    }
    assert!(!done.lines().iter().any(|line| line.contains("czNjcmV0")), "{:?}", done.lines());

    for wrong in [&[("token", "other")][..], &[]] {
        let mut spec = job(vec![checkout(wrong)]);
        spec.source = source.clone();
        let done = run_job(&coordinator, &spec).await;
        assert_eq!(done.result(), Failure, "{:?}", done.lines());
        assert!(done.lines().iter().any(|line| line.contains("`token`")), "{:?}", done.lines());
    }
}
