//! How ends spread: instance to job to dependants to run.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{FAILURE, RUN, SUCCESS, Scene, expansion, fleet_failure, kinds, ready};
use slipway_cas::Digest;
use slipway_scheduler::command::{Expansion, Resolution};
use slipway_scheduler::{CancelReason, FleetCause, InstanceId, JobResult, Outcome};

use JobResult::{Cancelled, Failure, Skipped, Success};

#[test]
fn a_job_result_is_that_of_its_instances() {
    let cases: [(&[Outcome], JobResult); 6] = [
        (&[SUCCESS, SUCCESS], Success),
        (&[SUCCESS, FAILURE], Failure),
        (&[Outcome::Cancelled, SUCCESS], Cancelled),
        (&[Outcome::Cancelled, FAILURE], Failure),
        // As on GitHub: a job beyond its `timeout-minutes` is cancelled.
        (&[Outcome::TimedOut], Cancelled),
        (&[SUCCESS, Outcome::TimedOut, SUCCESS], Cancelled),
    ];
    for (outcomes, result) in cases {
        let mut scene = Scene::with(&["a"]);
        let ends: Vec<_> = (1..).zip(outcomes.iter().copied()).collect();
        scene.finish("a", &ends);
        assert_eq!(scene.job_result("a"), Some(result), "{outcomes:?}");
        assert_eq!(scene.run_result(), Some(result), "{outcomes:?}");
    }
}

#[test]
fn the_last_need_makes_a_job_ready() {
    let mut scene = Scene::with(&["a", "b", "c: a b", "d: c"]);
    scene.finish("a", &[(1, SUCCESS)]);
    scene.expand("b", &[2, 3]);
    let leases = scene.grant(1, 2);
    assert_eq!(ready(&scene.report(leases[0], SUCCESS)), [""; 0]);
    assert_eq!(ready(&scene.report(leases[1], SUCCESS)), ["c"]);
    assert_eq!(ready(&scene.skip("c")), ["d"]);
    assert_eq!(kinds(&scene.skip("d")), ["job_skipped", "job_finished", "run_finished"]);
    assert_eq!(scene.run_result(), Some(Success));
}

#[test]
fn lineage_reaches_over_a_rescued_job() {
    let mut scene = Scene::with(&["a", "rescue: a", "after: rescue"]);
    scene.finish("a", &[(1, FAILURE)]);
    scene.finish("rescue", &[(2, SUCCESS)]);
    let lineage = scene.state.run(RUN).unwrap().job("after").unwrap().lineage();
    assert!(lineage.failed && !lineage.skipped && !lineage.cancelled);
    assert!(!lineage.all_succeeded());
}

#[test]
fn a_skipped_run_is_skipped() {
    let mut scene = Scene::with(&["a", "b: a"]);
    scene.skip("a");
    assert!(scene.state.run(RUN).unwrap().job("b").unwrap().lineage().skipped);
    scene.skip("b");
    assert_eq!(scene.run_result(), Some(Skipped));
}

#[test]
fn continue_on_error_counts_as_success_and_shows_failure() {
    let mut scene = Scene::with(&["a", "b: a"]);
    let mut lenient = expansion(&[1]);
    lenient.instances[0].continue_on_error = true;
    scene.resolve("a", Resolution::Instances(lenient));
    let lease = scene.grant(1, 1)[0];
    let outputs = Some(Digest::of(b"{}"));
    scene.report(lease, Outcome::Failure { outputs });
    let run = scene.state.run(RUN).unwrap();
    let job = run.job("a").unwrap();
    assert_eq!((job.result(), job.conclusion()), (Some(Success), Some(Failure)));
    assert_eq!(job.outputs(), [Digest::of(b"{}")]);
    assert!(run.job("b").unwrap().lineage().all_succeeded());
    assert_eq!(scene.result(1), Some(Failure));
    scene.finish("b", &[(2, SUCCESS)]);
    assert_eq!(scene.run_result(), Some(Success));
}

#[test]
fn outputs_come_in_the_order_of_the_ends() {
    let mut scene = Scene::with(&["a"]);
    scene.expand("a", &[1, 2]);
    let leases = scene.grant(1, 2);
    let output = |text: &str| Outcome::Success { outputs: Some(Digest::of(text.as_bytes())) };
    scene.report(leases[1], output("second"));
    scene.report(leases[0], output("first"));
    let outputs = scene.state.run(RUN).unwrap().job("a").unwrap().outputs().to_vec();
    assert_eq!(outputs, [Digest::of(b"second"), Digest::of(b"first")]);
}

#[test]
fn fail_fast_stops_the_matrix() {
    let mut scene = Scene::with(&["a"]);
    scene.resolve("a", Resolution::Instances(Expansion { fail_fast: true, ..expansion(&[1, 2, 3]) }));
    let leases = scene.grant(1, 2);
    let events = scene.report(leases[0], FAILURE);
    assert_eq!(
        kinds(&events),
        ["attempt_finished", "instance_finished", "cancel_requested", "instance_finished"]
    );
    assert_eq!((scene.result(1), scene.result(2), scene.result(3)), (Some(Failure), None, Some(Cancelled)));
    let second = scene.state.instance(InstanceId::from_u128(2)).unwrap();
    assert_eq!(second.cancel(), Some(&CancelReason::FailFast { by: InstanceId::from_u128(1) }));
    // The fleet's failure of one that is to stop makes no new attempt.
    let events = scene.report(leases[1], fleet_failure(FleetCause::AgentLost));
    assert_eq!(kinds(&events), ["attempt_finished", "instance_finished", "job_finished", "run_finished"]);
    assert_eq!((scene.result(2), scene.run_result()), (Some(Cancelled), Some(Failure)));
}

#[test]
fn continue_on_error_does_not_trigger_fail_fast() {
    let mut scene = Scene::with(&["a"]);
    let mut matrix = Expansion { fail_fast: true, ..expansion(&[1, 2]) };
    matrix.instances[0].continue_on_error = true;
    scene.resolve("a", Resolution::Instances(matrix));
    let leases = scene.grant(1, 1);
    let events = scene.report(leases[0], FAILURE);
    assert_eq!(kinds(&events), ["attempt_finished", "instance_finished"]);
}

#[test]
fn max_parallel_holds_back_and_lets_the_next_one_up() {
    let mut scene = Scene::with(&["a"]);
    scene
        .resolve("a", Resolution::Instances(Expansion { max_parallel: Some(2), ..expansion(&[1, 2, 3, 4]) }));
    let leases = scene.grant(1, 10);
    assert_eq!(leases.len(), 2);
    // A new attempt keeps its place: nobody else moves up.
    let events = scene.report(leases[0], fleet_failure(FleetCause::InitLost));
    assert_eq!(kinds(&events), ["attempt_finished", "retry_scheduled"]);
    assert_eq!(scene.grant(1, 10).len(), 0);
    let events = scene.report(leases[1], SUCCESS);
    assert_eq!(kinds(&events), ["attempt_finished", "instance_finished", "instance_queued"]);
    assert_eq!(scene.grant(1, 10).first().map(|lease| lease.instance), Some(InstanceId::from_u128(3)));
}

#[test]
fn the_cause_of_a_fleet_failure_reaches_the_run() {
    let mut scene = Scene::with(&["a"]);
    scene.expand("a", &[1]);
    for _ in 0..2 {
        scene.pass(120_000);
        let lease = scene.grant(1, 1)[0];
        scene.report(lease, fleet_failure(FleetCause::ImageNotFound));
    }
    let instance = scene.state.instance(InstanceId::from_u128(1)).unwrap();
    assert_eq!((instance.result(), instance.cause()), (Some(Failure), Some(FleetCause::ImageNotFound)));
    let end = scene.state.run(RUN).unwrap().end().copied().unwrap();
    assert_eq!((end.result, end.cause), (Failure, Some(FleetCause::ImageNotFound)));
}
