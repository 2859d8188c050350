//! Environments that let one deployment at a time in.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{FAILURE, RUN, SUCCESS, Scene, definition, expansion, fleet_failure, kinds};
use slipway_scheduler::command::{
    Cancel, Concurrency, Expansion, InstanceDefinition, Queueing, Resolution, ResolveJob,
};
use slipway_scheduler::{
    Command, Event, Fleet, FleetCause, InstanceId, JobResult, Rejection, RunId, WaitReason, explain_wait,
};

const SECOND: RunId = RunId::from_u128(2);
const THIRD: RunId = RunId::from_u128(3);

fn deployment(number: u128) -> InstanceDefinition {
    InstanceDefinition { turn: Some("Production".into()), ..definition(number) }
}

/// A run whose only job became these.
fn submit(scene: &mut Scene, run: RunId, instances: Vec<InstanceDefinition>) -> Vec<Event> {
    scene.run(Command::Submit(Box::new(scene::submit(run, &["a"]))));
    plan(scene, run, instances)
}

fn plan(scene: &mut Scene, run: RunId, instances: Vec<InstanceDefinition>) -> Vec<Event> {
    let resolution = Resolution::Instances(Expansion { instances, ..expansion(&[]) });
    scene.run(Command::ResolveJob(ResolveJob { run, job: "a".into(), cancelled: false, resolution }))
}

fn cancel(scene: &mut Scene, run: RunId) -> Vec<Event> {
    scene.run(Command::Cancel(Cancel { run, actor: "me".into(), reason: String::new() }))
}

fn reason(scene: &Scene, number: u128) -> Option<WaitReason> {
    explain_wait(&scene.state, &Fleet::new(), InstanceId::from_u128(number), scene.now)
}

/// Three runs, each with one deployment.
fn three() -> Scene {
    let mut scene = Scene::new();
    for (run, number) in [(RUN, 1), (SECOND, 2), (THIRD, 3)] {
        submit(&mut scene, run, vec![deployment(number)]);
    }
    scene
}

#[test]
fn deployments_take_turns_in_the_order_in_which_they_came() {
    let mut scene = Scene::new();
    let first = submit(&mut scene, RUN, vec![deployment(1)]);
    assert_eq!(kinds(&first), ["job_expanded", "turn_taken"]);
    let lower = InstanceDefinition { turn: Some("production".into()), ..definition(2) };
    assert_eq!(kinds(&submit(&mut scene, SECOND, vec![lower])), ["job_expanded", "turn_awaited"]);
    submit(&mut scene, THIRD, vec![deployment(3)]);
    let holder = Some(RUN);
    let waits = WaitReason::Turn { environment: "Production".into(), holder, ahead: 1 };
    assert_eq!(reason(&scene, 3), Some(waits.clone()));
    let told = format!(
        "waits for its turn at `Production`, which lets one deployment at a time in: run {RUN} has it; 1 before it"
    );
    assert_eq!(waits.to_string(), told);
    for (number, outcome) in [(1, SUCCESS), (2, FAILURE), (3, SUCCESS)] {
        let leases = scene.grant(9, 9);
        assert_eq!(leases.len(), 1, "one at a time");
        assert_eq!(leases[0].instance, InstanceId::from_u128(number));
        scene.report(leases[0], outcome);
    }
    assert_eq!([1, 2, 3].map(|number| scene.result(number).is_some()), [true; 3], "nobody was cancelled");
    assert_eq!(scene.result(3), Some(JobResult::Success));
}

#[test]
fn what_needs_no_turn_or_another_ones_goes_beside() {
    let mut scene = three();
    let other = InstanceDefinition { turn: Some("staging".into()), ..definition(4) };
    submit(&mut scene, RunId::from_u128(4), vec![other, definition(5)]);
    let leased: Vec<_> = scene.grant(9, 9).into_iter().map(|lease| lease.instance).collect();
    assert_eq!(leased, [1, 5, 4].map(InstanceId::from_u128));
}

#[test]
fn an_attempt_that_the_fleet_lost_keeps_the_turn() {
    let mut scene = three();
    let lease = scene.grant(1, 1)[0];
    scene.report(lease, fleet_failure(FleetCause::Internal));
    assert!(matches!(reason(&scene, 2), Some(WaitReason::Turn { holder: Some(RUN), ahead: 0, .. })));
    scene.pass(3_600_000);
    assert_eq!(
        scene.grant(2, 9).into_iter().map(|lease| lease.instance.0.as_u128()).collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn who_is_cancelled_leaves_the_turn_or_the_queue() {
    let mut scene = three();
    assert!(!kinds(&cancel(&mut scene, SECOND)).contains(&"turn_taken".to_owned()), "it only waited");
    assert!(kinds(&cancel(&mut scene, RUN)).contains(&"turn_taken".to_owned()), "nobody had it yet");
    assert_eq!(scene.grant(1, 9)[0].instance, InstanceId::from_u128(3));
    // One run with all of a queue.
    let mut scene = Scene::new();
    submit(&mut scene, RUN, vec![deployment(1), deployment(2), deployment(3)]);
    submit(&mut scene, SECOND, vec![deployment(4)]);
    scene.cancel();
    assert_eq!(scene.grant(1, 9)[0].instance, InstanceId::from_u128(4));
}

#[test]
fn the_group_comes_first_and_is_held_while_the_turn_is_waited_for() {
    let group = |cancel_in_progress| Concurrency {
        group: "deploy".into(),
        cancel_in_progress,
        queue: Queueing::Single,
    };
    let grouped =
        |number, cancels| InstanceDefinition { concurrency: Some(group(cancels)), ..deployment(number) };
    let mut scene = Scene::new();
    submit(&mut scene, RUN, vec![deployment(1)]);
    assert_eq!(
        kinds(&submit(&mut scene, SECOND, vec![grouped(2, false)])),
        ["job_expanded", "instance_admitted", "turn_awaited"]
    );
    // A newer one of the group takes the place of the one that waits for its turn.
    let events = kinds(&submit(&mut scene, THIRD, vec![grouped(3, true)]));
    assert_eq!(events[..2], ["job_expanded", "instance_blocked"]);
    assert_eq!(*events.last().unwrap(), "turn_awaited");
    assert_eq!((scene.result(2), scene.result(3)), (Some(JobResult::Cancelled), None));
    let lease = scene.grant(1, 9)[0];
    scene.report(lease, SUCCESS);
    assert_eq!(scene.grant(1, 9)[0].instance, InstanceId::from_u128(3));
}

#[test]
fn a_turn_is_kept_by_a_snapshot() {
    let mut scene = three();
    let lease = scene.grant(1, 1)[0];
    let text = serde_json::to_string(&scene.state).unwrap();
    scene.state = serde_json::from_str(&text).unwrap();
    slipway_scheduler::invariant::check(&scene.state).unwrap();
    scene.report(lease, SUCCESS);
    assert_eq!(scene.grant(1, 9)[0].instance, InstanceId::from_u128(2));
}

#[test]
fn a_name_that_no_environment_has_is_refused() {
    let mut scene = Scene::with(&["a"]);
    let long = InstanceDefinition { turn: Some("x".repeat(256).into()), ..definition(1) };
    let resolution = Resolution::Instances(Expansion { instances: vec![long], ..expansion(&[]) });
    let asked = ResolveJob { run: RUN, job: "a".into(), cancelled: false, resolution };
    assert!(matches!(scene.attempt(Command::ResolveJob(asked)), Err(Rejection::Limit { .. })));
}
