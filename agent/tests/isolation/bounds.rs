//! Jobs without measure: the kernel stops them, and their neighbour goes on.

use slipway_proto::v1;
use slipway_proto::v1::Result::{Failure, Success};

use super::fleet::{IMAGE, job, run};
use super::{Scene, container, expect_lines};

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_ends_with_its_job_and_its_neighbour_goes_on() {
    let scene = Scene::with(&["--job-pids", "64"]).await;
    let neighbour = job(vec![run(
        "work",
        "echo here; for i in 1 2 3 4 5 6 7 8 9 10; do sh -c 'sleep 0.2' || exit 1; done; echo worked",
    )]);
    let neighbour = scene.coordinator.assign(&neighbour).await;
    scene.coordinator.line(&neighbour, "here").await;
    // Until no process can be made: the shell ends then.
    let bomb = "for i in $(seq 500); do sleep 600 >/dev/null 2>&1 & done; echo never";
    let bomb = scene.run(&job(vec![run("bomb", bomb)])).await;
    assert_eq!(bomb.result(), Failure);
    assert!(bomb.lines().iter().any(|line| line.contains("fork")), "{:#?}", bomb.lines());
    assert!(!bomb.lines().iter().any(|line| line == "never"), "{:#?}", bomb.lines());
    let neighbour = scene.coordinator.report(&neighbour).await;
    assert_eq!(neighbour.result(), Success, "{:#?}", neighbour.lines());
    expect_lines(&neighbour, &["worked"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_more_memory_than_it_may_ends_alone_and_says_so() {
    let scene = Scene::with(&["--job-memory", "96m"]).await;
    // It holds a part of its own share all the while.
    let neighbour = "x=$(awk 'BEGIN { x = \"12345678\"; for (i = 0; i < 20; i++) x = x x; print x }'); echo here\n\
                     until [ -e go ]; do sleep 0.1; done; echo kept ${#x}";
    let neighbour = scene.coordinator.assign(&job(vec![run("work", neighbour)])).await;
    scene.coordinator.line(&neighbour, "here").await;
    let hog = run("hog", "awk 'BEGIN { x = \"12345678\"; while (1) x = x x }'; exit $?");
    let hog = scene.run(&job(vec![hog, run("never", "echo never")])).await;
    assert_eq!(hog.result(), Failure);
    let lines = hog.lines();
    let told = "ran out of memory (its limit is 96 MiB)";
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:#?}");
    assert!(!lines.iter().any(|line| line == "never"), "{lines:#?}");
    let go = scene.coordinator.assign(&job(vec![run("other", "echo after")])).await;
    let other = scene.coordinator.report(&go).await;
    expect_lines(&other, &["after"]);
    let work = scene.place.folder.path().join("data/jobs");
    for entry in std::fs::read_dir(work).unwrap() {
        std::fs::write(entry.unwrap().path().join("work/hello/hello/go"), "now\n").unwrap();
    }
    let neighbour = scene.coordinator.report(&neighbour).await;
    assert_eq!(neighbour.result(), Success, "{:#?}", neighbour.lines());
    expect_lines(&neighbour, &["kept 8388608"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_cannot_raise_its_limits() {
    let scene = Scene::with(&["--job-pids", "64", "--job-memory", "96m", "--job-cpus", "0.5"]).await;
    let look = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true; \
                cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true; \
                cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d ' ' -f 1 /sys/fs/cgroup/cpu.max";
    let mut spec = job(vec![run("look", look)]);
    spec.container = container(IMAGE, &[], "--pids-limit -1 --memory 64g --cpus 512");
    let job = scene.run(&spec).await;
    expect_lines(&job, &["64", &(96 << 20).to_string(), "50000"]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_bounds_its_job_and_its_services_and_the_coordinator_hears_of_it() {
    let arguments = ["--cpus", "2", "--memory", "1g", "--size", "large=1.5:512m", "--job-cpus", "0.5"];
    let scene = Scene::with(&[&arguments[..], &["--job-memory", "96m"]].concat()).await;
    let sizing = scene.coordinator.hello().await.sizing.expect("it counts them");
    let amount = |cpu_millis, mebibytes: u64| v1::Resources { cpu_millis, memory_bytes: mebibytes << 20 };
    assert_eq!((sizing.total, sizing.each), (Some(amount(2_000, 1_024)), Some(amount(500, 96))));
    assert_eq!(sizing.sizes, [("large".to_owned(), amount(1_500, 512))].into());
    let look = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true; \
                cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d ' ' -f 1 /sys/fs/cgroup/cpu.max";
    for (labels, memory, quota) in [(&["large"] as &[&str], 512, "150000"), (&[], 96, "50000")] {
        let mut spec = job(vec![run("look", look)]);
        spec.labels.extend(labels.iter().map(|&label| label.to_owned()));
        expect_lines(&scene.run(&spec).await, &[&(memory << 20_u64).to_string(), quota]);
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_processors_than_there_are_is_no_bound_and_no_hindrance() {
    let scene = Scene::with(&["--job-cpus", "1000"]).await;
    for options in ["", "--cpus 512"] {
        let mut spec = job(vec![run("work", "echo worked")]);
        spec.container = container(IMAGE, &[], options);
        expect_lines(&scene.run(&spec).await, &["worked"]);
    }
    scene.end().await;
}
