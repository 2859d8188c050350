//! A fleet of two: every job runs once, and a job that no agent can run waits and says why.

use std::collections::HashSet;
use std::process::Stdio;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, wait_until};

#[test]
fn fifty_jobs_on_two_agents_each_count_once() {
    let numbers: Vec<String> = (1..=50).map(|number| number.to_string()).collect();
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  part:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n        number: [{}]\n    \
         steps:\n      - run: echo \"number ${{{{ matrix.number }}}}\"\n",
        numbers.join(", ")
    ));
    let coordinator = Coordinator::start();
    let _agents = ["one", "two"].map(|name| Agent::start(&coordinator, AgentOptions::named(name)));
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");

    let jobs = outcome.job("part");
    assert_eq!(jobs.len(), 50, "each has one line: {jobs:?}");
    assert!(jobs.iter().all(|(_, result)| result == "success"), "{jobs:?}");
    let mut lines = outcome.log("part");
    lines.retain(|line| line.starts_with("number "));
    assert_eq!(lines.len(), 50, "each ran once");
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 50, "none ran for another");

    let shown = coordinator.show(&coordinator.newest_run());
    let instances = shown["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 50);
    assert!(instances.iter().all(|instance| instance["attempt"] == 1), "no attempt without cause: {shown}");
    let agents: HashSet<_> = instances.iter().map(|instance| instance["agent"].as_str().unwrap()).collect();
    assert_eq!(agents, HashSet::from(["one", "two"]), "both took part");
}

#[test]
fn a_job_with_a_label_that_no_agent_has_waits_and_says_why() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  a:\n    runs-on: [self-hosted, mainframe]\n    steps: [{run: 'true'}]\n",
    );
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("plain"));
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let reason = wait_until("show says why it waits", || {
        let shown = coordinator.show(&run);
        let reason = shown["instances"][0]["waits_for"].as_str()?.to_owned();
        (!reason.is_empty()).then_some(reason)
    });
    assert!(reason.contains("mainframe"), "{reason}");

    let mut options = AgentOptions::named("big");
    options.arguments = vec!["--labels".to_owned(), "mainframe".to_owned()];
    let _big = Agent::start(&coordinator, options);
    assert_eq!(client.wait().unwrap().code(), Some(0), "it runs once an agent has the label");
}

#[test]
fn a_cancelled_run_ends_cancelled() {
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo started; sleep 3600\n      - if: always()\n        run: echo tidied\n",
    );
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("the step has started", || {
        coordinator.logs(&run, "a").iter().any(|line| line.ends_with("started")).then_some(())
    });
    let outcome = coordinator.plain(&["cancel", &run]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert_eq!(client.wait().unwrap().code(), Some(1), "cancelled is not success");
    let shown = coordinator.show(&run);
    assert_eq!(shown["result"], "cancelled", "{shown}");
    assert!(coordinator.logs(&run, "a").iter().any(|line| line.ends_with("tidied")), "always() still ran");
}
