//! Images that an agent is configured with and that are not on its machine: the agent says so when it starts, and so does `slipway doctor`.

use serde_json::Value;
use slipway_tests::{Agent, AgentOptions, Coordinator, RUNNER_IMAGE, wait_until};

/// Nobody makes it.
const NEVER_MADE: &str = "slipway/runner:never-made";

/// Nobody serves it.
const LATER: &str = "127.0.0.1:1/team/image:1";

#[test]
fn the_agent_and_the_doctor_tell_which_images_are_missing() {
    let coordinator = Coordinator::start();
    let images =
        format!("ubuntu-24.04={RUNNER_IMAGE},ubuntu-22.04={RUNNER_IMAGE},made={NEVER_MADE},pulled={LATER}");
    let arguments = vec!["--image".to_owned(), images];
    let agent = Agent::start(&coordinator, AgentOptions { arguments, ..AgentOptions::named("agent") });
    let of = |image: &str| {
        wait_until(&format!("the agent speaks of {image}"), || {
            agent.said().lines().find(|line| line.contains(image)).map(str::to_owned)
        })
    };
    let (later, missing) = (of(LATER), of(NEVER_MADE));
    assert!(missing.contains("WARN") && missing.contains("scripts/runner-image.sh"), "{missing}");
    assert!(later.contains("INFO") && later.contains("pulled"), "{later}");

    let data_dir = agent.data_dir();
    let found = coordinator.plain(&["doctor", "--json", "--data-dir", data_dir.to_str().unwrap()]);
    let found: Vec<Value> = serde_json::from_str(&found.stdout).unwrap_or_else(|e| panic!("{e}: {found:#?}"));
    let images = found.iter().filter(|finding| finding["check"] == "runner image");
    let images: Vec<_> = images.map(|finding| (finding["status"].as_str().unwrap(), finding)).collect();
    let expected = [("note", LATER), ("warning", NEVER_MADE), ("ok", RUNNER_IMAGE)];
    assert_eq!(images.len(), expected.len(), "{found:#?}");
    for ((status, finding), (expected, image)) in images.iter().zip(expected) {
        let message = finding["message"].as_str().unwrap();
        assert!(*status == expected && message.contains(image), "{image}: {finding}");
    }
}
