//! Jobs that take too much of the disk, on a small one: who does ends and hears why, and the others go on.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use fleet::coordinator::{FakeCoordinator, Job};
use fleet::{Place, job, run};
use slipway_agent::agent::Handle;
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::{Failure, Success};
use slipway_workflow::job_spec::ContainerSpec;

/// Numbers that a job prints over some seconds.
const NUMBERS: usize = 80;

/// Writes 4 MiB after the other until it is ended.
const FILLS: &str = "n=0; while :; do dd if=/dev/zero of=file$n bs=1048576 count=4 2>/dev/null || echo full; n=$((n + 1)); sleep 0.1; done";

/// Takes all there is at once, and keeps it.
const FILLS_AT_ONCE: &str = "dd if=/dev/zero of=file bs=1048576; echo nothing is left; sleep 600";

/// A data directory on a disk of its own, made of memory. It goes with its value.
struct SmallDisk {
    place: Option<Place>,
    folder: PathBuf,
}

fn as_root(program: &str, arguments: &[&str]) -> bool {
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(program),
        false => {
            let mut command = Command::new("sudo");
            command.args(["--non-interactive", program]);
            command
        }
    };
    command.args(arguments).stderr(Stdio::null()).status().unwrap().success()
}

impl SmallDisk {
    fn new(coordinator: &FakeCoordinator, mebibytes: u32, arguments: &[&str]) -> Self {
        let mut place = Place::new(coordinator);
        place.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let folder = place.folder.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        let options = format!("size={mebibytes}m,mode=0777");
        assert!(as_root("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", folder.to_str().unwrap()]));
        Self { place: Some(place), folder }
    }

    fn place(&self) -> &Place {
        self.place.as_ref().unwrap()
    }

    /// Drains the agent; nothing of its jobs is left.
    async fn leave_nothing(&self, handle: Handle) {
        handle.trigger().raise(Stage::Drain);
        handle.wait().await.unwrap();
        assert_eq!(self.place().containers(), Vec::<String>::new());
        assert_eq!(self.place().networks(), Vec::<String>::new());
        assert_eq!(self.place().jobs(), 0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let id = self.place().id();
        for container in self.place().containers() {
            let _ = Command::new("docker").args(["rm", "--force", &container]).output();
        }
        // Lazily: a container that is just going may still have a folder of it.
        as_root("umount", &["--lazy", self.folder.to_str().unwrap()]);
        // For what the place removes in the end.
        let _ = std::fs::write(self.folder.join("agent.id"), id);
        drop(self.place.take());
    }
}

fn numbers() -> String {
    format!("n=0; while [ $n -lt {NUMBERS} ]; do n=$((n + 1)); echo $n; sleep 0.1; done")
}

/// The same image as `container:`, whose user is root.
fn root_container() -> ContainerSpec {
    ContainerSpec {
        image: fleet::text(fleet::IMAGE),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        credentials: None,
    }
}

/// It ended well, and each of its lines is there once.
fn expect_undisturbed(job: &Job) {
    assert_eq!(job.result(), Success);
    let numbers: Vec<usize> = job.lines().iter().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=NUMBERS), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_passes_its_limit_ends_and_the_other_goes_on() {
    let coordinator = FakeCoordinator::start().await;
    let arguments = ["--job-disk", "64MiB", "--disk-low", "off", "--disk-full", "off"];
    let disk = SmallDisk::new(&coordinator, 1_024, &arguments);
    let handle = disk.place().start().await;
    let other = coordinator.assign(&job(vec![run("count", &numbers())])).await;
    let filler = coordinator.assign(&job(vec![run("fill", FILLS), run("after", "echo goes on")])).await;
    let filler = coordinator.report(&filler).await;
    // It is the work's: it would do so anywhere.
    assert_eq!(filler.result(), Failure);
    let message = &filler.work().message;
    assert!(message.contains("its limit is 64 MiB (--job-disk)"), "{message}");
    let told = format!("##[error]{message}");
    assert_eq!(filler.lines().iter().filter(|line| **line == told).count(), 1, "{:?}", filler.lines());
    assert!(!filler.lines().iter().any(|line| line == "goes on"));
    expect_undisturbed(&coordinator.report(&other).await);

    let next = coordinator.assign(&job(vec![run("hello", "echo hello")])).await;
    assert_eq!(coordinator.report(&next).await.result(), Success);
    disk.leave_nothing(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_writes_outside_of_its_folder_counts_for_the_limit() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    let arguments = ["--job-disk", "64MiB", "--disk-low", "off", "--disk-full", "off"];
    place.arguments.extend(arguments.map(str::to_owned));
    let handle = place.start().await;
    // In its image's own folders, which are the engine's.
    let elsewhere = "dd if=/dev/zero of=/file bs=1048576 count=100 2>/dev/null; sleep 600";
    let mut spec = job(vec![run("fill", elsewhere)]);
    spec.container = Some(root_container());
    let filler = coordinator.assign(&spec).await;
    let filler = coordinator.report(&filler).await;
    assert_eq!(filler.result(), Failure);
    assert!(filler.work().message.contains("--job-disk"), "{}", filler.work().message);
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers(), place.jobs()), (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_keeps_new_jobs_away_and_then_ends_who_uses_most() {
    let coordinator = FakeCoordinator::start().await;
    let arguments = ["--disk-low", "160MiB", "--disk-full", "80MiB"];
    let disk = SmallDisk::new(&coordinator, 320, &arguments);
    let handle = disk.place().start().await;
    let other = coordinator.assign(&job(vec![run("count", &numbers())])).await;
    let filler = coordinator.assign(&job(vec![run("fill", FILLS)])).await;
    let said = coordinator.paused(|said| !said.is_empty()).await;
    assert!(said[0].starts_with("low disk: ") && said[0].contains(" free of 320 MiB at "), "{said:?}");
    let filler = coordinator.report(&filler).await;
    // It is the fleet's: another agent may have room for it.
    let fleet = filler.fleet();
    assert_eq!(fleet.cause, "disk_full");
    assert!(fleet.message.contains("this job uses most of it"), "{}", fleet.message);
    let told = format!("##[error]{}", fleet.message);
    assert!(filler.lines().contains(&told), "{:?}", filler.lines());
    let said = coordinator.paused(str::is_empty).await;
    assert!(said.iter().any(|said| said.starts_with("low disk: ")), "{said:?}");

    let next = coordinator.assign(&job(vec![run("hello", "echo hello")])).await;
    assert_eq!(coordinator.report(&next).await.result(), Success, "it takes jobs again");
    expect_undisturbed(&coordinator.report(&other).await);
    disk.leave_nothing(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_to_the_last_byte_holds_the_others_up_and_fails_none_of_them() {
    let coordinator = FakeCoordinator::start().await;
    let disk = SmallDisk::new(&coordinator, 256, &["--disk-low", "96MiB", "--disk-full", "48MiB"]);
    let handle = disk.place().start().await;
    let other = coordinator.assign(&job(vec![run("count", &numbers())])).await;
    coordinator.line(&other, "5").await;
    let filler = coordinator.assign(&job(vec![run("fill", FILLS_AT_ONCE)])).await;
    let filler = coordinator.report(&filler).await;
    assert_eq!(filler.fleet().cause, "disk_full");
    expect_undisturbed(&coordinator.report(&other).await);
    coordinator.paused(str::is_empty).await;
    disk.leave_nothing(handle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_left_as_root_breaks_no_later_one() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut left = job(vec![run(
        "leave",
        "id -u; mkdir -p deep/er; echo secret > deep/er/file; chmod 000 deep/er/file deep/er deep",
    )]);
    left.container = Some(root_container());
    let left = coordinator.assign(&left).await;
    let left = coordinator.report(&left).await;
    assert_eq!(left.result(), Success);
    assert!(left.lines().contains(&"0".to_owned()), "{:?}", left.lines());
    let next =
        coordinator.assign(&job(vec![run("work", "id -u; ls; mkdir deep; echo mine > deep/file")])).await;
    let next = coordinator.report(&next).await;
    assert_eq!(next.result(), Success);
    assert!(next.lines().contains(&"1001".to_owned()) && !next.lines().contains(&"deep".to_owned()));
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.jobs(), 0, "whoever owns what was left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_a_low_disk_takes_nothing_and_says_why() {
    let coordinator = FakeCoordinator::start().await;
    let disk = SmallDisk::new(&coordinator, 128, &["--disk-low", "1TiB"]);
    let handle = disk.place().start().await;
    let said = coordinator.paused(|said| !said.is_empty()).await;
    assert!(said[0].starts_with("low disk: "), "{said:?}");
    coordinator.assign(&job(vec![run("hello", "echo hello")])).await;
    let declined = coordinator.declined().await;
    assert!(declined.reason.starts_with("low disk: "), "{}", declined.reason);
    disk.leave_nothing(handle).await;
}
