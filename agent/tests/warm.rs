//! Containers that wait for jobs: each is one job's, as good as one that was made for it, and never in the way.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::process::Command;
use std::time::Duration;

use fleet::coordinator::{FakeCoordinator, Job};
use fleet::{IMAGE, Place, Process, job, run, text};
use serde_json::Value;
use slipway_agent::agent::Handle;
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::{ContainerSpec, JobSpec};

/// Says in which container it is: the engine names the host so.
const WHERE: &str = "echo in $(hostname)";

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The containers of this place that wait, by the names that the engine gives their hosts.
fn waiting(place: &Place) -> Vec<String> {
    let own = format!("label=slipway.agent={}", place.id());
    let ids = docker(&["ps", "--quiet", "--filter", &own, "--filter", "name=slipway-waiting-"]);
    ids.lines().map(str::to_owned).collect()
}

/// Waits until so many wait, and none of them is one of these.
async fn until_waiting(place: &Place, count: usize, not: &[String]) -> Vec<String> {
    for _ in 0..1_200 {
        let found = waiting(place);
        if found.len() == count && !found.iter().any(|id| not.contains(id)) {
            // The agent hears of its init a moment after the engine knows it.
            tokio::time::sleep(Duration::from_millis(500)).await;
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{count} never waited: {:?}", waiting(place));
}

/// Where a job says that it was.
fn place_of(job: &Job) -> String {
    assert_eq!(job.result(), Success, "{:#?}", job.lines());
    let lines = job.lines();
    let line = lines.iter().find_map(|line| line.strip_prefix("in "));
    line.unwrap_or_else(|| panic!("{lines:#?}")).to_owned()
}

async fn run_one(coordinator: &FakeCoordinator, spec: &JobSpec) -> String {
    let instance = coordinator.assign(spec).await;
    place_of(&coordinator.report(&instance).await)
}

/// Drains an agent and checks that nothing of it is left.
async fn leave_nothing(handle: Handle, place: &Place) {
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!((place.containers(), place.networks(), place.jobs()), (Vec::new(), Vec::new(), 0));
    assert_eq!(std::fs::read_dir(place.folder.path().join("data/sandboxes")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_takes_the_one_that_waits_and_finds_nothing_of_another() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator).warm(1);
    let handle = place.start().await;
    let leave = format!("{WHERE}; for at in . $RUNNER_TEMP /dev/shm; do echo 1 > $at/mine; done");
    let look = format!("{leave}; find /home /dev/shm -name mine; echo run $GITHUB_WORKSPACE");
    let spec = job(vec![run("leave", &leave)]);
    let mut seen = vec![run_one(&coordinator, &spec).await];
    for _ in 0..3 {
        let there = until_waiting(&place, 1, &seen).await;
        let instance = coordinator.assign(&job(vec![run("look", &look)])).await;
        let report = coordinator.report(&instance).await;
        assert_eq!(place_of(&report), there[0]);
        let mut mine: Vec<_> = report.lines().into_iter().filter(|line| line.ends_with("/mine")).collect();
        mine.sort();
        let work = "/home/runner/work";
        let own =
            ["/dev/shm/mine".to_owned(), format!("{work}/_temp/mine"), format!("{work}/hello/hello/mine")];
        assert_eq!(mine, own, "its own and no others");
        assert!(report.lines().contains(&"run /home/runner/work/hello/hello".to_owned()));
        seen.extend(there);
    }
    // One per job, and each only once.
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_at_once_have_one_each_and_those_that_ask_for_more_their_own() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator).warm(1);
    let handle = place.start().await;
    let first = run_one(&coordinator, &job(vec![run("first", WHERE)])).await;
    let there = until_waiting(&place, 1, &[first]).await;
    // `container:`, though of the same image, may ask for anything.
    let mut spec = job(vec![run("own", WHERE)]);
    spec.container = Some(ContainerSpec {
        image: text(IMAGE),
        credentials: None,
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
    });
    let own = run_one(&coordinator, &spec).await;
    assert!(!there.contains(&own));
    assert_eq!(waiting(&place), there, "it waits on");
    let both = job(vec![run("both", &format!("{WHERE}; until [ -e ../stop ]; do sleep 0.1; done"))]);
    let (one, other) = (coordinator.assign(&both).await, coordinator.assign(&both).await);
    for instance in [&one, &other] {
        let name = format!("name=slipway-{instance}");
        for _ in 0..600 {
            if !docker(&["ps", "--quiet", "--filter", &name]).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let id = docker(&["ps", "--quiet", "--filter", &name]);
        docker(&["exec", &id, "touch", "/home/runner/work/hello/stop"]);
    }
    let places = [place_of(&coordinator.report(&one).await), place_of(&coordinator.report(&other).await)];
    assert_ne!(places[0], places[1]);
    assert_eq!(places.iter().filter(|place| there.contains(place)).count(), 1);
    leave_nothing(handle, &place).await;
}

/// Whatever happens to one that waits, no job fails for it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_of_no_use_is_replaced() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator).warm(1);
    let handle = place.start().await;
    let spec = job(vec![run("where", WHERE)]);
    let mut seen = vec![run_one(&coordinator, &spec).await];
    // Killed; removed; some of its files taken away.
    for trouble in 0..3 {
        let there = until_waiting(&place, 1, &seen).await;
        match trouble {
            0 => drop(docker(&["kill", &there[0]])),
            1 => drop(docker(&["rm", "--force", &there[0]])),
            _ => {
                for entry in std::fs::read_dir(place.folder.path().join("data/sandboxes")).unwrap() {
                    std::fs::remove_dir_all(entry.unwrap().path().join("work")).unwrap();
                }
            }
        }
        let next = run_one(&coordinator, &spec).await;
        assert!(!there.contains(&next), "{trouble}");
        seen.extend(there);
        seen.push(next);
    }
    until_waiting(&place, 1, &seen).await;
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agents_job_goes_on_in_its_own_and_what_waited_is_removed() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator).warm(2);
    let process = Process::start(&place);
    let first = run_one(&coordinator, &job(vec![run("first", WHERE)])).await;
    let there = until_waiting(&place, 2, &[first]).await;
    let spec = job(vec![
        run("begin", &format!("{WHERE}; echo ready; sleep 3; echo on")),
        run("end", "echo hash ${{ hashFiles('**') }}; echo end"),
    ]);
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "ready").await;
    drop(process);
    let handle = place.start().await;
    let job = coordinator.report(&instance).await;
    let taken = place_of(&job);
    assert!(there.contains(&taken));
    assert!(job.lines().contains(&"end".to_owned()));
    for id in there.iter().filter(|id| **id != taken) {
        let found = docker(&["ps", "--all", "--quiet", "--filter", &format!("id={id}")]);
        assert_eq!(found, "", "what waited is gone with its agent");
    }
    leave_nothing(handle, &place).await;
}

/// What keeps a job apart from the machine, as the engine was told it; places and networks differ with each container.
fn confinement(id: &str) -> Value {
    let mut told: Value =
        serde_json::from_str(&docker(&["inspect", "--format", "{{json .HostConfig}}", id])).unwrap();
    told["NetworkMode"] = Value::Null;
    let mounts = told["Mounts"].as_array_mut().unwrap();
    for mount in mounts.iter_mut() {
        let target = mount["Target"].as_str().unwrap();
        let target = target.strip_prefix("/.slipway-").map_or(target, |_| "init").to_owned();
        let source = mount["Source"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        mount["Target"] = target.into();
        mount["Source"] = source.into();
    }
    mounts.sort_by_key(|mount| mount["Target"].to_string());
    let config: Value =
        serde_json::from_str(&docker(&["inspect", "--format", "{{json .Config}}", id])).unwrap();
    let networks = docker(&["inspect", "--format", "{{len .NetworkSettings.Networks}}", id]);
    serde_json::json!([told, config["User"], config["Env"], config["WorkingDir"], networks])
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_confined_as_any_other() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator).warm(1);
    place.arguments.extend(["--accept-untrusted", "--job-memory", "256m"].map(str::to_owned));
    let handle = place.start().await;
    let spec =
        job(vec![run("wait", &format!("{WHERE}; echo ready; until [ -e ../stop ]; do sleep 0.1; done"))]);
    let mut told = Vec::new();
    for round in 0..2 {
        let there = if round == 0 { Vec::new() } else { until_waiting(&place, 1, &[]).await };
        let instance = coordinator.assign(&spec).await;
        coordinator.line(&instance, "ready").await;
        let id = docker(&["ps", "--quiet", "--filter", &format!("name=slipway-{instance}")]);
        assert_eq!(there.contains(&id), round == 1);
        told.push(confinement(&id));
        docker(&["exec", &id, "touch", "/home/runner/work/hello/stop"]);
        assert_eq!(place_of(&coordinator.report(&instance).await), id);
    }
    assert_eq!(told[0], told[1]);
    leave_nothing(handle, &place).await;
}
