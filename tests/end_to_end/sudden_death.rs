//! `kill -9` of an agent or the coordinator in mid-job: nothing is lost and nothing counts twice.

use std::process::{Child, Stdio};

use serde_json::Value;
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, wait_until};

const LINES: u32 = 100_000;

/// Prints the container that it runs in before and after, and the numbered lines over some seconds in between.
const NUMBERED: &str = r#"
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "begins in $(hostname)"
          for block in $(seq 0 99); do
            seq $((block * 1000 + 1)) $((block * 1000 + 1000))
            sleep 0.1
          done
      - run: echo "ends in $(hostname)"
"#;

struct Watched {
    coordinator: Coordinator,
    agent: Agent,
    client: Child,
    run: String,
    _checkout: Checkout,
}

impl Watched {
    /// A job in its middle: some lines are logged already, most are yet to come.
    fn in_mid_job(workflow: &str, marker: &str) -> Self {
        let checkout = Checkout::with_workflow(workflow);
        let coordinator = Coordinator::start();
        let agent = Agent::start(&coordinator, AgentOptions::named("first"));
        let mut client = coordinator.run_command(&checkout);
        let client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let run = coordinator.newest_run();
        wait_until("the job is in its middle", || {
            coordinator.logs(&run, "count").iter().any(|line| line.ends_with(marker)).then_some(())
        });
        Self { coordinator, agent, client, run, _checkout: checkout }
    }

    fn wait_for_end(&self) -> Value {
        self.coordinator.finished(&self.run)
    }

    /// The whole log of the job, checked: every numbered line once and in order, in one container.
    fn expect_log_without_gap_or_repeat(&self) {
        let log = self.coordinator.logs(&self.run, "count");
        let numbers: Vec<u32> = log.iter().filter_map(|line| line.parse().ok()).collect();
        let first_wrong = numbers.iter().zip(1..).find(|(found, wanted)| *found != wanted);
        assert_eq!(first_wrong, None, "(found, wanted) of the first line that is wrong");
        assert_eq!(numbers.len(), LINES as usize, "lines");
        let container = |start: &str| log.iter().find_map(|line| line.strip_prefix(start).map(str::to_owned));
        assert!(container("begins in ").is_some(), "the first line is there");
        assert_eq!(container("begins in "), container("ends in "), "the same container to the end");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn only_instance(shown: &Value) -> &Value {
    let instances = shown["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 1, "{shown}");
    &instances[0]
}

#[test]
fn an_agent_that_starts_again_adopts_its_containers() {
    let mut watched = Watched::in_mid_job(NUMBERED, "20000");
    watched.agent.kill9();
    watched.agent.start_again();
    let shown = watched.wait_for_end();
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(only_instance(&shown)["attempt"], 1, "no new attempt was needed: {shown}");
    watched.expect_log_without_gap_or_repeat();
}

#[test]
fn a_coordinator_that_starts_again_finds_the_job_going_on() {
    let mut watched = Watched::in_mid_job(NUMBERED, "20000");
    watched.coordinator.kill9_and_restart();
    let shown = watched.wait_for_end();
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(only_instance(&shown)["attempt"], 1, "no new attempt was needed: {shown}");
    watched.expect_log_without_gap_or_repeat();
    assert_eq!(watched.client.wait().unwrap().code(), Some(0), "who watched the run sees its end");
}

#[test]
fn an_agent_that_stays_away_gives_its_job_to_another() {
    // The first agent's container goes on until its stop time; the second attempt ends by itself.
    let workflow = r#"
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    steps:
      - run: |
          echo "begins in $(hostname)"
          sleep 20
          echo "ends in $(hostname)"
"#;
    let mut watched = Watched::in_mid_job(&workflow.replace("begins in $(hostname)", "begins"), "begins");
    watched.agent.kill9();
    let _second = Agent::start(&watched.coordinator, AgentOptions::named("second"));
    let shown = watched.wait_for_end();
    assert_eq!(shown["result"], "success", "{shown}");
    let instance = only_instance(&shown);
    assert_eq!(instance["attempt"], 2, "a new attempt: {shown}");
    assert_eq!(instance["agent"], "second", "{shown}");
}
