//! An agent whose disk is nearly full: it takes nothing new, says so to everybody who asks, and goes on once there is room.

use std::process::Stdio;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, get, wait_until};

const HELLO: &str =
    "on: push\njobs:\n  hello:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n";

#[test]
fn an_agent_on_a_low_disk_waits_for_room_and_says_so() {
    let coordinator = Coordinator::start();
    // No disk has so much room.
    let arguments = ["--disk-low", "1000000TiB"].map(str::to_owned).to_vec();
    let agent = Agent::start(&coordinator, AgentOptions { arguments, ..AgentOptions::named("small") });
    let listed = wait_until("the list of agents says it", || {
        let listed = coordinator.plain(&["agents"]).stdout;
        listed.contains("low disk: ").then_some(listed)
    });
    assert!(listed.contains(" free of "), "{listed}");

    let checkout = Checkout::with_workflow(HELLO);
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let why = wait_until("the job says why it waits", || {
        let shown = coordinator.show(&run);
        let why = shown["instances"][0]["waits_for"].as_str()?.to_owned();
        why.contains("low disk").then_some(why)
    });
    assert!(why.starts_with("no agent with its labels takes new jobs now; small: low disk: "), "{why}");
    let metrics = get(&coordinator.url("/metrics"), "").body;
    assert!(metrics.contains("slipway_agents{state=\"paused\"} 1"), "{metrics}");

    // Another one has room.
    drop(agent);
    let _roomy = Agent::start(&coordinator, AgentOptions::named("roomy"));
    assert_eq!(client.wait().unwrap().code(), Some(0));
    assert_eq!(coordinator.show(&run)["instances"][0]["agent"], "roomy");
}
