//! A real agent that enrols, is killed, comes back, and is removed.

use std::process::{Command, Stdio};

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, program, wait_until};

const GPU: &str = "on: push\njobs:\n  build:\n    runs-on: [self-hosted, gpu]\n    steps:\n      - run: echo key is $KEY and ${#KEY} long\n        env:\n          KEY: ${{ secrets.DEPLOY_KEY }}\n";

#[test]
fn an_agent_enrols_once_comes_back_and_is_removed() {
    let coordinator = Coordinator::start();
    let token = coordinator.plain(&["agents", "token", "--label", "gpu"]);
    assert_eq!(token.code, 0, "{token:#?}");
    let token_file = coordinator.data_dir().join("enrolment.token");
    std::fs::write(&token_file, &token.stdout).unwrap();
    let mut agent =
        Agent::start_with_token(&coordinator, AgentOptions::named("enrolled"), token_file.clone());

    std::fs::write(coordinator.data_dir().join("key"), "correct-horse").unwrap();
    let key = coordinator.data_dir().join("key");
    let set = coordinator.plain(&["secrets", "set", "DEPLOY_KEY", "--value-file", key.to_str().unwrap()]);
    assert_eq!(set.code, 0, "{set:#?}");
    let checkout = Checkout::with_workflow(GPU);
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.log("build").iter().any(|line| line == "key is *** and 13 long"), "{outcome:#?}");

    // The used token is no hindrance to one that knows its credential.
    agent.kill9();
    agent.start_again();
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 0, "{outcome:#?}");

    // Whoever finds the used token gets nowhere.
    let thief = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("slipway-agent"));
    command.args(["--server", &coordinator.grpc_url()]).arg("--token-file").arg(&token_file);
    command.arg("--data-dir").arg(thief.path().join("data")).stdin(Stdio::null());
    // What is set for the command line of `slipway` is not the agent's.
    command.env("SLIPWAY_TOKEN", coordinator.token());
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("slipway agents token"), "{said}");

    let removed = coordinator.plain(&["agents", "remove", "enrolled"]);
    assert_eq!(removed.code, 0, "{removed:#?}");
    let agents = || coordinator.plain(&["agents", "--json"]).stdout;
    assert_eq!(agents().trim(), "[]");
    wait_until("the removed agent was refused", || {
        agent.said().contains("slipway agents token").then_some(())
    });
    assert_eq!(agents().trim(), "[]");
    // Its unit does not start it again after this code.
    assert_eq!(agent.ended(), Some(3), "{}", agent.said());
    assert!(agent.said().contains("no member of the fleet"), "{}", agent.said());
}

#[test]
fn an_agent_that_is_removed_at_its_work_stops_it_and_ends() {
    let coordinator = Coordinator::start();
    let mut first = Agent::start(&coordinator, AgentOptions::named("first"));
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  work:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo on $RUNNER_NAME; test $RUNNER_NAME = second || sleep 3600\n",
    );
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    wait_until("the job runs on the first", || {
        coordinator.logs(&run, "work").iter().any(|line| line == "on first").then_some(())
    });
    let removed = coordinator.plain(&["agents", "remove", "first"]);
    assert_eq!(removed.code, 0, "{removed:#?}");
    assert_eq!(first.ended(), Some(3), "{}", first.said());
    assert_eq!(first.in_the_engine(), Vec::<String>::new(), "what it ran is gone");

    let _second = Agent::start(&coordinator, AgentOptions::named("second"));
    assert_eq!(client.wait().unwrap().code(), Some(0), "the job went to another");
    let shown = coordinator.show(&run);
    assert_eq!(shown["instances"][0]["agent"], "second", "{shown}");
}
