//! Jobs in real containers: what their steps do is what the coordinator gets.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use fleet::coordinator::FakeCoordinator;
use fleet::{Place, entry, job, run, when};
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::{Cancelled, Failure, Skipped, Success};

/// Drains an agent and checks that nothing of it is left.
async fn leave_nothing(handle: slipway_agent::agent::Handle, place: &Place) {
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.containers(), Vec::<String>::new());
    assert_eq!(place.networks(), Vec::<String>::new());
    assert_eq!(place.jobs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_its_steps_and_leaves_nothing() {
    let coordinator = FakeCoordinator::start().await;
    coordinator.secret("KEY", "hunter22");
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![
        run(
            "one",
            "echo \"greeting=hello\" >> $GITHUB_OUTPUT; echo \"FROM_ONE=1\" >> $GITHUB_ENV; id -u; pwd",
        ),
        run(
            "two",
            "echo ${{ steps.one.outputs.greeting }}-$FROM_ONE; echo secret ${{ secrets.KEY }}; cat $GITHUB_EVENT_PATH",
        ),
    ]);
    spec.outputs =
        vec![entry("said", "${{ steps.one.outputs.greeting }}"), entry("leak", "${{ secrets.KEY }}")];
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Success);
    assert_eq!(job.work().outputs.get("said").map(String::as_str), Some("hello"));
    assert_eq!(job.work().outputs.get("leak"), None);
    let lines = job.lines();
    for line in
        ["1001", "/home/runner/work/hello/hello", "hello-1", "secret ***", "{\"ref\":\"refs/heads/main\"}"]
    {
        assert!(lines.iter().any(|found| found == line), "`{line}` is not in\n{}", lines.join("\n"));
    }
    assert!(!lines.iter().any(|line| line.contains("hunter22")));
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_only_who_asks_for_it_runs() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let forgiven = slipway_workflow::job_spec::StepSpec {
        continue_on_error: Some(fleet::text("true")),
        ..run("forgiven", "exit 4")
    };
    let spec = job(vec![
        forgiven,
        run("fails", "exit 3"),
        run("skipped", "echo never"),
        when("failure()", run("on failure", "echo told")),
        when("always()", run("always", "echo ${{ job.status }} ${{ steps.forgiven.outcome }}")),
    ]);
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Failure);
    let expected = [
        ("forgiven", Failure, Success),
        ("fails", Failure, Failure),
        ("skipped", Skipped, Skipped),
        ("on failure", Success, Success),
        ("always", Success, Success),
    ];
    assert_eq!(job.steps(), expected.map(|(name, outcome, end)| (name.to_owned(), outcome, end)));
    assert!(job.lines().iter().any(|line| line == "failure failure"), "{:?}", job.lines());
    assert!(job.lines().iter().any(|line| line == "##[error]Process completed with exit code 3."));
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_interrupts_and_still_cleans_up() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let spec = job(vec![
        run("long", "trap 'echo interrupted; exit 1' INT; echo ready; while :; do sleep 0.1; done"),
        run("skipped", "echo never"),
        when("cancelled()", run("after", "echo after")),
    ]);
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "ready").await;
    coordinator.cancel(&instance).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Cancelled);
    assert!(job.lines().iter().any(|line| line == "interrupted"), "{:?}", job.lines());
    let expected =
        [("long", Cancelled, Cancelled), ("skipped", Skipped, Skipped), ("after", Success, Success)];
    assert_eq!(job.steps(), expected.map(|(name, outcome, end)| (name.to_owned(), outcome, end)));
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_end_steps_and_jobs() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let hasty = slipway_workflow::job_spec::StepSpec {
        timeout_minutes: Some(fleet::text("0.005")),
        ..run("hasty", "sleep 1000")
    };
    let instance = coordinator.assign(&job(vec![hasty, when("failure()", run("told", "true"))])).await;
    let mut spec = job(vec![run("endless", "sleep 1000"), when("always()", run("last", "true"))]);
    spec.timeout_ms = 300;
    let limited = coordinator.assign(&spec).await;
    let ended = coordinator.report(&instance).await;
    assert_eq!(ended.result(), Failure);
    assert!(!ended.work().timed_out);
    assert_eq!(ended.steps().iter().map(|step| step.1).collect::<Vec<_>>(), [Failure, Success]);
    let ended = coordinator.report(&limited).await;
    assert_eq!(ended.result(), Failure);
    assert!(ended.work().timed_out);
    assert_eq!(ended.steps().iter().map(|step| step.1).collect::<Vec<_>>(), [Cancelled, Success]);
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_nowhere_is_the_fleets_failure() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    place.arguments.extend(["--image".to_owned(), "missing=127.0.0.1:1/slipway/no-such-image:0".to_owned()]);
    let handle = place.start().await;
    let mut spec = job(vec![run("never", "echo never")]);
    spec.labels = vec!["missing".to_owned()];
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    let failure = job.fleet();
    assert!(["image_pull", "image_not_found"].contains(&failure.cause.as_str()), "{failure:?}");
    assert!(failure.message.contains("no-such-image"), "{failure:?}");
    assert_eq!(job.steps(), []);
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_image_that_was_not_made_is_asked_of_no_registry() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    place.arguments.extend(["--image".to_owned(), "missing=slipway/runner:never-made".to_owned()]);
    let handle = place.start().await;
    let mut spec = job(vec![run("never", "echo never")]);
    spec.labels = vec!["missing".to_owned()];
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    let failure = job.fleet();
    assert_eq!(failure.cause, "image_not_found", "{failure:?}");
    for words in ["never pulled", "scripts/runner-image.sh", "--default-image"] {
        assert!(failure.message.contains(words), "{failure:?}");
    }
    assert!(!job.lines().iter().any(|line| line.contains("Pulling")), "{:?}", job.lines());
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_arrives_whatever_it_is() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let long = 10 * 1024 * 1024;
    let spec = job(vec![
        run("long line", &format!("head -c {long} /dev/zero | tr '\\0' 'x'; echo")),
        run("binary", "printf '\\377\\000\\001\\n'; printf 'no end'"),
        run("left behind", "(sleep 1000; echo never) & echo done"),
        run("next", "echo next"),
    ]);
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Success);
    let lines = job.lines();
    assert!(lines.iter().any(|line| line.len() == long && line.bytes().all(|byte| byte == b'x')));
    assert!(lines.iter().any(|line| line == "\u{fffd}\0\u{1}"));
    for line in ["no end", "done", "next"] {
        assert!(lines.iter().any(|found| found == line), "{line}");
    }
    leave_nothing(handle, &place).await;
}

fn container(image: &str, options: Option<&str>) -> slipway_workflow::job_spec::ContainerSpec {
    slipway_workflow::job_spec::ContainerSpec {
        image: fleet::text(image),
        env: vec![entry("FROM_CONTAINER", "yes")],
        ports: Vec::new(),
        volumes: Vec::new(),
        options: options.map(fleet::text),
        credentials: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_job_has_githubs_folders_and_the_images_user() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![run(
        "look",
        "id -u; pwd; echo $HOME $FROM_CONTAINER; hostname; cat $GITHUB_EVENT_PATH; echo; echo $0",
    )]);
    spec.container = Some(container(fleet::IMAGE, Some("--hostname inside --memory 256m")));
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Success, "{:?}", job.lines());
    for line in ["0", "/__w/hello/hello", "/github/home yes", "inside", "{\"ref\":\"refs/heads/main\"}"] {
        assert!(job.lines().iter().any(|found| found == line), "`{line}` is not in {:?}", job.lines());
    }
    leave_nothing(handle, &place).await;
}

/// As Docker has it: those the image lists, unless a group is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_all_groups_of_its_user() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    for (options, groups) in [
        (None, "1001 999"),
        (Some("--user runner"), "1001 999"),
        (Some("--user 1001 --group-add 7"), "1001 7 999"),
        (Some("--user runner:runner"), "1001"),
    ] {
        let mut spec = job(vec![run("look", "id -G")]);
        spec.container = options.map(|options| container(fleet::IMAGE, Some(options)));
        let instance = coordinator.assign(&spec).await;
        let job = coordinator.report(&instance).await;
        assert_eq!(job.result(), Success, "{options:?}: {:?}", job.lines());
        assert!(job.lines().iter().any(|found| found == groups), "{options:?}: {:?}", job.lines());
    }
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_is_not_supported_fails_the_job_by_name() {
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![run("never", "echo never")]);
    spec.container = Some(container(fleet::IMAGE, Some("--network host")));
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Failure);
    assert!(job.work().message.contains("--network"), "{:?}", job.work());
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_outgrows_its_memory_is_told_so() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    place.arguments.extend(["--job-memory", "64m"].map(str::to_owned));
    let handle = place.start().await;
    let spec = job(vec![
        run("greedy", "dd if=/dev/zero of=/dev/null bs=256M count=1"),
        when("failure()", run("after", "echo after")),
    ]);
    let instance = coordinator.assign(&spec).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.result(), Failure);
    assert!(job.work().message.contains("out of memory (its limit is 64 MiB)"), "{:?}", job.lines());
    assert!(job.lines().iter().any(|line| line == "after"));
    leave_nothing(handle, &place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_another_architecture_is_refused() {
    let coordinator = FakeCoordinator::start().await;
    let mut place = Place::new(&coordinator);
    let foreign = if std::env::consts::ARCH == "x86_64" { "ARM64" } else { "X64" };
    place.arguments.extend(["--arch", foreign, "--allow-emulation", foreign].map(str::to_owned));
    let handle = place.start().await;
    assert_eq!(coordinator.hello().await.architecture, foreign);
    let instance = coordinator.assign(&job(vec![run("never", "echo never")])).await;
    let job = coordinator.report(&instance).await;
    assert_eq!(job.fleet().cause, "image_not_found");
    assert!(job.fleet().message.contains(fleet::IMAGE), "{:?}", job.fleet());
    leave_nothing(handle, &place).await;
}
