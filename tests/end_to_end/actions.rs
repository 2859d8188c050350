//! Actions of every kind, through `slipway run` on a private fleet with real containers.

use std::process::Stdio;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, Outcome, wait_until};

/// A workflow with these steps, and files beside it.
fn with(steps: &str, files: &[(&str, &str)]) -> Checkout {
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n{steps}"
    ));
    for (path, text) in files {
        checkout.write(path, text);
    }
    checkout.commit("Add actions");
    checkout
}

fn printed(outcome: &Outcome, line: &str) {
    let log = outcome.log("job");
    assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
}

fn not_printed(outcome: &Outcome, part: &str) {
    let log = outcome.log("job");
    assert!(!log.iter().any(|logged| logged == part), "`{part}` is there: {log:#?}");
}

#[test]
fn a_composite_action_with_nested_conditions() {
    let outcome = with(
        r#"
      - id: good
        uses: ./.github/actions/greet
        with: { who: you }
        env: { TONE: loud }
      - run: echo "greeting=${{ steps.good.outputs.greeting }} tone=$TONE path-ok=$(test -d "$LEFT" && echo yes)"
      - id: bad
        uses: ./.github/actions/fails
        continue-on-error: true
      - run: echo "bad was ${{ steps.bad.outcome }} then ${{ steps.bad.conclusion }}, said ${{ steps.bad.outputs.said }}"
      - id: worse
        uses: ./.github/actions/fails
      - if: failure()
        uses: ./.github/actions/greet
        with: { who: the failed }
"#,
        &[
            (
                ".github/actions/greet/action.yml",
                r#"
name: Greet
description: Greets
inputs:
  who: { description: whom, default: nobody }
  rest: { description: more, default: 'of ${{ github.repository_owner }}' }
outputs:
  greeting: { description: it, value: '${{ steps.say.outputs.text }}' }
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      run: |
        echo "hello ${{ inputs.who }}, $TONE, from $(basename "$GITHUB_ACTION_PATH")"
        echo "text=hello ${{ inputs.who }}" >> "$GITHUB_OUTPUT"
        echo "LEFT=$GITHUB_ACTION_PATH" >> "$GITHUB_ENV"
    - shell: sh
      if: steps.say.outcome == 'success' && inputs.who == 'you'
      run: echo "only you, status ${{ job.status }}, $LEFT"
    - shell: bash
      if: failure()
      run: echo never
"#,
            ),
            (
                ".github/actions/fails/action.yml",
                r#"
name: Fails
description: Fails
outputs:
  said: { description: it, value: '${{ steps.rescue.outputs.said }}' }
runs:
  using: composite
  steps:
    - uses: ./.github/actions/greet
      with: { who: inner }
    - shell: bash
      run: exit 3
    - shell: bash
      run: echo "not after a failure"
    - id: rescue
      shell: bash
      if: failure()
      run: |
        echo "rescued"
        echo "said=sorry" >> "$GITHUB_OUTPUT"
    - shell: bash
      if: always()
      continue-on-error: true
      run: exit 4
"#,
            ),
        ],
    )
    .run();
    outcome.expect(1, "failure");
    printed(&outcome, "hello you, loud, from greet");
    printed(&outcome, "greeting=hello you tone= path-ok=yes");
    printed(&outcome, "bad was failure then success, said sorry");
    printed(&outcome, "hello inner, , from greet");
    printed(&outcome, "rescued");
    printed(&outcome, "hello the failed, , from greet");
    not_printed(&outcome, "never");
    not_printed(&outcome, "not after a failure");
    assert!(
        outcome
            .log("job")
            .iter()
            .any(|line| line.starts_with("only you, status success, /home/runner/work/"))
    );
    assert_eq!(outcome.step("job", "worse"), ("failure".to_owned(), "failure".to_owned()));
    assert_eq!(outcome.step("job", "bad"), ("failure".to_owned(), "success".to_owned()));
}

#[test]
fn actions_of_the_own_repository_need_no_checkout() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: $/.github/actions/outer\n      \
         - run: ls\n",
    );
    for (name, steps) in [
        (
            "outer",
            "    - uses: $/.github/actions/inner\n    - run: echo outer in $(ls | wc -l) files\n      shell: sh\n",
        ),
        ("inner", "    - run: cat \"$GITHUB_ACTION_PATH/text\"\n      shell: sh\n"),
    ] {
        let text = format!("runs:\n  using: composite\n  steps:\n{steps}");
        checkout.write(&format!(".github/actions/{name}/action.yml"), &text);
    }
    checkout.write(".github/actions/inner/text", "inner's own file\n");
    checkout.commit("Add actions");
    let outcome = checkout.run();
    outcome.expect(0, "success");
    printed(&outcome, "inner's own file");
    printed(&outcome, "outer in 0 files");
}

/// Prints what it gets; `pre`, `main` and `post` pass state on.
const ACTION_JS: &str = r#"
const fs = require('fs');
const stage = __filename.endsWith('pre.js') ? 'pre' : process.env.STATE_stage === 'main' ? 'post' : 'main';
console.log(`${stage}: a-b=${process.env['INPUT_A-B']} c_d=${process.env['INPUT_C_D']} seen=${process.env.STATE_seen} node=${process.version.split('.')[0]}`);
fs.appendFileSync(process.env.GITHUB_STATE, stage === 'pre' ? 'seen=pre\n' : 'stage=main\nseen=main\n');
fs.appendFileSync(process.env.GITHUB_OUTPUT, `from=${stage}\n`);
if (process.env.INPUT_FAIL === 'true' && stage === 'main') { console.log('::error file=a.js,line=3::asked to fail'); process.exit(1); }
"#;

const ACTION_YML: &str = r#"
name: Script
description: Prints
inputs:
  a-b: { description: with a hyphen, required: true }
  'c d': { description: with a blank, default: '${{ runner.os }}' }
  fail: { description: whether to fail, default: 'false' }
outputs:
  from: { description: the stage }
runs: { using: node20, pre: pre.js, main: main.js, post: main.js }
"#;

#[test]
fn a_javascript_action_of_another_repository_before_and_after_the_steps() {
    let checkout = with(
        r#"
      - id: one
        uses: some/action@v1
        with: { a-b: first }
      - id: two
        uses: some/action@v1
        with: { A-B: second, fail: true, unknown: x }
        continue-on-error: true
      - run: echo "one from ${{ steps.one.outputs.from }}, two ${{ steps.two.outcome }}"
"#,
        &[],
    );
    let source = tempfile::tempdir().unwrap();
    let folder = source.path().join("some/action");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("action.yml"), ACTION_YML).unwrap();
    for name in ["pre.js", "main.js"] {
        std::fs::write(folder.join(name), ACTION_JS).unwrap();
    }
    let from = format!("file://{}", source.path().display());
    let outcome = checkout.run_with(&["--actions-source", &from]);
    outcome.expect(0, "success");
    let order: Vec<String> = outcome
        .log("job")
        .into_iter()
        .filter(|line| ["pre:", "main:", "post:", "one "].iter().any(|start| line.starts_with(start)))
        .collect();
    assert_eq!(
        order,
        [
            "pre: a-b=first c_d=Linux seen=undefined node=v20",
            "pre: a-b=second c_d=Linux seen=undefined node=v20",
            "main: a-b=first c_d=Linux seen=pre node=v20",
            "main: a-b=second c_d=Linux seen=pre node=v20",
            "one from main, two failure",
            "post: a-b=second c_d=Linux seen=main node=v20",
            "post: a-b=first c_d=Linux seen=main node=v20",
        ]
    );
    let log = outcome.log("job");
    assert!(log.iter().any(|line| line.contains("Unexpected input(s) 'unknown'")), "{log:#?}");
}

#[test]
fn a_docker_action_from_a_local_dockerfile_and_an_image_as_a_step() {
    let outcome = with(
        r#"
      - id: built
        uses: ./.github/actions/box
        with: { word: "two words", where: "${{ github.workspace }}/README.md" }
      - run: |
          echo "built says ${{ steps.built.outputs.said }}"
          cat from-the-box
      - uses: docker://slipway/busybox:PLATFORM
        with:
          entrypoint: /bin/sh
          args: -c "echo image step in $PWD with $MORE, job $GITHUB_JOB"
        env: { MORE: more }
      - id: breaks
        uses: ./.github/actions/box
        with: { word: break }
        continue-on-error: true
      - run: echo "breaks was ${{ steps.breaks.outcome }}"
"#
        .replace(
            "slipway/busybox:PLATFORM",
            &slipway_tests::busybox_image(slipway_tests::native_architecture()),
        )
        .as_str(),
        &[
            (
                ".github/actions/box/action.yml",
                r#"
name: Box
description: In a box
inputs:
  word: { description: a word, required: true }
  where: { description: a path, default: '' }
outputs:
  said: { description: it }
runs:
  using: docker
  image: Dockerfile
  args: ['${{ inputs.word }}', '${{ inputs.where }}']
  env: { EXTRA: 'extra ${{ inputs.word }}' }
  post-entrypoint: /after
"#,
            ),
            (
                ".github/actions/box/Dockerfile",
                &format!(
                    "FROM {}\nCOPY main after /\nENTRYPOINT [\"/main\"]\n",
                    slipway_tests::busybox_image(slipway_tests::native_architecture())
                ),
            ),
            (
                ".github/actions/box/main",
                r#"#!/bin/sh
echo "args: $1|$2 input: $INPUT_WORD extra: $EXTRA home: $HOME in $PWD, workspace $GITHUB_WORKSPACE"
[ "$1" != break ] || exit 7
head -n 1 "$2"
echo "said=$1" >> "$GITHUB_OUTPUT"
echo "made in the box" > from-the-box
echo "was=here" >> "$GITHUB_STATE"
"#,
            ),
            (".github/actions/box/after", "#!/bin/sh\necho \"after: $STATE_was $INPUT_WORD\"\n"),
        ],
    );
    for name in ["main", "after"] {
        let path = outcome.path().join(".github/actions/box").join(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    outcome.commit("Make them programs");
    let outcome = outcome.run();
    outcome.expect(0, "success");
    printed(
        &outcome,
        "args: two words|/github/workspace/README.md input: two words extra: extra two words home: /github/home in \
         /github/workspace, workspace /github/workspace",
    );
    printed(&outcome, "A repository to test with.");
    printed(&outcome, "built says two words");
    printed(&outcome, "made in the box");
    printed(&outcome, "image step in /github/workspace with more, job job");
    printed(&outcome, "breaks was failure");
    printed(&outcome, "after: here two words");
    printed(&outcome, "after:  break");
}

#[test]
fn an_action_that_is_not_there_is_told_with_what_to_do() {
    let outcome = with("      - uses: ./no/such/action\n", &[]).run();
    outcome.expect(1, "failure");
    let log = outcome.log("job");
    assert!(log.iter().any(|line| line.contains("Can't find 'action.yml'")), "{log:#?}");
    let broken = with(
        "      - uses: ./broken\n",
        &[("broken/action.yml", "runs:\n  using: composite\n  steps:\n    - run: x\n")],
    )
    .run();
    broken.expect(1, "failure");
    let log = broken.log("job");
    assert!(log.iter().any(|line| line.contains("broken/action.yml:4:7")), "{log:#?}");
    let deep = with(
        "      - uses: ./deep\n",
        &[("deep/action.yml", "runs:\n  using: composite\n  steps:\n    - uses: ./deep\n")],
    )
    .run();
    deep.expect(1, "failure");
    let log = deep.log("job");
    assert!(log.iter().any(|line| line.contains("more than 10 deep")), "{log:#?}");
}

#[test]
fn javascript_actions_run_in_a_musl_image_on_the_node_for_it() {
    let image = slipway_tests::musl_image(slipway_tests::native_architecture());
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    container: {image}\n    steps:\n      \
         - uses: actions/checkout@v4\n      - {{id: new, uses: ./new}}\n      \
         - run: echo \"${{{{ steps.new.outputs.node }}}}\"\n"
    ));
    checkout.write("new/action.yml", "runs: {using: node24, main: main.js}\n");
    checkout.write(
        "new/main.js",
        "const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'\n\
         require('fs').appendFileSync(process.env.GITHUB_OUTPUT, `node=${process.version.split('.')[0]} on ${libc}\\n`)\n",
    );
    checkout.commit("Add an action");
    let outcome = checkout.run();
    outcome.expect(0, "success");
    printed(&outcome, "v24 on musl");
}

/// Numbers of three loops: a step of a composite action, a Docker action, and what that does after the steps.
const NUMBERED: &str = r#"
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: inner
        uses: ./count
        with: { first: 1, each: 50 }
      - run: echo "inner said ${{ steps.inner.outputs.last }}"
      - id: boxed
        uses: ./box
        with: { first: 1001, each: 300 }
      - run: echo "boxed said ${{ steps.boxed.outputs.last }}"
"#;

const COUNT: &str = "#!/bin/sh
block=$INPUT_FIRST
for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
  seq $((block + i * INPUT_EACH)) $((block + i * INPUT_EACH + INPUT_EACH - 1))
  sleep 0.2
done
echo \"last=$((block + 20 * INPUT_EACH - 1))\" >> \"$GITHUB_OUTPUT\"
";

#[test]
fn an_agent_killed_inside_of_actions_goes_on_there() {
    let image = slipway_tests::busybox_image(slipway_tests::native_architecture());
    let checkout = Checkout::with_workflow(NUMBERED);
    checkout.write(
        "count/action.yml",
        "inputs: {first: {}, each: {}}\noutputs: {last: {value: '${{ steps.c.outputs.last }}'}}\nruns:\n  using: composite\n  \
         steps:\n    - run: echo begun\n      shell: bash\n    - id: c\n      run: sh box/count\n      shell: bash\n      \
         env: {INPUT_FIRST: '${{ inputs.first }}', INPUT_EACH: '${{ inputs.each }}'}\n",
    );
    checkout.write(
        "box/action.yml",
        "inputs: {first: {}, each: {}}\nruns: {using: docker, image: Dockerfile, post-entrypoint: /after}\n",
    );
    checkout.write("box/Dockerfile", &format!("FROM {image}\nCOPY count after /\nENTRYPOINT [\"/count\"]\n"));
    checkout.write("box/after", "#!/bin/sh\nINPUT_FIRST=7001 INPUT_EACH=200 exec /count\n");
    checkout.write("box/count", COUNT);
    for name in ["after", "count"] {
        let path = checkout.path().join("box").join(name);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    checkout.commit("Count");
    let coordinator = Coordinator::start();
    let mut agent = Agent::start(&coordinator, AgentOptions::named("only"));
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    // The second time the Docker action has written more than all steps in the job's own container before it.
    for marker in ["500", "5000", "9000"] {
        wait_until(&format!("line {marker} is there"), || {
            coordinator.logs(&run, "count").iter().any(|line| line == marker).then_some(())
        });
        agent.kill9();
        agent.start_again();
    }
    let shown = coordinator.finished(&run);
    client.wait().unwrap();
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(shown["instances"][0]["attempt"], 1, "no new attempt was needed: {:#}", shown["instances"]);
    let log = coordinator.logs(&run, "count");
    let numbers: Vec<u32> = log.iter().filter_map(|line| line.parse().ok()).collect();
    let first_wrong = numbers.iter().zip(1..).find(|(found, wanted)| *found != wanted);
    assert_eq!(first_wrong, None, "(found, wanted) of the first line that is wrong");
    assert_eq!(numbers.len(), 11_000, "lines");
    for line in ["inner said 1000", "boxed said 7000"] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing");
    }
}
