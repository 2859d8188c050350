#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use slipway_workflow::syntax;

use super::LocalRun;
use super::again::{carried, check};
use super::definition::of_jobs;
use super::kept::{Flags, KEPT_FOR, Kept, KeptJob, KeptRuns};
use crate::checkout::Checkout;
use crate::client::types::CarriedJob;

const WORKFLOW: &str = "\
on: push
env: {A: a}
jobs:
  build:
    runs-on: x
    steps: [{run: make}]
  test:
    needs: build
    runs-on: x
    steps: [{run: make test}]
  ship:
    needs: [build, test]
    runs-on: x
    steps: [{run: make ship}]
";

fn checkout(root: &str) -> Checkout {
    Checkout { root: root.into(), git: None }
}

fn job(id: &str, definitions: &BTreeMap<String, String>) -> KeptJob {
    KeptJob {
        job: CarriedJob {
            id: id.to_owned(),
            result: "success".to_owned(),
            outputs: BTreeMap::from([("name".to_owned(), format!("of {id}"))]),
            call: id.contains('/').then(|| "digest".to_owned()),
        },
        definition: definitions.get(super::again::top(id)).cloned().unwrap_or_default(),
        since_ms: 5,
    }
}

fn kept(jobs: &[&str]) -> Kept {
    let definitions = of_jobs(WORKFLOW, &BTreeMap::new());
    Kept {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        run_number: 3,
        run_attempt: 1,
        begun_ms: 1_000,
        result: Some("failure".to_owned()),
        flags: Flags { event: "push".to_owned(), ..Flags::default() },
        carried: jobs.iter().map(|id| job(id, &definitions)).collect(),
        ..Kept::default()
    }
}

/// The ids of what is carried into this workflow.
fn into(text: &str, last: &Kept, wanted: &[&str]) -> Result<Vec<String>, String> {
    let workflow = syntax::parse("ci.yml", text).unwrap();
    let wanted: Vec<String> = wanted.iter().map(|id| (*id).to_owned()).collect();
    let found = carried(last, &workflow, &of_jobs(text, &BTreeMap::new()), &wanted);
    found
        .map(|jobs| jobs.into_iter().map(|kept| kept.job.id).collect())
        .map_err(|failure| failure.to_string())
}

const ALL: &[&str] = &["build", "test", "ship"];

#[test]
fn a_kept_run_comes_back_to_its_own_checkout_and_workflow_only() {
    let folder = tempfile::tempdir().unwrap();
    let runs = KeptRuns::in_folder(folder.path().join("runs"));
    let (here, there) = (checkout("/here"), checkout("/there"));
    assert_eq!(runs.find(&here, "ci.yml").unwrap(), None);
    let mut first = kept(&["build"]);
    runs.write(&here, &mut first).unwrap();
    let mut newer = Kept { workflow_file: "b.yml".into(), begun_ms: 2_000, ..kept(&[]) };
    runs.write(&here, &mut newer).unwrap();
    assert_eq!(runs.find(&here, &first.workflow_file).unwrap(), Some(first.clone()));
    assert_eq!(runs.newest(&here), Some(newer));
    assert_eq!((runs.find(&there, &first.workflow_file).unwrap(), runs.newest(&there)), (None, None));

    for entry in std::fs::read_dir(runs.folder()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let mode = std::fs::metadata(runs.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// The only file in the folder.
fn only(runs: &KeptRuns) -> std::path::PathBuf {
    let mut entries = std::fs::read_dir(runs.folder()).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    path
}

#[test]
fn what_cannot_be_read_is_told_and_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let runs = KeptRuns::in_folder(folder.path().to_owned());
    let here = checkout("/here");
    let mut run = kept(&["build"]);
    runs.write(&here, &mut run).unwrap();
    let path = only(&runs);
    let text = std::fs::read_to_string(&path).unwrap();
    for (text, part) in [
        ("{".to_owned(), "damaged"),
        (r#"{"version": 1}"#.to_owned(), "damaged"),
        (text.replacen("\"version\":1", "\"version\":2", 1), "another version"),
    ] {
        std::fs::write(&path, text).unwrap();
        let message = runs.find(&here, &run.workflow_file).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("without --failed"), "{message}");
        assert!(runs.all(&here).is_empty());
    }
    runs.write(&here, &mut run).unwrap();
    assert_eq!(runs.find(&here, &run.workflow_file).unwrap(), Some(run));
}

#[test]
fn files_are_bounded_in_size_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let runs = KeptRuns::in_folder(folder.path().to_owned());
    let mut long = kept(&["build"]);
    long.carried[0].job.outputs.insert("long".into(), "x".repeat(5 << 20));
    runs.write(&checkout("/long"), &mut long).unwrap();
    let back = runs.find(&checkout("/long"), &long.workflow_file).unwrap().unwrap();
    assert!(back.too_long && back.carried.is_empty() && back.run_number == 3);
    let message = check(back, 1_000).unwrap_err().to_string();
    assert!(message.contains("too long"), "{message}");

    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(only(&runs)).unwrap();
    file.set_modified(old).unwrap();
    std::fs::write(folder.path().join(".new-left"), "by a killed writer").unwrap();
    let left = std::fs::File::options().write(true).open(folder.path().join(".new-left")).unwrap();
    left.set_modified(old).unwrap();
    for number in 0..100 {
        runs.write(&checkout(&format!("/{number}")), &mut kept(&[])).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 100);
    assert!(runs.newest(&checkout("/long")).is_none(), "the oldest went");
    assert!(runs.newest(&checkout("/99")).is_some());
}

#[test]
fn what_cannot_be_repeated_says_what_to_do() {
    let refusal = |run: Kept, now_ms: u64| check(run, now_ms).unwrap_err().to_string();
    let succeeded = Kept { result: Some("success".into()), ..kept(ALL) };
    assert!(refusal(succeeded, 1_000).contains("leave --failed out"));
    let cut_off = Kept { result: None, ..kept(&[]) };
    assert!(refusal(cut_off, 1_000).contains("cut off"));
    // What an earlier attempt did is still done.
    assert!(check(Kept { result: None, run_attempt: 2, ..kept(&["build"]) }, 1_000).is_ok());
    let week_ms = u64::try_from(KEPT_FOR.as_millis()).unwrap();
    assert!(check(kept(&["build"]), 1_000 + week_ms).is_ok());
    assert!(refusal(kept(&["build"]), 1_001 + week_ms).contains("too old"));
    assert!(check(kept(&[]), 1_000).is_ok(), "all of it runs again");
}

#[test]
fn jobs_that_say_what_they_said_are_carried_over() {
    assert_eq!(into(WORKFLOW, &kept(&["build"]), ALL).unwrap(), ["build"]);
    // Elsewhere in the file, with a comment, and the failed job another one.
    let moved = WORKFLOW.replace("jobs:\n", "# more\njobs:\n\n").replace("make test", "make check");
    assert_eq!(into(&moved, &kept(&["build"]), ALL).unwrap(), ["build"]);
    // What changed runs again, and so does what needs it.
    for (from, to) in [("run: make}", "run: make all}"), ("A: a", "A: b")] {
        let changed = WORKFLOW.replace(from, to);
        assert_eq!(into(&changed, &kept(&["build", "test"]), ALL).unwrap(), Vec::<String>::new(), "{to}");
    }
    let new_need = WORKFLOW
        .replace("  build:\n", "  new: {runs-on: x, steps: [{run: new}]}\n  build:\n    needs: new\n");
    assert_eq!(into(&new_need, &kept(&["build"]), &["new", "build", "test"]).unwrap(), Vec::<String>::new());
    // Jobs that are gone, or were not asked for, are not the coordinator's.
    assert_eq!(into(WORKFLOW, &kept(&["gone", "build"]), ALL).unwrap(), ["build"]);
    let message = into(WORKFLOW, &kept(&["build"]), &["build"]).unwrap_err();
    assert!(message.contains("every job that is to run succeeded"), "{message}");
}

#[test]
fn jobs_of_a_call_are_carried_with_the_files_that_it_calls() {
    let text = "on: push\njobs:\n  all:\n    uses: ./.github/workflows/inner.yml\n  own:\n    runs-on: x\n    steps: [{run: a}]\n";
    let inner = "on: workflow_call\njobs:\n  a: {uses: ./.github/workflows/deep.yml}\n";
    let deep = "on: workflow_call\njobs:\n  b: {runs-on: x, steps: [{run: b}]}\n";
    let files = |inner: &str, deep: &str| {
        BTreeMap::from([
            (".github/workflows/inner.yml".to_owned(), inner.to_owned()),
            (".github/workflows/deep.yml".to_owned(), deep.to_owned()),
        ])
    };
    let before = of_jobs(text, &files(inner, deep));
    assert_eq!(before, of_jobs(&format!("# again\n{text}"), &files(inner, &format!("# again\n{deep}"))));
    for (inner, deep) in
        [(inner.replace("a:", "c:"), deep.to_owned()), (inner.to_owned(), deep.replace("run: b", "run: c"))]
    {
        let after = of_jobs(text, &files(&inner, &deep));
        assert_ne!(before["all"], after["all"]);
        assert_eq!(before["own"], after["own"]);
    }
    // A file that calls itself is refused elsewhere; it must not be followed for ever.
    assert_eq!(of_jobs(text, &files("jobs: {a: {uses: ./.github/workflows/inner.yml}}", deep)).len(), 2);

    let workflow = syntax::parse("ci.yml", text).unwrap();
    let last = Kept { carried: vec![job("all/a/b", &before)], ..kept(&[]) };
    let wanted = ["all".to_owned(), "own".to_owned()];
    assert_eq!(carried(&last, &workflow, &before, &wanted).unwrap(), last.carried);
    let after = of_jobs(text, &files(inner, "on: workflow_call"));
    assert_eq!(carried(&last, &workflow, &after, &wanted).unwrap(), []);
}

#[test]
fn what_was_not_asked_for_this_time_stays_kept() {
    let definitions = of_jobs(WORKFLOW, &BTreeMap::new());
    let mut run = LocalRun {
        runs: None,
        kept: Kept { begun_ms: 9, ..kept(&["build", "ship"]) },
        carried: vec![job("build", &definitions)],
        definitions: definitions.clone(),
        wanted: vec!["build".into(), "test".into()],
    };
    let answer: Vec<CarriedJob> = ["build", "test"].map(|id| job(id, &definitions).job).into();
    let merged = run.merge(answer);
    let told: Vec<(&str, u64)> = merged.iter().map(|kept| (kept.job.id.as_str(), kept.since_ms)).collect();
    assert_eq!(told, [("build", 5), ("test", 9), ("ship", 5)]);
    run.carried.clear();
    assert_eq!(run.merge(vec![job("build", &definitions).job])[0].since_ms, 9, "it ran again");
    assert!(!run.write(&Checkout { root: Path::new("/").into(), git: None }));
}
