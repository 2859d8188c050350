//! `lock`: versions become commits, and stay so.
#![allow(clippy::unwrap_used)]

mod program;

use std::path::Path;
use std::process::Command;

use program::{Done, Place};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
        .args(arguments);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A source of actions with one commit in each of these repositories, tagged `v1`; gives the commits.
fn source(place: &Place, names: &[&str]) -> Vec<String> {
    let make = |name: &&str| {
        let folder = place.path().join("source").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet", "--initial-branch=main"]);
        git(&folder, &["commit", "--quiet", "--allow-empty", "--message", name]);
        git(&folder, &["tag", "--annotate", "--message", "x", "v1"]);
        git(&folder, &["rev-parse", "HEAD"])
    };
    names.iter().map(make).collect()
}

fn lock(place: &Place, more: &[&str]) -> Done {
    let source = format!("file://{}", place.path().join("source").display());
    place.run(&[&["lock", "--actions-source", &source], more].concat())
}

#[test]
fn versions_are_locked_checked_and_kept_up_to_date() {
    let place = Place::new();
    let commits = source(&place, &["octo/one", "octo/two", "octo/flows"]);
    place.write(
        ".github/workflows/ci.yml",
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: Octo/One/sub@v1\n      - uses: ./.github/actions/mine\n  b:\n    uses: octo/flows/.github/workflows/f.yml@v1\n",
    );
    place.write(
        ".github/actions/mine/action.yml",
        "runs:\n  using: composite\n  steps:\n    - uses: octo/two@main\n    - uses: docker://alpine\n",
    );
    let incomplete = lock(&place, &["--check"]);
    assert_eq!(incomplete.code, 1, "{incomplete:?}");
    assert!(!place.path().join(".github/slipway-actions.lock").exists());

    let done = lock(&place, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    let read = || std::fs::read_to_string(place.path().join(".github/slipway-actions.lock")).unwrap();
    for line in [
        format!("Octo/One@v1 {}", commits[0]),
        format!("octo/two@main {}", commits[1]),
        format!("octo/flows@v1 {}", commits[2]),
    ] {
        assert!(read().lines().any(|found| found == line), "{line}: {}", read());
    }
    assert_eq!(lock(&place, &["--check"]).code, 0);

    let two = place.path().join("source/octo/two");
    git(&two, &["commit", "--quiet", "--allow-empty", "--message", "next"]);
    let next = git(&two, &["rev-parse", "HEAD"]);
    place.write(".github/slipway-actions.lock", &format!("# ours\n{}gone/gone@v1 {next}\n", read()));
    let stale = lock(&place, &["--check"]);
    assert_eq!(stale.code, 1, "{stale:?}");
    assert!(stale.out.contains(&next) && stale.out.contains("gone/gone@v1"), "{stale:?}");
    assert_eq!(lock(&place, &[]).code, 0);
    assert!(
        read().starts_with("# ours\n") && read().contains(&next) && !read().contains("gone"),
        "{}",
        read()
    );
}

#[test]
fn what_cannot_be_locked_is_told() {
    let place = Place::new();
    source(&place, &["octo/one"]);
    place.write("ci.yml", "on: push\njobs: {a: {runs-on: x, steps: [{uses: octo/one@v9}]}}\n");
    let missing = lock(&place, &["ci.yml"]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.err.contains("octo/one@v9") && missing.err.contains("ci.yml"), "{missing:?}");
    place.write(".github/slipway-actions.lock", "octo/one@v1 main\n");
    let wrong = lock(&place, &["ci.yml"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("slipway-actions.lock:1:"), "{wrong:?}");
}
