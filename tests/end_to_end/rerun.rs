//! `slipway rerun`: what failed runs again and goes on with the outputs of what did not.

use serde_json::Value;
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator};

const WORKFLOW: &str = r#"
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    outputs:
      token: ${{ steps.make.outputs.token }}
    steps:
      - id: make
        run: echo "token=$RANDOM$RANDOM" >> "$GITHUB_OUTPUT"
      - run: echo "made"
  test:
    needs: make
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "attempt ${{ github.run_attempt }} of ${{ github.run_number }} with ${{ needs.make.outputs.token }}"
          [ "${{ github.run_attempt }}" -gt 1 ]
  ship:
    needs: test
    runs-on: ubuntu-latest
    steps:
      - run: echo "ship ${{ needs.test.result }}"
"#;

#[test]
fn only_what_failed_runs_again() {
    let mut coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(WORKFLOW);
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    let first = coordinator.newest_run();
    let said = |run: &str| {
        let log = coordinator.logs(run, "test");
        log.into_iter().find(|line| line.starts_with("attempt ")).unwrap()
    };
    let before = said(&first);
    let token = before.strip_prefix("attempt 1 of 1 with ").unwrap().to_owned();
    assert!(!token.is_empty());

    let again = coordinator.plain(&["rerun", "latest", "--failed", "--json"]);
    assert_eq!(again.code, 0, "{again:#?}");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["rerun_of"], first.as_str());
    let second = again["run"].as_str().unwrap();
    let shown = coordinator.finished(second);
    assert_eq!(shown["result"], "success", "{shown:#}");
    assert_eq!(said(second), format!("attempt 2 of 1 with {token}"));
    assert!(coordinator.logs(second, "ship").contains(&"ship success".to_owned()));
    assert!(coordinator.logs(second, "make").is_empty(), "it did not run again");

    coordinator.kill9_and_restart();
    let nothing = coordinator.plain(&["rerun", second, "--failed"]);
    assert_eq!(nothing.code, 2, "{nothing:#?}");
    assert!(nothing.stderr.contains("no job of run"), "{nothing:#?}");
}
