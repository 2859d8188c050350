//! `schedule`: a workflow of the default branch starts at its minute, once, also when the coordinator dies meanwhile.

use serde_json::json;
use slipway_tests::{Agent, AgentOptions, wait_until};

use crate::events::Forge;

#[test]
fn a_minute_comes_and_its_run_starts_once() {
    // What a tick does is tested under a clock of the test's own; this one waits for a real minute.
    let mut forge = Forge::new(&[("often", "{ schedule: [{ cron: '* * * * *', timezone: Asia/Kolkata }] }")]);
    let main = forge.checkout.git(&["rev-parse", "HEAD"]);
    let agent = Agent::start(&forge.coordinator, AgentOptions::named("one"));
    forge.deliver("watch", Forge::example("watch", "started"), |_| {});
    let run = wait_until("a minute has come", || forge.runs().into_iter().next());
    assert_eq!((&run["event_name"], &run["git_ref"]), (&json!("schedule"), &json!("refs/heads/main")));
    assert_eq!(run["sha"], json!(main));
    forge.coordinator.kill9_and_restart();
    let created: Vec<u64> = forge
        .succeeded("schedule", 1)
        .iter()
        .map(|run| run["created_ms"].as_u64().unwrap() / 60_000)
        .collect();
    let mut minutes = created.clone();
    minutes.dedup();
    assert_eq!(minutes, created, "no minute twice");
    drop(agent);
}
