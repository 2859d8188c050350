//! `slipway run` again on a private fleet: only what failed, and with the caches and artifacts of the runs before.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use slipway_tests::{Checkout, Outcome, copy_client_packages};

/// A job that makes something, one that needs it and the file `fixed`, and one behind that.
const WORKFLOW: &str = r#"
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    outputs:
      token: ${{ steps.make.outputs.token }}
      secret: ${{ steps.make.outputs.secret }}
    steps:
      - id: make
        run: |
          echo "token=$RANDOM$RANDOM" >> "$GITHUB_OUTPUT"
          echo "secret=$KEY" >> "$GITHUB_OUTPUT"
        env:
          KEY: ${{ secrets.KEY }}
  test:
    needs: make
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "attempt ${{ github.run_attempt }} of ${{ github.run_number }} with ${{ needs.make.outputs.token }}${{ vars.MARK }}"
          test -f fixed
  ship:
    needs: test
    runs-on: ubuntu-latest
    steps:
      - run: echo "ship ${{ needs.make.result }}${{ needs.test.result }}"
"#;

/// What the job `test` says of itself.
fn said(outcome: &Outcome) -> String {
    let log = outcome.log("test");
    log.into_iter().find(|line| line.starts_with("attempt ")).unwrap_or_else(|| panic!("{outcome:#?}"))
}

/// `slipway run ARGUMENTS…` as a person types it, without a workflow.
fn typed(checkout: &Checkout, arguments: &[&str]) -> Outcome {
    let mut command = checkout.slipway(&["run"]);
    Outcome::of(command.args(arguments))
}

/// The only file below a folder.
fn only_file(folder: &Path) -> std::path::PathBuf {
    let mut entries = std::fs::read_dir(folder).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none(), "one file: {}", folder.display());
    path
}

#[test]
fn after_an_edit_only_what_failed_runs_again() {
    let checkout = Checkout::with_workflow(WORKFLOW);
    typed(&checkout, &["--failed"]).expect_refusal(2, &["--failed: no run of", "without --failed first"]);
    let first = checkout.run_with(&["--var", "MARK=!", "--secret", "KEY=sesame-sesame"]);
    first.expect(1, "failure");
    let before = said(&first);
    let token = before.strip_prefix("attempt 1 of 1 with ").unwrap().to_owned();
    assert!(token.len() > 1 && token.ends_with('!'), "{token}");

    let kept = only_file(&checkout.state_home().join("slipway/runs"));
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(
        text.contains(token.trim_end_matches('!')) && !text.contains("sesame"),
        "no secret is kept: {text}"
    );

    typed(&checkout, &["--failed"]).expect_refusal(2, &["KEY", "give each again"]);
    let secret = ["--failed", "--secret", "KEY=sesame-sesame"];
    // The same again: nothing was fixed.
    let second = typed(&checkout, &[&secret[..], &["--json"]].concat());
    second.expect(1, "failure");
    assert_eq!(said(&second), format!("attempt 2 of 1 with {token}"));

    checkout.write("fixed", "");
    let third = typed(&checkout, &[&secret[..], &["--json"]].concat());
    third.expect(0, "success");
    assert_eq!(
        said(&third),
        format!("attempt 3 of 1 with {token}"),
        "with the output, and the variable, of then"
    );
    assert!(third.log("make").is_empty(), "it did not run again: {third:#?}");
    assert_eq!(third.job_result("make"), "success", "and is told all the same");
    assert!(third.log("ship").contains(&"ship success".to_owned()), "{third:#?}");

    typed(&checkout, &secret)
        .expect_refusal(2, &["succeeded, nothing is left to repeat", "leave --failed out"]);
    let next = checkout.run_with(&["--secret", "KEY=sesame-sesame", "--job", "test"]);
    next.expect(0, "success");
    assert!(said(&next).starts_with("attempt 1 of 2 with "), "{next:#?}");
}

#[test]
fn a_person_reads_what_to_type_and_what_was_carried_over() {
    let checkout = Checkout::with_workflow(WORKFLOW);
    let image = format!("ubuntu-latest={}", slipway_tests::RUNNER_IMAGE);
    let first = typed(&checkout, &["--image", &image]);
    assert_eq!(first.code, 1, "{first:#?}");
    assert!(
        first
            .stdout
            .ends_with("`slipway run --failed` repeats only what did not succeed, and what needs it\n")
    );
    checkout.write("fixed", "");
    let again = typed(&checkout, &["--failed"]);
    assert_eq!(again.code, 0, "{again:#?}");
    let rows: Vec<&str> =
        again.stdout.lines().filter(|line| line.contains("carried over from the run")).collect();
    assert_eq!(rows.len(), 2, "in the log and in the summary: {again:#?}");
    assert!(rows.iter().all(|row| row.contains("make")) && !again.stdout.contains("--failed"), "{again:#?}");
    let remote = typed(&checkout, &["--failed", "--server", "http://127.0.0.1:1", "--token", "t"]);
    remote.expect_refusal(2, &["--failed", "slipway rerun RUN --failed"]);
}

#[test]
fn a_job_that_says_something_else_now_runs_again() {
    let checkout = Checkout::with_workflow(WORKFLOW);
    let first = checkout.run();
    first.expect(1, "failure");
    checkout.write("fixed", "");
    let edited = WORKFLOW.replace("token=$RANDOM$RANDOM", "token=other");
    checkout.write(".github/workflows/ci.yml", &edited);
    let again = checkout.run_with(&["--failed", "--job", "test"]);
    again.expect(0, "success");
    assert_eq!(said(&again), "attempt 2 of 1 with other");
    assert!(again.stderr.contains("job `make` runs again: its definition changed"), "{again:#?}");
    assert!(again.job("ship").is_empty(), "only what --job names, and what that needs: {again:#?}");

    let nothing = checkout.run_with(&["--failed", "--job", "test"]);
    nothing.expect_refusal(2, &["nothing is left to repeat"]);
}

/// JavaScript actions in folders of the repository `clients/all`.
fn client_actions(source: &Path, actions: &[(&str, &str)]) {
    let repository = source.join("clients/all");
    for (name, main) in actions {
        let folder = repository.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let yml = "name: Client\ndescription: A client\nruns: {using: node24, main: main.mjs}\n";
        std::fs::write(folder.join("action.yml"), yml).unwrap();
        std::fs::write(folder.join("main.mjs"), main).unwrap();
    }
}

const UPLOAD: &str = "import * as fs from 'node:fs'
import {DefaultArtifactClient} from '@actions/artifact'
fs.writeFileSync('dist.txt', `made at ${process.hrtime.bigint()}`)
await new DefaultArtifactClient().uploadArtifact('dist', ['dist.txt'], '.')
console.log(fs.readFileSync('dist.txt', 'utf8'))
";

const DOWNLOAD: &str = "import * as fs from 'node:fs'
import {DefaultArtifactClient} from '@actions/artifact'
const client = new DefaultArtifactClient()
const found = await client.getArtifact('dist')
await client.downloadArtifact(found.artifact.id, {path: 'down'})
console.log(fs.readFileSync('down/dist.txt', 'utf8'))
if ((await client.listArtifacts()).artifacts.length !== 1) throw new Error('one artifact was expected')
";

const ARTIFACTS: &str = r#"
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: clients/all/upload@v1
  test:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: clients/all/download@v1
      - run: test -f fixed
"#;

fn made(outcome: &Outcome, job: &str) -> String {
    let line = outcome.log(job).into_iter().find(|line| line.starts_with("made at "));
    line.unwrap_or_else(|| panic!("{outcome:#?}"))
}

#[test]
fn artifacts_of_carried_jobs_are_there_and_those_of_other_runs_are_not() {
    let source = tempfile::tempdir().unwrap();
    client_actions(source.path(), &[("upload", UPLOAD), ("download", DOWNLOAD)]);
    copy_client_packages(&source.path().join("clients/all"));
    let from = format!("file://{}", source.path().display());
    let checkout = Checkout::with_workflow(ARTIFACTS);
    let mut latest = String::new();
    // The second run uploads the same name: it is another run, and the first one's is gone.
    for _ in 0..2 {
        let failed = checkout.run_with(&["--actions-source", &from]);
        failed.expect(1, "failure");
        let built = made(&failed, "build");
        assert_eq!(built, made(&failed, "test"));
        assert_ne!(built, latest);
        latest = built;
    }
    checkout.write("fixed", "");
    // Where actions come from is remembered, too.
    let again = checkout.run_with(&["--failed"]);
    again.expect(0, "success");
    assert!(again.log("build").is_empty(), "{again:#?}");
    assert_eq!(made(&again, "test"), latest);
    let data = only_file(&checkout.cache_home().join("slipway/results")).join("data");
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 1, "one artifact is left on the disk");
}

/// What GitHub's client does, in few lines: restores the entry, or saves the run's number as one.
const CACHE: &str = r#"const call = async (method, body) => {
  const headers = {authorization: `Bearer ${process.env.ACTIONS_RUNTIME_TOKEN}`, 'content-type': 'application/json'}
  const url = `${process.env.ACTIONS_RESULTS_URL}twirp/github.actions.results.api.v1.CacheService/${method}`
  return (await fetch(url, {method: 'POST', headers, body: JSON.stringify(body)})).json()
}
const entry = {key: 'key', version: 'v'}
const found = await call('GetCacheEntryDownloadURL', {...entry, restore_keys: []})
console.log(`hit: ${found.ok} ${found.ok ? await (await fetch(found.signed_download_url)).text() : ''}`)
if (!found.ok) {
  const body = process.env.GITHUB_RUN_NUMBER
  const {signed_upload_url} = await call('CreateCacheEntry', entry)
  await fetch(signed_upload_url, {method: 'PUT', body, headers: {'x-ms-blob-type': 'BlockBlob'}})
  const {ok} = await call('FinalizeCacheEntryUpload', {...entry, size_bytes: `${body.length}`})
  if (!ok) throw new Error('it was not saved')
}
"#;

#[test]
fn a_cache_is_there_for_the_next_run_of_the_same_checkout_alone() {
    let source = tempfile::tempdir().unwrap();
    client_actions(source.path(), &[("cache", CACHE)]);
    let from = format!("file://{}", source.path().display());
    let workflow = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: clients/all/cache@v1\n      - run: |\n          echo going\n          sleep 0\n";
    let (checkout, other) = (Checkout::with_workflow(workflow), Checkout::with_workflow(workflow));
    let hit = |outcome: &Outcome| {
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        outcome.log("a").into_iter().find(|line| line.starts_with("hit: ")).unwrap()
    };
    let run = |checkout: &Checkout, arguments: &[&str]| {
        let mut command = checkout.run_command(&["--actions-source", &from]);
        // One user, two checkouts.
        command.env("XDG_CACHE_HOME", source.path().join("home")).args(arguments);
        command
    };
    assert_eq!(hit(&Outcome::of(&mut run(&checkout, &[]))), "hit: false ");
    assert_eq!(hit(&Outcome::of(&mut run(&checkout, &[]))), "hit: true 1");
    assert_eq!(hit(&Outcome::of(&mut run(&other, &[]))), "hit: false ");

    // One that is killed in the middle is in nobody's way; while it lives, it has the store for itself.
    checkout.write(".github/workflows/ci.yml", &workflow.replace("sleep 0", "sleep 600"));
    let temporary = tempfile::tempdir().unwrap();
    let mut long = run(&checkout, &[]);
    long.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut long = long.spawn().unwrap();
    let lines = BufReader::new(long.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(r#""line":"going""#)));
    checkout.write(".github/workflows/ci.yml", workflow);
    let beside = Outcome::of(run(&checkout, &[]).env("TMPDIR", temporary.path()));
    assert_eq!(hit(&beside), "hit: false ");
    assert!(beside.stderr.contains("without the kept caches and artifacts"), "{beside:#?}");
    long.kill().unwrap();
    long.wait().unwrap();
    let after = Outcome::of(run(&checkout, &[]).env("TMPDIR", temporary.path()));
    assert_eq!(hit(&after), "hit: true 1");
    assert!(!after.stderr.contains("without the kept caches"), "{after:#?}");
}
