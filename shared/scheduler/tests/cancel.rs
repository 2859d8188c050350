//! Cancelling a run.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{FAILURE, RUN, SUCCESS, Scene, expansion, fleet_failure, instances, kinds, ready};
use slipway_scheduler::command::{Cancel, Expansion, Resolution, ResolveJob};
use slipway_scheduler::{Command, FleetCause, JobResult, Outcome, Rejection};

#[test]
fn what_waits_ends_and_what_runs_is_asked_to() {
    let mut scene = Scene::with(&["a", "b"]);
    scene.resolve("a", Resolution::Instances(Expansion { max_parallel: Some(2), ..expansion(&[1, 2, 3]) }));
    scene.expand("b", &[4]);
    let leases = scene.grant(1, 1);
    let events = scene.cancel();
    assert_eq!(
        kinds(&events),
        [
            "run_cancelled",
            "cancel_requested",
            "instance_finished",
            "instance_finished",
            "instance_finished",
            "job_finished"
        ]
    );
    assert_eq!(scene.job_result("b"), Some(JobResult::Cancelled));
    scene.report(leases[0], Outcome::Cancelled);
    assert_eq!(scene.run_result(), Some(JobResult::Cancelled));
    let again = Command::Cancel(Cancel { run: RUN, actor: String::new(), reason: String::new() });
    assert_eq!(scene.attempt(again), Err(Rejection::AlreadyFinished { run: RUN }));
}

#[test]
fn jobs_that_always_run_still_do_and_a_second_cancel_stops_them() {
    let mut scene = Scene::with(&["a", "clean: a"]);
    scene.expand("a", &[1]);
    assert_eq!(ready(&scene.cancel()), ["clean"]);
    let run = scene.state.run(RUN).unwrap();
    assert!(run.cancelled().is_some() && run.job("clean").unwrap().lineage().cancelled);
    scene.expand("clean", &[2]);
    let lease = scene.grant(1, 1)[0];
    assert_eq!(kinds(&scene.cancel()), ["cancel_requested"]);
    assert_eq!(scene.cancel(), []);
    scene.report(lease, Outcome::Cancelled);
    assert_eq!(scene.run_result(), Some(JobResult::Cancelled));
}

#[test]
fn a_job_planned_before_the_cancel_is_planned_again() {
    let mut scene = Scene::with(&["a"]);
    assert_eq!(ready(&scene.cancel()), ["a"]);
    let resolve = |cancelled| {
        Command::ResolveJob(ResolveJob { run: RUN, job: "a".into(), cancelled, resolution: instances(&[1]) })
    };
    assert_eq!(scene.attempt(resolve(false)), Err(Rejection::StaleResolution { job: "a".into() }));
    assert_eq!(scene.cancel(), [], "it is being planned already");
    scene.run(resolve(true));
}

#[test]
fn a_cancelled_run_is_cancelled_unless_it_failed_or_finished_all() {
    for (outcome, then_skipped, result) in [
        (SUCCESS, false, JobResult::Success),
        (SUCCESS, true, JobResult::Cancelled),
        (FAILURE, true, JobResult::Failure),
        (Outcome::Cancelled, false, JobResult::Cancelled),
        (fleet_failure(FleetCause::AgentLost), false, JobResult::Cancelled),
    ] {
        let mut scene = Scene::with(if then_skipped { &["a", "b: a"] } else { &["a"] });
        scene.expand("a", &[1]);
        let lease = scene.grant(1, 1)[0];
        scene.cancel();
        scene.report(lease, outcome);
        if then_skipped {
            scene.skip("b");
        }
        assert_eq!(scene.run_result(), Some(result), "{outcome:?}");
    }
}

#[test]
fn one_that_does_not_stop_is_ended() {
    let mut scene = Scene::with(&["a"]);
    scene.expand("a", &[1]);
    let lease = scene.grant(1, 1)[0];
    scene.cancel();
    scene.run(Command::TimeOutInstance(lease));
    assert_eq!(scene.result(1), Some(JobResult::Cancelled));
}

#[test]
fn only_a_finished_run_is_retired() {
    let mut scene = Scene::with(&["a"]);
    assert_eq!(scene.attempt(Command::RetireRun { run: RUN }), Err(Rejection::NotFinished { run: RUN }));
    scene.finish("a", &[(1, SUCCESS)]);
    assert_eq!(scene.state.retirable(0).collect::<Vec<_>>(), [RUN]);
    assert_eq!(scene.state.retirable(1).count(), 0);
    scene.run(Command::RetireRun { run: RUN });
    assert!(scene.state.run(RUN).is_none() && scene.state.runs().next().is_none());
    assert_eq!(scene.attempt(Command::RetireRun { run: RUN }), Err(Rejection::UnknownRun { run: RUN }));
}
