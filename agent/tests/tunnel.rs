//! Connections of a job to its caches and artifacts, from a real container to a coordinator that sends everything back.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use fleet::coordinator::{FakeCoordinator, RUNTIME_TOKEN};
use fleet::{IMAGE, Place, job, run, text};
use slipway_agent::tunnel::variables::PORTS;
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::ContainerSpec;

/// Sends a file through and compares what comes back.
fn echo(name: &str, mebibytes: u32) -> String {
    format!(
        "head -c {mebibytes}m /dev/urandom > {name}; nc slipway.localhost {} < {name} > {name}.back; cmp {name} {name}.back && echo {name} came back",
        PORTS[0]
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_reaches_the_coordinator_over_its_own_loopback() {
    let coordinator = FakeCoordinator::start().await;
    coordinator.secret("PASSWORD", "hunter2secret");
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let several: Vec<String> =
        (0..4).map(|number| format!("({}) &", echo(&format!("f{number}"), 3))).collect();
    let steps = vec![
        run("one", &echo("large", 40)),
        run("several", &format!("{} wait", several.join(" "))),
        run("hidden", &format!("env; echo the token is {RUNTIME_TOKEN}, the secret hunter2secret")),
    ];
    let mut container = job(steps.clone());
    container.container = Some(ContainerSpec {
        image: text(IMAGE),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        credentials: None,
    });
    for spec in [job(steps), container] {
        let instance = coordinator.assign(&spec).await;
        let done = coordinator.report(&instance).await;
        let lines = done.lines();
        assert_eq!(done.result(), Success, "{lines:#?}");
        for name in ["large", "f0", "f1", "f2", "f3"] {
            assert!(lines.contains(&format!("{name} came back")), "{name}: {lines:#?}");
        }
        assert!(lines.contains(&"the token is ***, the secret ***".to_owned()), "{lines:#?}");
        // A script is told nothing of them, as on GitHub.
        assert!(!lines.iter().any(|line| line.starts_with("ACTIONS_")), "{lines:#?}");
    }
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_is_open_again_for_the_agent_that_comes_after_a_kill() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let script = format!("echo ready; until [ -e go ]; do sleep 0.1; done; {}", echo("late", 1));
    let instance = coordinator.assign(&job(vec![run("late", &script)])).await;
    coordinator.line(&instance, "ready").await;
    handle.trigger().raise(Stage::Now);
    handle.wait().await.unwrap();
    let handle = place.start().await;
    let jobs = place.folder.path().join("data/jobs");
    let job = std::fs::read_dir(jobs).unwrap().next().unwrap().unwrap().path();
    std::fs::write(job.join("work/hello/hello/go"), "").unwrap();
    let done = coordinator.report(&instance).await;
    assert_eq!(done.result(), Success, "{:#?}", done.lines());
    assert!(done.lines().contains(&"late came back".to_owned()));
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
}
