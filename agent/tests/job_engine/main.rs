//! Private engines (`--job-engine private`): real jobs that build and run containers in a Docker engine of their own, and try to get out.
//! `scripts/engine-image.sh` makes the image that they need.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../fleet/mod.rs"]
mod fleet;

mod confined;
mod image;
mod killed;
mod machine;
mod used;

use fleet::coordinator::{FakeCoordinator, Job};
use fleet::{Place, text};
use slipway_agent::agent::Handle;
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::{ContainerSpec, JobSpec};

/// What each job begins with: an image of busybox alone, made of what the job runs in.
const BOX: &str = "set -e; box=$RUNNER_TEMP/box; mkdir -p $box/bin; cp /bin/busybox $box/bin; busybox --install -s $box/bin\n\
                   tar -C $box -c . | docker import --change 'ENV PATH=/bin' - box >/dev/null\n";

/// A coordinator, and an agent whose jobs have engines.
struct Scene {
    coordinator: FakeCoordinator,
    place: Place,
    handle: Handle,
}

impl Scene {
    async fn with(arguments: &[&str]) -> Self {
        Self::warm(0, arguments).await
    }

    /// With this many containers that wait.
    async fn warm(count: usize, arguments: &[&str]) -> Self {
        let coordinator = FakeCoordinator::start().await;
        let mut place = place(&coordinator).warm(count);
        place.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let handle = place.start().await;
        Self { coordinator, place, handle }
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

/// The settings of such an agent.
fn place(coordinator: &FakeCoordinator) -> Place {
    image::want();
    let mut place = Place::new(coordinator);
    let image = place.arguments.iter().position(|argument| argument == "--default-image").unwrap();
    image::IMAGE.clone_into(&mut place.arguments[image + 1]);
    let labelled =
        place.arguments.iter().position(|argument| argument.starts_with("ubuntu-latest=")).unwrap();
    place.arguments[labelled] = format!("ubuntu-latest={}", image::IMAGE);
    place.arguments.extend(["--job-engine".to_owned(), "private".to_owned()]);
    place
}

/// The job's `container:`.
fn container(volumes: &[&str]) -> Option<ContainerSpec> {
    Some(ContainerSpec {
        image: text(image::IMAGE),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: volumes.iter().map(|volume| text(volume)).collect(),
        options: Some(text("--user root")),
        credentials: None,
    })
}

/// Fails with the whole log unless the job succeeded and each of `lines` is in it.
fn expect_lines(job: &Job, lines: &[&str]) {
    let log = job.lines();
    assert_eq!(job.result(), Success, "{log:#?}");
    for line in lines {
        assert!(log.iter().any(|found| found == line), "`{line}` is not in {log:#?}");
    }
}
