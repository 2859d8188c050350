//! Five workflows that differ, through `slipway run` on a private fleet.

use slipway_tests::{Checkout, Outcome, busybox_image, native_architecture};

fn pairs(found: &[(String, String)]) -> Vec<(&str, &str)> {
    found.iter().map(|(name, result)| (name.as_str(), result.as_str())).collect()
}

fn printed(outcome: &Outcome, job: &str, line: &str) {
    assert!(
        outcome.log(job).iter().any(|logged| logged == line),
        "`{line}` is missing: {:#?}",
        outcome.log(job)
    );
}

#[test]
fn matrix_with_include_and_exclude() {
    let outcome = Checkout::with_workflow(
        r#"
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        fruit: [apple, pear]
        animal: [cat, dog]
        exclude:
          - { fruit: pear, animal: cat }
        include:
          - { fruit: apple, color: green }
          - { fruit: banana }
    steps:
      - run: echo "fruit=${{ matrix.fruit }} animal=${{ matrix.animal }} color=${{ matrix.color }}"
"#,
    )
    .run();
    outcome.expect(0, "success");
    let expected = [
        ("build (apple, cat)", "success"),
        ("build (apple, dog)", "success"),
        ("build (banana)", "success"),
        ("build (pear, dog)", "success"),
    ];
    let found = outcome.job("build");
    let shown: Vec<_> =
        pairs(&found).into_iter().map(|(name, result)| (name.replace(", green", ""), result)).collect();
    assert_eq!(shown, expected.map(|(name, result)| (name.to_owned(), result)));
    printed(&outcome, "build", "fruit=apple animal=cat color=green");
    printed(&outcome, "build", "fruit=apple animal=dog color=green");
    printed(&outcome, "build", "fruit=pear animal=dog color=");
    printed(&outcome, "build", "fruit=banana animal= color=");
}

#[test]
fn outputs_flow_along_needs_and_make_a_matrix() {
    let outcome = Checkout::with_workflow(
        r#"
on: push
env: { LEVEL: workflow }
jobs:
  choose:
    runs-on: ubuntu-latest
    outputs:
      parts: ${{ steps.list.outputs.parts }}
    steps:
      - id: list
        run: echo 'parts=["one","two","three"]' >> "$GITHUB_OUTPUT"
  part:
    needs: choose
    runs-on: ubuntu-latest
    strategy:
      matrix:
        part: ${{ fromJSON(needs.choose.outputs.parts) }}
    outputs:
      last: ${{ steps.say.outputs.last }}
    env: { LEVEL: job }
    steps:
      - id: say
        run: |
          echo "part ${{ matrix.part }} at $LEVEL, ${{ strategy.job-index }} of ${{ strategy.job-total }}"
          echo "last=done" >> "$GITHUB_OUTPUT"
        env: { LEVEL: step }
  join:
    needs: [choose, part]
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "joined ${{ needs.part.result }} ${{ needs.part.outputs.last }} at $LEVEL"
          cat README.md
  never:
    needs: join
    if: needs.join.result != 'success'
    runs-on: ubuntu-latest
    steps:
      - run: exit 1
"#,
    )
    .run();
    outcome.expect(0, "success");
    let parts = outcome.job("part");
    assert_eq!(
        pairs(&parts),
        [("part (one)", "success"), ("part (three)", "success"), ("part (two)", "success")]
    );
    printed(&outcome, "part", "part one at step, 0 of 3");
    printed(&outcome, "part", "part three at step, 2 of 3");
    printed(&outcome, "join", "joined success done at workflow");
    printed(&outcome, "join", "A repository to test with.");
    assert_eq!(outcome.job_result("never"), "skipped");
}

#[test]
fn always_cleans_up_after_a_failing_step() {
    let outcome = Checkout::with_workflow(
        r#"
on: push
jobs:
  work:
    runs-on: ubuntu-latest
    steps:
      - id: tolerated
        continue-on-error: true
        run: exit 3
      - id: breaks
        run: |
          echo before
          exit 7
      - id: not-reached
        run: echo never
      - id: clean-up
        if: always()
        run: echo "clean-up after ${{ steps.breaks.outcome }} and ${{ steps.tolerated.conclusion }}"
      - id: only-then
        if: failure()
        run: echo "it failed as ${{ job.status }}"
  after:
    needs: work
    runs-on: ubuntu-latest
    steps:
      - run: echo never
  report:
    needs: [work, after]
    if: always()
    runs-on: ubuntu-latest
    steps:
      - run: echo "work was ${{ needs.work.result }}, after was ${{ needs.after.result }}"
"#,
    )
    .run();
    outcome.expect(1, "failure");
    assert_eq!(outcome.job_result("work"), "failure");
    assert_eq!(outcome.job_result("after"), "skipped");
    assert_eq!(outcome.job_result("report"), "success");
    let step = |name| outcome.step("work", name);
    assert_eq!(step("tolerated"), ("failure".to_owned(), "success".to_owned()));
    assert_eq!(step("breaks"), ("failure".to_owned(), "failure".to_owned()));
    assert_eq!(step("not-reached"), ("skipped".to_owned(), "skipped".to_owned()));
    assert_eq!(step("clean-up"), ("success".to_owned(), "success".to_owned()));
    printed(&outcome, "work", "clean-up after failure and success");
    printed(&outcome, "work", "it failed as failure");
    printed(&outcome, "report", "work was failure, after was skipped");
    assert!(!outcome.log("work").contains(&"never".to_owned()));
}

#[test]
fn container_job_has_its_image_and_its_shell() {
    let outcome = Checkout::with_workflow(&format!(
        r#"
on: push
jobs:
  inside:
    runs-on: ubuntu-latest
    container:
      image: {image}
      env:
        FROM_CONTAINER: yes it is
    defaults:
      run:
        working-directory: sub/folder
    steps:
      - run: mkdir -p sub/folder
        working-directory: .
      - id: shell
        run: |
          echo "workspace=$GITHUB_WORKSPACE here=$PWD"
          echo "env: $FROM_CONTAINER"
          [ -z "$BASH_VERSION" ] && echo "sh, as GitHub has it"
          echo "GREETING=kept" >> "$GITHUB_ENV"
          mkdir -p "$HOME/bin" && printf '#!/bin/sh\necho found by path\n' > "$HOME/bin/tool" && chmod +x "$HOME/bin/tool"
          echo "$HOME/bin" >> "$GITHUB_PATH"
      - shell: bash
        run: |
          echo "$GREETING"
          tool
          false | true && echo unreachable || echo "pipefail holds"
"#,
        image = slipway_tests::RUNNER_IMAGE
    ))
    .run();
    outcome.expect(0, "success");
    let folder = |line: &String| line.starts_with("workspace=/__w/") && line.ends_with("/sub/folder");
    assert!(outcome.log("inside").iter().any(folder), "{:#?}", outcome.log("inside"));
    for line in ["env: yes it is", "sh, as GitHub has it", "kept", "found by path", "pipefail holds"] {
        printed(&outcome, "inside", line);
    }
}

#[test]
fn a_container_with_busybox_alone_will_do() {
    let outcome = Checkout::with_workflow(&format!(
        r#"
on: push
jobs:
  tiny:
    runs-on: ubuntu-latest
    container: {}
    steps:
      - id: say
        run: |
          echo "value=from busybox" >> "$GITHUB_OUTPUT"
      - run: echo "${{{{ steps.say.outputs.value }}}}, as $(id -u), process $(readlink /proc/1/exe)"
"#,
        busybox_image(native_architecture())
    ))
    .run();
    outcome.expect(0, "success");
    let line = |line: &String| line.starts_with("from busybox, as 0, process ");
    assert!(outcome.log("tiny").iter().any(line), "{:#?}", outcome.log("tiny"));
}

#[test]
fn a_time_out_stops_steps_and_jobs() {
    let outcome = Checkout::with_workflow(
        r#"
on: push
jobs:
  step-limit:
    runs-on: ubuntu-latest
    steps:
      - id: slow
        timeout-minutes: 0.05
        run: |
          echo started
          sleep 3600
      - id: after
        if: always()
        run: echo "slow was ${{ steps.slow.outcome }}"
  job-limit:
    runs-on: ubuntu-latest
    timeout-minutes: 0.1
    steps:
      - run: sleep 3600
      - run: echo never
"#,
    )
    .run();
    outcome.expect(1, "failure");
    assert_eq!(outcome.job_result("step-limit"), "failure");
    assert_eq!(outcome.step("step-limit", "slow").0, "failure");
    printed(&outcome, "step-limit", "slow was failure");
    // GitHub gives a job that ran out of time the result `cancelled`.
    assert_eq!(outcome.job_result("job-limit"), "cancelled");
    assert!(!outcome.log("job-limit").contains(&"never".to_owned()));
}

#[test]
fn uncommitted_changes_go_along_and_nothing_is_left() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  look:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: cat new.txt README.md; touch made-by-the-job\n",
    );
    checkout.write("new.txt", "not committed\n");
    checkout.write("README.md", "changed\n");
    let outcome = checkout.run();
    outcome.expect(0, "success");
    printed(&outcome, "look", "not committed");
    printed(&outcome, "look", "changed");
    assert!(!checkout.path().join("made-by-the-job").exists(), "the job works on a copy");
    assert_eq!(checkout.git(&["status", "--porcelain"]), " M README.md\n?? new.txt");
}

#[test]
fn secrets_are_masked_and_inputs_arrive() {
    let outcome = Checkout::with_workflow(
        r#"
on:
  workflow_dispatch:
    inputs:
      who: { type: string }
jobs:
  say:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "hello ${{ inputs.who }}, ${{ vars.PLACE }}"
          echo "the word is $WORD"
          echo "and encoded $(printf %s "$WORD" | base64)"
        env:
          WORD: ${{ secrets.WORD }}
"#,
    )
    .run_with(&[
        "--event",
        "workflow_dispatch",
        "--input",
        "who=you",
        "--var",
        "PLACE=here",
        "--secret",
        "WORD=sesame-open-up",
    ]);
    outcome.expect(0, "success");
    printed(&outcome, "say", "hello you, here");
    printed(&outcome, "say", "the word is ***");
    printed(&outcome, "say", "and encoded ***");
    assert!(!outcome.stdout.contains("sesame-open-up"), "{outcome:#?}");
}
