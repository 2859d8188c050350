//! The agent is killed, and the next process goes on: no line is lost, none comes twice, nothing runs twice.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::process::{Command, Stdio};

use fleet::coordinator::FakeCoordinator;
use fleet::{Place, Process, job, run};
use slipway_proto::v1::Result::Success;

#[tokio::test(flavor = "multi_thread")]
async fn killed_agents_lose_and_repeat_nothing() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let count =
        "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo $i; [ $((i % 20000)) != 0 ] || sleep 0.7; done";
    let spec = job(vec![
        run("count", &format!("echo started >> started; {count}; echo \"last=$i\" >> $GITHUB_OUTPUT")),
        run("check", "echo last ${{ steps.count.outputs.last }}; echo starts $(cat started | wc -l)"),
    ]);
    let mut process = Process::start(&place);
    let instance = coordinator.assign(&spec).await;
    for line in ["10", "20000", "55555", "80000"] {
        coordinator.line(&instance, line).await;
        drop(process);
        process = Process::start(&place);
    }
    let job = coordinator.report(&instance).await;
    drop(process);
    assert_eq!(job.result(), Success, "{:?}", job.report);
    let lines = job.lines();
    let numbers: Vec<u32> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers.len(), 100_000);
    assert!(numbers.iter().zip(1..).all(|(found, expected)| *found == expected));
    for line in ["last 100000", "starts 1"] {
        assert!(lines.iter().any(|found| found == line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_ended_while_no_agent_lived_counts() {
    let coordinator = FakeCoordinator::start().await;
    coordinator.secret("KEY", "hunter22");
    let place = Place::new(&coordinator);
    let spec = job(vec![
        run("alone", "echo '::add-mask::gate77'; echo ready; sleep 2; echo hunter22 gate77 done; exit 0"),
        run("next", "echo next gate77"),
    ]);
    let process = Process::start(&place);
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "ready").await;
    drop(process);
    // Longer than the step takes.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let process = Process::start(&place);
    let job = coordinator.report(&instance).await;
    drop(process);
    assert_eq!(job.result(), Success, "{:?}", job.report);
    let lines = job.lines();
    for line in ["*** *** done", "next ***"] {
        assert!(lines.iter().any(|found| found == line), "`{line}` is not in {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_lease_meanwhile_is_removed() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let process = Process::start(&place);
    let instance = coordinator.assign(&job(vec![run("long", "echo ready; sleep 1000")])).await;
    coordinator.line(&instance, "ready").await;
    drop(process);
    assert_eq!(place.containers().len(), 1);
    coordinator.forget(&instance);
    let handle = place.start().await;
    let mut status = handle.status();
    status.wait_for(|status| status.connected && status.jobs == 0).await.unwrap();
    handle.trigger().raise(slipway_kit::shutdown::Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers().len(), place.jobs()), (0, 0));
}

/// A machine that died and took the end of a job's journal with it, which is written without a sync for each record: what it
/// would number next is there already. The job is given up, so that its lease ends, instead of waiting for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_journal_lost_its_end_is_given_up() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let process = Process::start(&place);
    let instance = coordinator.assign(&job(vec![run("long", "echo ready; sleep 1000")])).await;
    coordinator.line(&instance, "ready").await;
    drop(process);
    for container in place.containers() {
        Command::new("docker").args(["rm", "--force", &container]).stdout(Stdio::null()).status().unwrap();
    }
    coordinator.has_more_records(&instance, 100);
    let handle = place.start().await;
    let mut status = handle.status();
    status.wait_for(|status| status.connected && status.jobs == 0).await.unwrap();
    handle.trigger().raise(slipway_kit::shutdown::Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers().len(), place.jobs()), (0, 0));
}
