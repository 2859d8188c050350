//! The agent is killed while a job works with its engine: the next one goes on, and what nobody goes on with is removed.

use std::process::{Command, Stdio};

use slipway_kit::shutdown::Stage;

use super::fleet::coordinator::FakeCoordinator;
use super::fleet::{Process, job, run};
use super::{BOX, expect_lines, place};

/// A container that counts while the client is attached to it.
const COUNT: &str =
    "docker run --name count box sh -c 'i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo n$i; sleep 0.2; done'";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_breaks_no_client_and_the_next_one_goes_on() {
    let coordinator = FakeCoordinator::start().await;
    let place = place(&coordinator);
    let spec = job(vec![
        // The first use comes after the first kill: the socket has to have outlived it.
        run("wait", "echo ready; sleep 3"),
        run("box", BOX),
        run("count", COUNT),
        run("after", "docker ps --all --quiet | wc -l | sed 's/^/there=/'"),
    ]);
    let mut process = Process::start(&place);
    let instance = coordinator.assign(&spec).await;
    for line in ["ready", "n5", "n20"] {
        coordinator.line(&instance, line).await;
        drop(process);
        process = Process::start(&place);
    }
    let done = coordinator.report(&instance).await;
    expect_lines(&done, &["there=1"]);
    let lines = done.lines();
    let numbers: Vec<u32> = lines.iter().filter_map(|line| line.strip_prefix('n')?.parse().ok()).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    drop(process);
    let handle = place.start().await;
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers(), place.networks(), place.jobs()), (Vec::new(), Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_job_was_given_to_another_is_removed_with_all_it_has() {
    let coordinator = FakeCoordinator::start().await;
    let place = place(&coordinator);
    let process = Process::start(&place);
    let hold = format!("{BOX}docker run --detach box sleep 600 >/dev/null\necho ready\nsleep 1000");
    let instance = coordinator.assign(&job(vec![run("hold", &hold)])).await;
    coordinator.line(&instance, "ready").await;
    drop(process);
    let containers = place.containers();
    assert_eq!(containers.len(), 2);
    let mut arguments = vec!["inspect", "--format", "{{.State.Pid}}"];
    arguments.extend(containers.iter().map(String::as_str));
    let pids = Command::new("docker").args(arguments).stderr(Stdio::inherit()).output().unwrap();
    let pids = String::from_utf8(pids.stdout).unwrap();
    coordinator.forget(&instance);
    let handle = place.start().await;
    let mut status = handle.status();
    status.wait_for(|status| status.connected && status.jobs == 0).await.unwrap();
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers(), place.networks(), place.jobs()), (Vec::new(), Vec::new(), 0));
    for pid in pids.split_whitespace() {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} lives");
    }
}
