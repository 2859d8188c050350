//! What jobs can and cannot reach: real jobs in real containers that try.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../fleet/mod.rs"]
mod fleet;

mod actions;
mod bounds;
mod deep;
mod kernel;
mod links;
mod metadata;
mod neighbours;
mod runtime;
mod volumes;

use std::process::Command;

use fleet::coordinator::{FakeCoordinator, Job};
use fleet::{Place, text};
use slipway_agent::agent::Handle;
use slipway_kit::shutdown::Stage;
use slipway_workflow::action::ActionReference;
use slipway_workflow::job_spec::{ContainerSpec, JobSpec, StepAction, StepSpec};

/// A coordinator and an agent with these more arguments.
struct Scene {
    coordinator: FakeCoordinator,
    place: Place,
    handle: Handle,
}

impl Scene {
    async fn with(arguments: &[&str]) -> Self {
        let coordinator = FakeCoordinator::start().await;
        let mut place = Place::new(&coordinator);
        if arguments.contains(&"--subnets") {
            let at = place.arguments.iter().position(|argument| argument == "--subnets").unwrap();
            place.arguments.drain(at..at + 2);
        }
        place.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let handle = place.start().await;
        Self { coordinator, place, handle }
    }

    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn run(&self, spec: &JobSpec) -> Job {
        let instance = self.coordinator.assign(spec).await;
        self.coordinator.report(&instance).await
    }

    /// Ends the agent; nothing of it stays.
    async fn end(self) {
        self.handle.trigger().raise(Stage::Drain);
        self.handle.wait().await.unwrap();
        assert_eq!(self.place.containers(), Vec::<String>::new());
        assert_eq!(self.place.networks(), Vec::<String>::new());
        assert_eq!(self.place.jobs(), 0);
    }
}

/// The job's `container:`.
fn container(image: &str, volumes: &[&str], options: &str) -> Option<ContainerSpec> {
    Some(ContainerSpec {
        image: text(image),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: volumes.iter().map(|volume| text(volume)).collect(),
        options: (!options.is_empty()).then(|| text(options)),
        credentials: None,
    })
}

/// A step that uses an action.
fn uses(id: &str, uses: &str, with: &[(&str, &str)]) -> StepSpec {
    let with = with.iter().map(|(key, value)| fleet::entry(key, value)).collect();
    let action = ActionReference::parse(uses).expect("a reference");
    let action = StepAction::Uses { uses: uses.to_owned(), action, with };
    StepSpec { action, ..fleet::run(id, "") }
}

fn docker(arguments: &[&str]) -> String {
    let done = Command::new("docker").args(arguments).output().unwrap();
    assert!(done.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Fails with the whole log unless each of `lines` is in it.
fn expect_lines(job: &Job, lines: &[&str]) {
    let log = job.lines();
    for line in lines {
        assert!(log.iter().any(|found| found == line), "`{line}` is not in {log:#?}");
    }
}
