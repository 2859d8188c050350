//! Caches and artifacts by the built-in actions: no Node, no network, in real containers.

use std::path::Path;
use std::process::Stdio;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, Outcome, wait_until};

fn workflow(jobs: &str) -> Checkout {
    Checkout::with_workflow(&format!("on: push\njobs:\n{jobs}"))
}

fn printed(outcome: &Outcome, job: &str, line: &str) {
    let log = outcome.log(job);
    assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
}

/// Where no action can come from.
const NOWHERE: [&str; 2] = ["--actions-source", "file:///nonexistent"];

const CACHED: &str = r#"
  save:
    runs-on: ubuntu-latest
    steps:
      - id: cache
        uses: actions/cache@v5
        with:
          path: |
            deps
            ~/.tool
          key: deps-1
          restore-keys: deps-
      - run: |
          echo "hit is '${{ steps.cache.outputs.cache-hit }}'"
          mkdir -p deps/bin ~/.tool
          head -c 30M /dev/urandom > deps/blob
          sha256sum deps/blob > ~/.tool/sum
          echo '#!/bin/sh' > deps/bin/x; chmod 750 deps/bin/x; ln -s bin/x deps/link
  fails:
    runs-on: ubuntu-latest
    continue-on-error: true
    steps:
      - uses: actions/cache@v5
        with: { path: half, key: half }
      - run: mkdir half; exit 1
  restore:
    needs: save
    runs-on: ubuntu-latest
    steps:
      - id: exact
        uses: actions/cache/restore@v5
        with: { path: "deps\n~/.tool", key: deps-1 }
      - run: |
          sha256sum --check ~/.tool/sum
          echo "mode $(stat -c %a deps/bin/x) link $(readlink deps/link)"
          echo "hit ${{ steps.exact.outputs.cache-hit }} ${{ steps.exact.outputs.cache-matched-key }}"
          rm -r deps ~/.tool
      - id: partly
        uses: actions/cache@v5
        with: { path: "deps\n~/.tool", key: deps-2, restore-keys: "nothing-\ndeps-", lookup-only: true }
      - run: |
          echo "partly ${{ steps.partly.outputs.cache-hit }}"; test ! -e deps
      - uses: actions/cache/restore@v5
        continue-on-error: true
        with: { path: deps, key: deps-1, fail-on-cache-miss: true }
      - uses: actions/cache/save@v5
        with: { path: "deps\n~/.tool", key: "a,b" }
"#;

#[test]
fn a_job_saves_after_its_steps_and_another_restores() {
    let outcome = workflow(CACHED).run_with(&NOWHERE);
    outcome.expect(0, "success");
    for line in ["Cache not found for input keys: deps-1, deps-", "hit is ''", "Cache saved with key: deps-1"]
    {
        printed(&outcome, "save", line);
    }
    printed(&outcome, "fails", "Cache not found for input keys: half");
    let failed = outcome.log("fails");
    assert!(!failed.iter().any(|line| line.starts_with("Cache saved")), "{failed:#?}");
    for line in [
        "Cache hit for: deps-1",
        "Cache restored successfully",
        "Cache restored from key: deps-1",
        "deps/blob: OK",
        "mode 750 link bin/x",
        "hit true deps-1",
        "Cache hit for restore-key: deps-1",
        "Lookup only - skipping download",
        "partly false",
        "##[error]Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: deps-1",
        "[warning]Key Validation Error: a,b cannot contain commas.",
        "##[warning]Cache save failed.",
        // After the steps: what is there is saved under the new key, but there is nothing.
        "[warning]Path Validation Error: Path(s) specified in the action for caching do(es) not exist, hence no cache is being saved.",
    ] {
        printed(&outcome, "restore", line);
    }
}

const ARTIFACTS: &str = r#"
  make:
    runs-on: ubuntu-latest
    strategy:
      matrix: { on: [linux, mac] }
    steps:
      - run: |
          mkdir -p out/bin out/.git; echo "for ${{ matrix.on }}" > out/bin/${{ matrix.on }}.txt
          echo hidden > out/.git/x; head -c 20M /dev/urandom > out/blob
          echo "${{ matrix.on }} sum $(sha256sum < out/blob)"
      - id: upload
        uses: actions/upload-artifact@v7
        with: { name: "out-${{ matrix.on }}", path: out, compression-level: 1 }
      - run: |
          echo "${{ matrix.on }} id ${{ steps.upload.outputs.artifact-id }} ${{ steps.upload.outputs.artifact-digest }}"
          echo "${{ matrix.on }} url ${{ steps.upload.outputs.artifact-url }}"
  more:
    runs-on: ubuntu-latest
    steps:
      - run: echo '<p>größe</p>' > report.html; echo first > n; mkdir empty
      - uses: actions/upload-artifact@v7
        with: { path: report.html, archive: false }
      - uses: actions/upload-artifact@v7
        with: { name: notes, path: n, retention-days: 1 }
      - run: echo second > n
      - id: taken
        uses: actions/upload-artifact@v7
        continue-on-error: true
        with: { name: notes, path: n }
      - run: echo "taken ${{ steps.taken.outcome }}"
      - uses: actions/upload-artifact@v7
        with: { name: notes, path: n, overwrite: true }
      - uses: actions/upload-artifact@v7
        with: { name: nothing, path: empty }
      - id: none
        uses: actions/upload-artifact@v7
        continue-on-error: true
        with: { name: nothing, path: empty, if-no-files-found: error }
      - id: bad
        uses: actions/upload-artifact@v7
        continue-on-error: true
        with: { name: 'a/b', path: n }
      - run: echo "none ${{ steps.none.outcome }} bad ${{ steps.bad.outcome }}"
  use:
    needs: [make, more]
    runs-on: ubuntu-latest
    steps:
      - id: one
        uses: actions/download-artifact@v8
        with: { name: out-linux, path: one }
      - run: |
          echo "in ${{ steps.one.outputs.download-path }}"
          echo "one: $(cat one/bin/linux.txt), $(sha256sum < one/blob), $(ls -A one | xargs)"
      - uses: actions/download-artifact@v8
        with: { pattern: 'out-{linux,mac}', path: each }
      - uses: actions/download-artifact@v8
        with: { pattern: 'out-*', path: ~/merged, merge-multiple: true }
      - uses: actions/download-artifact@v8
        with: { path: all }
      - uses: actions/download-artifact@v8
        with: { name: notes, path: raw, skip-decompress: true }
      - run: |
          echo "each: $(ls each | xargs); merged: $(ls ~/merged/bin | xargs)"
          echo "all: $(ls all | xargs); $(cat all/report.html/report.html); $(cat all/notes/n); raw: $(ls raw)"
      - id: missing
        uses: actions/download-artifact@v8
        continue-on-error: true
        with: { name: missing }
      - run: echo "missing ${{ steps.missing.outcome }}"
"#;

/// A line with this beginning; the rest of it.
fn rest<'a>(log: &'a [String], start: &str) -> &'a str {
    let found = log.iter().find_map(|line| line.strip_prefix(start));
    found.unwrap_or_else(|| panic!("a line `{start}…` is missing: {log:#?}"))
}

#[test]
fn artifacts_go_from_job_to_job() {
    let outcome = workflow(ARTIFACTS).run_with(&NOWHERE);
    outcome.expect(0, "success");
    let made = outcome.log("make");
    assert!(
        made.iter().any(|line| line == "With the provided path, there will be 2 files uploaded"),
        "{made:#?}"
    );
    let (id, digest) = rest(&made, "linux id ").split_once(' ').unwrap();
    assert_eq!(digest.len(), 64);
    assert!(rest(&made, "linux url ").ends_with(&format!("/artifacts/{id}")));
    for line in [
        "taken failure",
        "Artifact 'notes' (ID: ",
        "##[warning]No files were found with the provided path: empty. No artifacts will be uploaded.",
        "##[error]No files were found with the provided path: empty. No artifacts will be uploaded.",
        "##[error]The artifact name is not valid: a/b. Contains the following character:  Forward slash /",
        "none failure bad failure",
    ] {
        rest(&outcome.log("more"), line);
    }
    let used = outcome.log("use");
    assert!(rest(&used, "in ").ends_with("/one"));
    let sum = rest(&made, "linux sum ");
    assert_eq!(rest(&used, "one: "), format!("for linux, {sum}, bin blob"));
    for line in [
        "each: out-linux out-mac; merged: linux.txt mac.txt",
        "all: notes out-linux out-mac report.html; <p>größe</p>; second; raw: notes.zip",
        "##[error]Unable to download artifact(s): Artifact not found for name: missing",
        "missing failure",
    ] {
        rest(&used, line);
    }
}

/// A job in this image that keeps a folder by a composite action.
fn keeping(name: &str, image: &str, needs: &str) -> String {
    KEEPING.replace("NAME", name).replace("IMAGE", image).replace("NEEDS", needs)
}

const KEEPING: &str = r#"
  NAME:
    runs-on: ubuntu-latest
    needs: [NEEDS]
    container: IMAGE
    steps:
      - uses: actions/checkout@v5
      - id: keep
        uses: ./keep
        with: { key: busy }
      - run: |
          echo "hit '${{ steps.keep.outputs.hit }}'"
          mkdir -p kept; echo once more >> kept/x
          echo "times $(wc -l < kept/x)"
      - uses: actions/upload-artifact@v4
        with: { name: x-NAME, path: kept }
      - uses: actions/download-artifact@v4
        with: { name: x-NAME, path: back }
      - run: cmp kept/x back/x && echo same
"#;

const KEEP: &str = "
name: Keep
description: Keeps
inputs: { key: { description: its name } }
outputs: { hit: { description: whether it was there, value: '${{ steps.c.outputs.cache-hit }}' } }
runs:
  using: composite
  steps:
    - id: c
      uses: actions/cache@v4
      with: { path: kept, key: '${{ inputs.key }}' }
";

#[test]
fn composite_actions_and_the_smallest_image_have_them_too() {
    let image = slipway_tests::busybox_image(slipway_tests::native_architecture());
    let jobs = keeping("one", &image, "") + &keeping("two", &image, "one");
    let checkout = workflow(&jobs);
    checkout.write("keep/action.yml", KEEP);
    checkout.commit("Keep");
    let outcome = checkout.run_with(&NOWHERE);
    outcome.expect(0, "success");
    for (job, lines) in [
        ("one", ["hit ''", "times 1", "same", "Cache saved with key: busy"]),
        (
            "two",
            [
                "hit 'true'",
                "times 2",
                "same",
                "Cache hit occurred on the primary key busy, not saving cache.",
            ],
        ),
    ] {
        for line in lines {
            printed(&outcome, job, line);
        }
    }
}

/// Larger than what is on its way at one time, and nothing that compresses.
const LARGE: &str = r#"
  build:
    runs-on: ubuntu-latest
    steps:
      - run: |
          mkdir deps; for i in 1 2 3; do head -c 100M /dev/urandom > deps/$i; done
          sha256sum deps/* > sums; echo "they are made"
      - id: save
        uses: actions/cache/save@v5
        with: { path: deps, key: large }
      - run: rm -r deps
      - id: restore
        uses: actions/cache/restore@v5
        with: { path: deps, key: large }
      - run: |
          sha256sum --check sums
          echo "hit ${{ steps.restore.outputs.cache-hit }}"
      - uses: actions/cache@v5
        with: { path: sums, key: after }
"#;

/// How many files there are below a folder.
fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

#[test]
fn an_agent_killed_while_a_cache_is_saved_goes_on_there() {
    let coordinator = Coordinator::start();
    let mut agent = Agent::start(&coordinator, AgentOptions::named("only"));
    let checkout = workflow(LARGE);
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let blocks = coordinator.data_dir().join("objects/results/data");
    for least in [1, 15] {
        wait_until("blocks have come", || (count(&blocks) >= least).then_some(()));
        agent.kill9();
        let log = coordinator.logs(&run, "build");
        assert!(!log.iter().any(|line| line.starts_with("Cache saved")), "killed too late: {log:#?}");
        agent.start_again();
    }
    let shown = coordinator.finished(&run);
    client.wait().unwrap();
    let log = coordinator.logs(&run, "build");
    assert_eq!(shown["result"], "success", "{shown}: {log:#?}");
    assert_eq!(shown["instances"][0]["attempt"], 1, "no new attempt was needed: {:#}", shown["instances"]);
    for line in [
        "Cache saved with key: large",
        "Cache restored from key: large",
        "deps/3: OK",
        "hit true",
        "Cache saved with key: after",
    ] {
        assert_eq!(log.iter().filter(|logged| *logged == line).count(), 1, "`{line}` once: {log:#?}");
    }
}

#[test]
fn the_original_runs_where_it_is_asked_for() {
    let step = "      - uses: actions/download-artifact@v8\n        with: { github-token: t, run-id: 7 }\n";
    let steps = |step: &str| format!("  ask:\n    runs-on: ubuntu-latest\n    steps:\n{step}");
    let asked = "      - uses: actions/cache@v5\n        with: { path: a, key: b }\n        env: { SLIPWAY_ORIGINAL_ACTIONS: true }\n";
    for (step, action) in [(step, "actions/download-artifact"), (asked, "actions/cache")] {
        // There is none, so asking for it fails.
        let outcome = workflow(&steps(step)).run_with(&NOWHERE);
        assert_eq!(outcome.run_result(), "failure");
        let log = outcome.log("ask");
        assert!(log.iter().any(|line| line.contains(&format!("{action}@"))), "{log:#?}");
        assert!(
            !log.iter().any(|line| line.starts_with("Cache ") || line.contains("artifact(s)")),
            "{log:#?}"
        );
    }
}
