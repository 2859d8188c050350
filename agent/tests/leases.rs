//! What the coordinator decides about leases, the agent does.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use fleet::coordinator::FakeCoordinator;
use fleet::{Place, job, run};
use slipway_kit::shutdown::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_job_ends_at_once_without_a_report() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let instance = coordinator.assign(&job(vec![run("long", "echo ready; sleep 1000")])).await;
    coordinator.line(&instance, "ready").await;
    coordinator.stop(&instance).await;
    handle.status().wait_for(|status| status.jobs == 0).await.unwrap();
    handle.trigger().raise(Stage::Drain);
    handle.wait().await;
    assert_eq!((place.containers().len(), place.networks().len(), place.jobs()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_agent_declines() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut instances = Vec::new();
    for _ in 0..2 {
        instances.push(coordinator.assign(&job(vec![run("long", "echo ready; sleep 1000")])).await);
    }
    for instance in &instances {
        coordinator.line(instance, "ready").await;
    }
    let third = coordinator.assign(&job(vec![run("never", "true")])).await;
    let declined = coordinator.declined().await;
    assert_eq!(declined.lease.unwrap().attempt.unwrap().instance_id, third);
    handle.discard().await;
    assert_eq!((place.containers().len(), place.networks().len(), place.jobs()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_what_it_is() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    place.arguments.extend(["--labels", "gpu,big", "--name", "builder"].map(str::to_owned));
    let handle = place.start().await;
    let hello = coordinator.hello().await;
    assert_eq!((hello.name.as_str(), hello.slots), ("builder", 2));
    assert_eq!(hello.agent_id, place.id());
    for label in ["self-hosted", "linux", hello.architecture.as_str(), "gpu", "big", "ubuntu-latest"] {
        assert!(hello.labels.iter().any(|known| known == label), "{label}: {:?}", hello.labels);
    }
    handle.trigger().raise(Stage::Drain);
    handle.wait().await;
}
