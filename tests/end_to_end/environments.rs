//! Environments with rules: a job waits for somebody's approval, whatever dies meanwhile, and runs or fails as they say.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, wait_until};

const RULES: &str = "[[environment]]\nname = 'production'\nreviewers = ['alice']\n\
     [[environment]]\nname = 'guarded'\nbranches = ['release/*']\n\
     [[environment]]\nname = 'shop'\none_at_a_time = true\n";

const DEPLOY: &str = "
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps: [{run: echo built}]
  deploy:
    needs: build
    environment: {name: production, url: 'https://v${{ steps.it.outputs.version }}.example.com'}
    runs-on: ubuntu-latest
    steps: [{id: it, run: echo deployed; echo version=7 >> $GITHUB_OUTPUT}]
";

/// A coordinator with the rules, an agent, and a client that follows a run until `deploy` waits for approval.
struct Waiting {
    coordinator: Coordinator,
    agent: Agent,
    client: Child,
    run: String,
    _rules: tempfile::TempDir,
    _checkout: Checkout,
}

fn with_rules() -> (tempfile::TempDir, Coordinator) {
    let rules = tempfile::tempdir().unwrap();
    let path = rules.path().join("coordinator.toml");
    std::fs::write(&path, RULES).unwrap();
    let coordinator = Coordinator::start_with(&["--config", path.to_str().unwrap()]);
    (rules, coordinator)
}

impl Waiting {
    fn start() -> Self {
        let (rules, coordinator) = with_rules();
        let agent = Agent::start(&coordinator, AgentOptions::named("one"));
        let checkout = Checkout::with_workflow(DEPLOY);
        let mut client: Command = coordinator.run_command(&checkout);
        let mut client = client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Whoever follows the run is told.
        let mut lines = BufReader::new(client.stderr.take().unwrap()).lines();
        let told = "deploy waits for approval of `production` by alice: slipway approve";
        assert!(lines.any(|line| line.unwrap().contains(told)));
        // Nobody may be kept from writing more.
        std::thread::spawn(move || lines.for_each(drop));
        let run = coordinator.newest_run();
        let waiting = Self { coordinator, agent, client, run, _rules: rules, _checkout: checkout };
        waiting.until_it_waits();
        waiting
    }

    fn until_it_waits(&self) {
        let told = wait_until("the job waits for approval", || {
            let shown = self.coordinator.show(&self.run);
            let deploy = job(&shown, "deploy")?.clone();
            (deploy["wait"]["reason"] == "approval").then(|| deploy["waits_for"].as_str().unwrap().to_owned())
        });
        let command = format!("by alice: slipway approve {} production", self.run);
        assert!(told.ends_with(&command), "{told}");
    }

    /// `slipway approve` as somebody, with its exit code and what it said.
    fn approve(&self, arguments: &[&str]) -> (i32, String) {
        let all = [&["approve", self.run.as_str(), "production"], arguments].concat();
        let outcome = self.coordinator.plain(&all);
        (outcome.code, format!("{}{}", outcome.stdout, outcome.stderr))
    }

    /// The exit code of whoever followed the run.
    fn followed(&mut self) -> Option<i32> {
        self.client.wait().unwrap().code()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn job<'a>(shown: &'a Value, name: &str) -> Option<&'a Value> {
    shown["instances"].as_array()?.iter().find(|instance| instance["job"] == name)
}

#[test]
fn an_approved_job_runs_although_coordinator_and_agent_died_while_it_waited() {
    let mut waiting = Waiting::start();
    waiting.agent.kill9();
    waiting.coordinator.kill9_and_restart();
    waiting.agent.start_again();
    waiting.until_it_waits();
    let (code, said) = waiting.approve(&["--actor", "mallory"]);
    assert!(code == 2 && said.contains("`mallory` may not review `production`; who may: alice"), "{said}");
    let (code, said) = waiting.approve(&["--actor", "alice", "--comment", "ship it"]);
    assert!(code == 0 && said.contains("approved production for 1 job of run"), "{code} {said}");
    let shown = waiting.coordinator.finished(&waiting.run);
    assert_eq!(shown["result"], "success", "{shown:#}");
    assert_eq!(job(&shown, "deploy").unwrap()["attempt"], 1);
    let log = waiting.coordinator.logs(&waiting.run, "deploy");
    assert_eq!(log.iter().filter(|line| *line == "deployed").count(), 1, "{log:?}");
    assert!(log.iter().any(|line| line == "Environment production: https://v7.example.com"), "{log:?}");
    let people = waiting.coordinator.plain(&["show", "latest"]).stdout;
    assert!(people.contains("alice approved production: ship it"), "{people}");
    let (code, said) = waiting.approve(&["--actor", "alice", "--reject"]);
    assert!(code == 2 && said.contains("alice approved it"), "{code} {said}");
    assert_eq!(waiting.followed(), Some(0));
}

#[test]
fn a_rejected_job_fails_the_run_and_a_branch_that_is_not_allowed_fails_at_once() {
    let mut waiting = Waiting::start();
    let (code, said) = waiting.approve(&["--actor", "alice", "--reject", "--json"]);
    assert_eq!(code, 0, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["decision"], said["instances"].as_array().unwrap().len()), (&"rejected".into(), 1));
    let shown = waiting.coordinator.finished(&waiting.run);
    assert_eq!(shown["result"], "failure", "{shown:#}");
    let deploy = job(&shown, "deploy").unwrap();
    assert_eq!((&deploy["attempt"], &deploy["message"]), (&0.into(), &"alice rejected `production`".into()));

    let guarded = DEPLOY.replace("production", "guarded");
    let outcome = waiting.coordinator.run(&Checkout::with_workflow(&guarded));
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    let said = outcome.stdout.contains("the environment `guarded` is not for `refs/heads/");
    assert!(said && outcome.stdout.contains("it is for the branches release/* and no tags"), "{outcome:#?}");
    assert_eq!(waiting.followed(), Some(1));
}

const SHOP: &str = "
on: push
jobs:
  deploy:
    if: vars.OPEN == 'yes' && vars.REGION == ''
    name: deploy ${{ matrix.part }}
    strategy: {matrix: {part: [1, 2, 3]}}
    environment: shop
    runs-on: ubuntu-latest
    env: {REGION: '${{ vars.REGION }}'}
    steps:
      - run: echo region $REGION open ${{ vars.open }}
      - run: sleep 1
";

#[test]
fn one_deployment_at_a_time_with_the_variables_of_its_environment() {
    let (_rules, coordinator) = with_rules();
    let set = |arguments: &[&str]| {
        let outcome = coordinator.plain(&[&["variables", "set"], arguments].concat());
        assert_eq!(outcome.code, 0, "{outcome:#?}");
    };
    let checkout = Checkout::with_workflow(SHOP);
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "skipped");
    let skipped = coordinator.show(&coordinator.newest_run());
    assert_eq!(skipped["jobs"][0]["result"], "skipped", "{skipped:#}");
    let repository = skipped["repository"].as_str().unwrap();
    set(&["OPEN", "yes"]);
    set(&["REGION", "eu-1", "--repo", repository, "--env", "Shop"]);
    let refused = coordinator.plain(&["vars", "set", "1A", "x"]);
    assert!(refused.code == 2 && refused.stderr.contains("cannot be a variable's name"), "{refused:#?}");
    let listed = coordinator.plain(&["vars", "list"]).stdout;
    assert!(listed.contains("REGION") && listed.contains("eu-1") && listed.contains("Shop"), "{listed}");

    let _agent = Agent::start(&coordinator, AgentOptions { slots: 3, ..AgentOptions::named("one") });
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let shown = coordinator.show(&coordinator.newest_run());
    let mut times: Vec<(u64, u64)> = Vec::new();
    for instance in shown["instances"].as_array().unwrap() {
        let attempt = &instance["attempts"][0];
        times.push((attempt["started_ms"].as_u64().unwrap(), attempt["finished_ms"].as_u64().unwrap()));
    }
    let lines = coordinator.plain(&["logs", "latest", "--json"]);
    assert_eq!(lines.stdout.matches("\"region eu-1 open yes\"").count(), 3, "{lines:#?}");
    times.sort_unstable();
    assert_eq!(times.len(), 3);
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two at a time: {times:?}");
    let removed = coordinator.plain(&["vars", "rm", "OPEN"]);
    assert_eq!(removed.code, 0, "{removed:#?}");
}
