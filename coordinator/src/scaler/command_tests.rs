#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::super::call::Verb;
use super::*;

/// Longer than any of these programs takes that ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);

fn sh(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).into()
}

fn call() -> Call {
    Call {
        action: Verb::Up,
        pool: "gpu".into(),
        arch: "X64".into(),
        labels: vec!["cuda".into(), "gpu".into()],
        agent: "gpu-7".into(),
        count: 3,
    }
}

#[tokio::test]
async fn a_program_sees_its_words_and_nothing_of_the_coordinators_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("said");
    let program = [
        "/bin/sh",
        "-c",
        "printf '%s\\n' \"$1\" \"$2\" > \"$0\"; env | sort >> \"$0\"",
        file.to_str().unwrap(),
        "$HOME `id`",
        "",
    ];
    run(&program.map(str::to_owned), &variables(&call()), PATIENCE).await.unwrap();
    let said = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
    let expected = [
        "$HOME `id`",
        "",
        "LANG=C.UTF-8",
        &format!("PATH={PATH}"),
        "SLIPWAY_ACTION=up",
        "SLIPWAY_AGENT=gpu-7",
        "SLIPWAY_ARCH=X64",
        "SLIPWAY_COUNT=3",
        "SLIPWAY_LABELS=cuda,gpu",
        "SLIPWAY_POOL=gpu",
    ];
    assert_eq!(lines, expected);
    let plain = Call { labels: Vec::new(), ..call() };
    assert!(variables(&plain).iter().all(|(name, _)| *name != "SLIPWAY_LABELS"));
}

#[tokio::test]
async fn a_failure_says_how_it_ended_and_the_last_line() {
    let failed = run(&sh("echo out; echo first >&2; echo 'no quota' >&2; exit 7"), &[], PATIENCE).await;
    let error = failed.unwrap_err();
    assert!(error.contains("exit status: 7") && error.ends_with(": no quota"), "{error}");
    let error = run(&sh("echo only this; exit 1"), &[], PATIENCE).await.unwrap_err();
    assert!(error.ends_with(": only this"), "{error}");
    let error = run(&["/no/such/program".to_owned()], &[], PATIENCE).await.unwrap_err();
    assert!(error.contains("/no/such/program cannot be started"), "{error}");
    let error = run(&sh("kill -9 $$"), &[], PATIENCE).await.unwrap_err();
    assert!(error.contains("signal: 9"), "{error}");
    let long = run(&sh("head -c 100000 /dev/zero | tr '\\0' x; exit 1"), &[], PATIENCE).await.unwrap_err();
    assert!(long.chars().count() < WHY_MAX_CHARS, "{}", long.len());
}

fn runs(pid: &str) -> bool {
    // A zombie that nobody waited for runs no more.
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

async fn written(path: &Path) -> String {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') {
            return text.trim().to_owned();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let error = run(&sh(&script), &[], Duration::from_secs(1)).await.unwrap_err();
    assert!(error.contains("took longer than 1 s and was killed"), "{error}");
    let pid = written(&file).await;
    while runs(&pid) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_nobody_waits_for_any_more_is_killed_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("echo $$ > {}; sleep 1000", file.display());
    let running = tokio::spawn(async move { run(&sh(&script), &[], PATIENCE).await });
    let pid = written(&file).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    while runs(&pid) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_program_left_running_goes_on_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    // It keeps the program's output open.
    let script = format!("sleep 1000 & echo $! > {}", file.display());
    run(&sh(&script), &[], PATIENCE).await.unwrap();
    let pid = written(&file).await;
    assert!(runs(&pid));
    std::process::Command::new("kill").arg(&pid).status().unwrap();
}
