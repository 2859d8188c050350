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
    handle.wait().await.unwrap();
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
    handle.wait().await.unwrap();
}

/// A job that shows when it dies, to whoever looks at its container.
fn endless() -> slipway_workflow::job_spec::JobSpec {
    job(vec![run("long", "echo ready; sleep 1000")])
}

/// Whether the container still runs.
fn runs(container: &str) -> bool {
    let inspect = std::process::Command::new("docker")
        .args(["inspect", "--format", "{{.State.Running}}", container])
        .output()
        .unwrap();
    inspect.stdout.starts_with(b"true")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_job_is_stopped_when_the_coordinator_falls_silent() {
    let coordinator = FakeCoordinator::start().await;
    coordinator.terms(3_000, 1_000);
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let strict = coordinator.assign_as(&endless(), true).await;
    let ordinary = coordinator.assign_as(&endless(), false).await;
    coordinator.line(&strict, "ready").await;
    coordinator.line(&ordinary, "ready").await;
    coordinator.fall_silent();
    let mut status = handle.status();
    status.wait_for(|status| status.jobs == 1).await.unwrap();
    // The ordinary one goes on, through all of its grace.
    let left = place.containers();
    assert!(left.iter().any(|container| runs(container)), "{left:?}");
    handle.discard().await;
}

/// An agent with a strict job in its middle, whose leases are short.
struct Strict {
    place: Place,
    handle: slipway_agent::agent::Handle,
    container: String,
    _coordinator: FakeCoordinator,
}

impl Strict {
    async fn begun() -> Self {
        let coordinator = FakeCoordinator::start().await;
        coordinator.terms(3_000, 1_000);
        let place = Place::new(&coordinator);
        let handle = place.start().await;
        let strict = coordinator.assign_as(&endless(), true).await;
        coordinator.line(&strict, "ready").await;
        let container = place.containers().pop().unwrap();
        Self { place, handle, container, _coordinator: coordinator }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_job_ends_by_itself_when_its_agent_is_gone() {
    let Strict { place: _place, handle, container, _coordinator } = Strict::begun().await;
    // As if killed: nobody looks after the job any more, and nobody ends it.
    handle.trigger().raise(Stage::Now);
    handle.wait().await.unwrap();
    let ended = async {
        while runs(&container) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(fleet::coordinator::PATIENCE, ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlasts_its_lease_while_its_agent_is_upgraded() {
    let Strict { place, handle, container, _coordinator } = Strict::begun().await;
    handle.trigger().raise(Stage::HandOver);
    handle.wait().await.unwrap();
    // The usual lease would have ended by now, and the job's init with it.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(runs(&container), "the job goes on without its agent");
    let handle = place.start().await;
    let mut status = handle.status();
    status.wait_for(|status| status.connected && status.jobs == 1).await.unwrap();
    assert!(runs(&container), "the next process goes on with it");
    handle.discard().await;
}
