//! Steps of the background: `background`, `wait`, `wait-all`, `cancel` and `parallel`, on real containers.

use std::process::Stdio;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, Outcome, docker, wait_until};

fn steps(steps: &str) -> Checkout {
    Checkout::with_workflow(&format!(
        "on: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    ))
}

fn printed(outcome: &Outcome, lines: &[&str]) {
    let log = outcome.log("job");
    for line in lines {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
}

#[test]
fn what_a_step_of_the_background_leaves_is_seen_when_it_was_waited_for() {
    let outcome = steps(
        r#"
      - id: a
        name: Side ${{ github.event_name }}
        background: true
        run: |
          until [ -e go ]; do sleep 0.1; done
          echo "x=1" >> "$GITHUB_OUTPUT"
          echo "FROM_A=yes" >> "$GITHUB_ENV"
          echo "/from/a" >> "$GITHUB_PATH"
          echo "side $MAIN"
      - run: |
          echo "early: [${{ steps.a.outputs.x }}] [$FROM_A] [${{ steps.a.outcome }}]"
          echo "MAIN=main" >> "$GITHUB_ENV"
          touch go
          sleep 1
      - run: echo "still:" "[${{ steps.a.outputs.x }}]"
      - wait: a
      - run: echo "late:" "[${{ steps.a.outputs.x }}] [$FROM_A] [${{ steps.a.outcome }}] ${PATH%%:*} $MAIN"
      - id: server
        background: true
        run: echo up > up; while true; do sleep 0.1; done
      - run: until [ -e up ]; do sleep 0.1; done; echo "served"
      - {id: skipped, if: false, background: true, run: echo never}
      - cancel: server
      - wait-all:
      - run: echo "server ${{ steps.server.outcome }}, skipped ${{ steps.skipped.outcome }}, job ${{ job.status }}"
      - parallel:
          - run: touch p1; until [ -e p2 ]; do sleep 0.1; done; echo first
          - name: Second
            run: touch p2; until [ -e p1 ]; do sleep 0.1; done; echo second
      - run: echo the end
"#,
    )
    .run();
    outcome.expect(0, "success");
    printed(
        &outcome,
        &[
            "early: [] [] []",
            "still: []",
            // It sees what was there when it began.
            "side ",
            "late: [1] [yes] [success] /from/a main",
            "Waiting for background steps to complete: Side push",
            "  Side push: success",
            "served",
            "server cancelled, skipped skipped, job success",
            "first",
            "second",
            "  Second: success",
            "the end",
        ],
    );
    for (name, result) in [
        ("Side push", "success"),
        ("Wait", "success"),
        ("Cancel", "success"),
        ("Wait for all", "success"),
        ("Parallel group", "success"),
        ("Second", "success"),
    ] {
        assert_eq!(outcome.step("job", name).1, result, "{name}");
    }
}

#[test]
fn a_failure_in_the_background_counts_where_it_is_waited_for() {
    let outcome = steps(
        r#"
      - {id: bad, background: true, run: exit 3}
      - run: sleep 1; echo "not yet ${{ job.status }}"
      - {id: late, wait: bad, continue-on-error: true}
      - run: echo "goes on ${{ steps.bad.outcome }} ${{ steps.late.outcome }} ${{ steps.late.conclusion }} ${{ job.status }}"
      - {id: worse, background: true, run: exit 4}
      - wait: [bad, worse]
      - run: echo never
      - if: failure()
        run: echo "after a failure"
"#,
    )
    .run();
    outcome.expect(1, "failure");
    printed(
        &outcome,
        &[
            "not yet success",
            "goes on failure failure success success",
            "  Run exit 4: failure",
            "after a failure",
        ],
    );
    assert!(!outcome.log("job").contains(&"never".to_owned()));

    // Who waits may go on; the job has failed all the same.
    let late = steps(
        "      - {id: bad, background: true, run: 'echo \"::add-mask::hush-hush\"; exit 3'}\n      \
         - {wait: bad, continue-on-error: true}\n      - run: echo \"hush-hush ${{ job.status }}\"\n",
    )
    .run();
    late.expect(1, "failure");
    printed(&late, &["*** success"]);
    // What failed before it was cancelled has failed.
    let before = steps(
        "      - {id: bad, background: true, run: exit 3}\n      - run: sleep 1\n      - cancel: bad\n      - run: echo goes on\n",
    )
    .run();
    before.expect(1, "failure");
    printed(&before, &["goes on"]);

    // Nobody waits for it: the job does, and fails by it.
    let alone = steps("      - {background: true, run: 'sleep 1; exit 5'}\n      - run: echo quick\n").run();
    alone.expect(1, "failure");
    assert_eq!(alone.step("job", "Wait for all background steps").1, "failure", "{alone:#?}");
    let forgiven =
        steps("      - {background: true, continue-on-error: true, run: exit 5}\n      - run: echo quick\n")
            .run();
    forgiven.expect(0, "success");
}

#[test]
fn more_steps_of_the_background_than_run_at_once_wait_for_their_turn() {
    let mut text = String::new();
    for number in 0..40 {
        text.push_str(&format!("      - {{background: true, run: 'touch {number}; sleep 0.2; ls | wc -l > n{number}; rm {number}'}}\n"));
    }
    text.push_str("      - wait-all: true\n      - run: echo \"left $(ls [0-9]* 2>/dev/null | wc -l), ran $(ls n* | wc -l)\"\n");
    let outcome = steps(&text).run();
    outcome.expect(0, "success");
    printed(&outcome, &["left 0, ran 40"]);
}

#[test]
fn actions_of_every_kind_run_in_the_background() {
    let image = slipway_tests::busybox_image(slipway_tests::native_architecture());
    let checkout = steps(
        r#"
      - uses: actions/checkout@v4
      - parallel:
          - {id: composite, uses: ./composite, with: {who: c}}
          - {id: boxed, uses: ./boxed, with: {who: d}}
          - {id: script, uses: ./script, with: {who: j}}
          - {uses: actions/checkout@v4, with: {path: second}}
      - run: echo "${{ steps.composite.outputs.said }} ${{ steps.boxed.outputs.said }} ${{ steps.script.outputs.said }} $(ls second/boxed/Dockerfile | xargs basename)"
"#,
    );
    let inputs = "inputs: {who: {required: true}}\n";
    checkout.write(
        "composite/action.yml",
        &format!(
            "{inputs}outputs: {{said: {{value: '${{{{ steps.s.outputs.said }}}}'}}}}\nruns:\n  using: composite\n  steps:\n    \
             - {{run: 'echo MADE=in-composite >> \"$GITHUB_ENV\"', shell: bash}}\n    \
             - {{id: s, run: 'echo \"said=$MADE ${{{{ inputs.who }}}}\" >> \"$GITHUB_OUTPUT\"; touch c', shell: bash}}\n"
        ),
    );
    checkout.write("boxed/action.yml", &format!("{inputs}runs: {{using: docker, image: Dockerfile}}\n"));
    checkout
        .write("boxed/Dockerfile", &format!("FROM {image}\nCOPY said /\nENTRYPOINT [\"sh\", \"/said\"]\n"));
    checkout.write(
        "boxed/said",
        "until [ -e c ]; do sleep 0.1; done\necho \"said=boxed $INPUT_WHO\" >> $GITHUB_OUTPUT\n",
    );
    checkout.write(
        "script/action.yml",
        &format!("{inputs}runs: {{using: node24, main: main.js, post: post.js}}\n"),
    );
    checkout.write(
        "script/main.js",
        "const fs = require('fs')\nfs.appendFileSync(process.env.GITHUB_OUTPUT, `said=script ${process.env.INPUT_WHO}\\n`)\n\
         fs.appendFileSync(process.env.GITHUB_STATE, 'kept=it\\n')\n",
    );
    checkout.write("script/post.js", "console.log(`post has ${process.env.STATE_kept}`)\n");
    checkout.commit("Add actions");
    let outcome = checkout.run();
    outcome.expect(0, "success");
    printed(&outcome, &["in-composite c boxed d script j Dockerfile", "post has it"]);
}

const COUNT: &str = r#"
      - {id: a, background: true, run: 'for i in $(seq 40); do seq -f "a%g" $((i * 50 - 49)) $((i * 50)); sleep 0.2; done; echo last=a >> "$GITHUB_OUTPUT"'}
      - {id: b, background: true, run: 'for i in $(seq 40); do seq -f "b%g" $((i * 50 - 49)) $((i * 50)); sleep 0.2; done; echo last=b >> "$GITHUB_OUTPUT"'}
      - run: for i in $(seq 20); do seq -f "m%g" $((i * 50 - 49)) $((i * 50)); sleep 0.2; done
      - wait: [a, b]
      - run: echo "said ${{ steps.a.outputs.last }} ${{ steps.b.outputs.last }}"
"#;

#[test]
fn an_agent_killed_with_steps_in_the_background_goes_on_with_each() {
    let checkout = steps(COUNT);
    let coordinator = Coordinator::start();
    let mut agent = Agent::start(&coordinator, AgentOptions::named("only"));
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    // In the middle of all three, and while only those of the background are left.
    for marker in ["m200", "a1500"] {
        wait_until(&format!("line {marker} is there"), || {
            coordinator.logs(&run, "job").iter().any(|line| line == marker).then_some(())
        });
        agent.kill9();
        agent.start_again();
    }
    let shown = coordinator.finished(&run);
    client.wait().unwrap();
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(shown["instances"][0]["attempt"], 1, "no new attempt was needed: {:#}", shown["instances"]);
    let log = coordinator.logs(&run, "job");
    for (letter, wanted) in [("a", 2_000), ("b", 2_000), ("m", 1_000)] {
        let of: Vec<u32> = log.iter().filter_map(|line| line.strip_prefix(letter)?.parse().ok()).collect();
        let first_wrong = of.iter().zip(1..).find(|(found, wanted)| *found != wanted);
        assert_eq!(first_wrong, None, "(found, wanted) of the first line of `{letter}` that is wrong");
        assert_eq!(of.len(), wanted, "lines of `{letter}`");
    }
    assert!(log.iter().any(|line| line == "said a b"), "outputs are missing");
}

#[test]
fn a_cancelled_job_cancels_its_steps_of_the_background() {
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("only"));
    let checkout = steps(
        r#"
      - {id: a, background: true, if: always(), run: 'echo begun; sleep 600'}
      - run: sleep 600
      - wait: a
      - if: always()
        run: echo "a was [${{ steps.a.outcome }}]"
"#,
    );
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("the step has begun", || {
        coordinator.logs(&run, "job").iter().any(|line| line == "begun").then_some(())
    });
    assert_eq!(coordinator.plain(&["cancel", &run]).code, 0);
    let shown = coordinator.finished(&run);
    client.wait().unwrap();
    assert_eq!(shown["result"], "cancelled", "{shown:#}");
    let log = coordinator.logs(&run, "job");
    assert!(log.iter().any(|line| line == "a was [cancelled]"), "{log:#?}");
}

#[test]
fn a_container_that_dies_under_steps_of_the_background_costs_an_attempt_and_no_more() {
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("only"));
    let checkout = steps(
        "      - {background: true, run: 'echo begun; sleep 3; echo through'}\n      - run: sleep 3\n      - wait-all:\n",
    );
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("the step has begun", || {
        coordinator.logs(&run, "job").iter().any(|line| line == "begun").then_some(())
    });
    let instance = coordinator.show(&run)["instances"][0]["instance_id"].as_str().unwrap().to_owned();
    let name = docker(&["ps", "--quiet", "--filter", &format!("name=slipway-{instance}-1-")]);
    docker(&["kill", &name]);
    let shown = coordinator.finished(&run);
    client.wait().unwrap();
    assert_eq!(shown["result"], "success", "{shown:#}");
    assert_eq!(shown["instances"][0]["attempt"], 2, "{shown:#}");
    let log = coordinator.logs(&run, "job");
    assert_eq!(log.iter().filter(|line| *line == "through").count(), 1, "{log:#?}");
}
