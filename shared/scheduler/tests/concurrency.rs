//! Concurrency groups of runs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{RUN, SUCCESS, Scene, instances, kinds, submit};
use slipway_scheduler::command::{Cancel, Concurrency, Entrant, Queueing, ResolveJob, Submit};
use slipway_scheduler::limits::{GROUP_CHARS_MAX, GROUP_WAITING_MAX};
use slipway_scheduler::{
    Command, Event, JobId, JobResult, Outcome, Rejection, RunId, State, WaitReason, explain_job,
};

fn group(name: &str) -> Concurrency {
    Concurrency { group: name.into(), cancel_in_progress: false, queue: Queueing::Single }
}

fn in_group(run: u128, concurrency: Concurrency) -> Command {
    let first = submit(RunId::from_u128(run), &["a", "b: a"]);
    Command::Submit(Box::new(Submit { concurrency: Some(concurrency), ..first }))
}

fn run_of(scene: &Scene, run: u128) -> &slipway_scheduler::state::Run {
    scene.state.run(RunId::from_u128(run)).unwrap()
}

fn result(scene: &Scene, run: u128) -> Option<JobResult> {
    run_of(scene, run).end().map(|end| end.result)
}

/// The kinds of the last events.
fn last(events: &[Event], count: usize) -> Vec<String> {
    let kinds = kinds(events);
    kinds[kinds.len() - count..].to_vec()
}

/// Runs both jobs of a run to their end.
fn work_off(scene: &mut Scene, run: u128) -> Vec<Event> {
    let mut events = Vec::new();
    for (job, number) in [("a", run * 10), ("b", run * 10 + 1)] {
        let resolution = instances(&[number]);
        let run = RunId::from_u128(run);
        scene.run(Command::ResolveJob(ResolveJob { run, job: job.into(), cancelled: false, resolution }));
        let lease = scene.grant(9, 1)[0];
        events = scene.report(lease, SUCCESS);
    }
    events
}

#[test]
fn a_run_waits_until_the_one_before_it_is_over() {
    let mut scene = Scene::new();
    assert_eq!(kinds(&scene.run(in_group(1, group("Deploy")))), ["run_submitted", "job_ready"]);
    assert_eq!(kinds(&scene.run(in_group(2, group("deploy")))), ["run_submitted"]);
    let second = RunId::from_u128(2);
    let holder = Some(RUN);
    let reason = WaitReason::ConcurrencyGroup { group: "deploy".into(), holder, ahead: 0 };
    assert_eq!(explain_job(&scene.state, second, "a"), Some(reason.clone()));
    assert!(reason.to_string().contains("`deploy`, which run 00000000-0000-0000-0000-000000000001 holds"));
    let end = work_off(&mut scene, 1);
    assert_eq!(last(&end, 3), ["run_finished", "group_acquired", "job_ready"]);
    assert_eq!(explain_job(&scene.state, second, "a"), Some(WaitReason::Planning));
    work_off(&mut scene, 2);
    assert_eq!(result(&scene, 2), Some(JobResult::Success));
    // The group is free again.
    assert_eq!(kinds(&scene.run(in_group(3, group("deploy")))), ["run_submitted", "job_ready"]);
}

#[test]
fn groups_belong_to_their_repository() {
    let mut scene = Scene::new();
    scene.run(in_group(1, group("x")));
    let mut other = submit(RunId::from_u128(2), &["a"]);
    other.meta.repository = "octo/other".into();
    other.concurrency = Some(group("x"));
    assert_eq!(kinds(&scene.run(Command::Submit(Box::new(other)))), ["run_submitted", "job_ready"]);
    assert_eq!(kinds(&scene.run(in_group(3, group("y")))), ["run_submitted", "job_ready"]);
}

#[test]
fn a_newer_run_takes_the_place_of_the_one_that_waits() {
    let mut scene = Scene::new();
    scene.run(in_group(1, group("x")));
    scene.run(in_group(2, group("x")));
    let events = scene.run(in_group(3, group("x")));
    let replaced = ["run_submitted", "run_cancelled", "job_finished", "job_finished", "run_finished"];
    assert_eq!(kinds(&events), replaced);
    assert_eq!(result(&scene, 2), Some(JobResult::Cancelled));
    assert!(run_of(&scene, 2).cancelled().unwrap().reason.contains("newer run of the concurrency group `x`"));
    assert_eq!(result(&scene, 1), None);
    work_off(&mut scene, 1);
    work_off(&mut scene, 3);
    assert_eq!(result(&scene, 3), Some(JobResult::Success));
}

#[test]
fn a_newer_run_may_cancel_the_one_at_work() {
    let mut scene = Scene::new();
    let cancelling = || Concurrency { cancel_in_progress: true, ..group("x") };
    scene.run(in_group(1, cancelling()));
    scene.expand("a", &[1]);
    let lease = scene.grant(1, 1)[0];
    scene.run(in_group(2, group("x")));
    let events = scene.run(in_group(3, cancelling()));
    assert_eq!(last(&events, 2), ["run_cancelled", "cancel_requested"]);
    assert_eq!(result(&scene, 2), Some(JobResult::Cancelled));
    // The one at work ends in its own time; only then does the new one begin.
    assert!(run_of(&scene, 3).waits_for_group());
    scene.report(lease, Outcome::Cancelled);
    scene.skip("b");
    assert_eq!(result(&scene, 1), Some(JobResult::Cancelled));
    assert!(!run_of(&scene, 3).waits_for_group());
    work_off(&mut scene, 3);
    assert_eq!(result(&scene, 3), Some(JobResult::Success));
}

#[test]
fn a_holder_that_ends_at_once_makes_way_for_the_newer_run() {
    let mut scene = Scene::new();
    let mut first = submit(RUN, &["a"]);
    first.concurrency = Some(group("x"));
    scene.run(Command::Submit(Box::new(first)));
    scene.expand("a", &[1]);
    scene.run(in_group(2, group("x")));
    // Nobody has the only instance, so cancelling the holder ends it in this very decision.
    let events = scene.run(in_group(3, Concurrency { cancel_in_progress: true, ..group("x") }));
    let ends: Vec<_> = kinds(&events).into_iter().rev().take(3).collect();
    assert_eq!(ends, ["job_ready", "group_acquired", "run_finished"]);
    assert_eq!(
        (result(&scene, 1), result(&scene, 2)),
        (Some(JobResult::Cancelled), Some(JobResult::Cancelled))
    );
    work_off(&mut scene, 3);
}

#[test]
fn a_queue_keeps_all_that_wait_up_to_its_limit() {
    let mut scene = Scene::new();
    let queued = || Concurrency { queue: Queueing::Max, ..group("x") };
    let last = GROUP_WAITING_MAX as u128 + 2;
    for run in 1..=last {
        scene.run(in_group(run, queued()));
    }
    assert_eq!(result(&scene, 2), Some(JobResult::Cancelled), "the oldest that waited");
    assert_eq!(result(&scene, 3), None);
    let ahead = scene.state.ahead_in_group(run_of(&scene, last)).unwrap();
    assert_eq!(ahead, (Some(RUN), GROUP_WAITING_MAX - 1));
    work_off(&mut scene, 1);
    assert!(!run_of(&scene, 3).waits_for_group(), "first come, first served");
}

#[test]
fn a_run_cancelled_while_it_waits_begins_nothing() {
    let mut scene = Scene::new();
    scene.run(in_group(1, group("x")));
    scene.run(in_group(2, group("x")));
    let cancel = || {
        let run = RunId::from_u128(2);
        Command::Cancel(Cancel { run, actor: "me".into(), reason: "enough".into() })
    };
    let ended = ["run_cancelled", "job_finished", "job_finished", "run_finished"];
    assert_eq!(kinds(&scene.run(cancel())), ended);
    assert_eq!(scene.attempt(cancel()), Err(Rejection::AlreadyFinished { run: RunId::from_u128(2) }));
    let end = work_off(&mut scene, 1);
    assert_eq!(last(&end, 1), ["run_finished"]);
    let job: JobId = "b".into();
    assert_eq!(run_of(&scene, 2).job(job.as_str()).unwrap().result(), Some(JobResult::Cancelled));
}

#[test]
fn a_snapshot_keeps_who_waits_for_whom() {
    let mut scene = Scene::new();
    for run in 1..=3 {
        scene.run(in_group(run, Concurrency { queue: Queueing::Max, ..group("x") }));
    }
    let text = serde_json::to_string(&scene.state).unwrap();
    scene.state = serde_json::from_str::<State>(&text).unwrap();
    work_off(&mut scene, 1);
    assert!(!run_of(&scene, 2).waits_for_group());
    assert!(run_of(&scene, 3).waits_for_group());
}

#[test]
fn a_name_has_a_limit() {
    let mut scene = Scene::new();
    scene.run(in_group(1, group(&"ä".repeat(GROUP_CHARS_MAX))));
    let refused = scene.attempt(in_group(2, group(&"x".repeat(GROUP_CHARS_MAX + 1))));
    assert!(matches!(refused, Err(Rejection::Limit { .. })), "{refused:?}");
}

/// A run of a group that somebody has to let in.
fn held(run: u128, concurrency: Concurrency) -> Command {
    let Command::Submit(new) = in_group(run, concurrency) else { panic!() };
    Command::Submit(Box::new(Submit { held: true, ..*new }))
}

fn release(run: u128) -> Command {
    Command::EnterGroup(Entrant::Run(RunId::from_u128(run)))
}

#[test]
fn a_held_run_takes_nobodys_place_until_it_is_let_in() {
    let cancelling = || Concurrency { cancel_in_progress: true, ..group("x") };
    let mut scene = Scene::new();
    scene.run(in_group(1, group("x")));
    scene.expand("a", &[1]);
    let lease = scene.grant(1, 1)[0];
    assert_eq!(kinds(&scene.run(held(2, cancelling()))), ["run_submitted"]);
    scene.run(in_group(3, group("x")));
    assert_eq!((result(&scene, 1), result(&scene, 3)), (None, None), "nobody made room for it");
    let reason = explain_job(&scene.state, RunId::from_u128(3), "a");
    assert_eq!(reason, Some(WaitReason::ConcurrencyGroup { group: "x".into(), holder: Some(RUN), ahead: 0 }));
    assert_eq!(explain_job(&scene.state, RunId::from_u128(2), "a"), None, "it is in no group");

    let events = scene.run(release(2));
    assert_eq!(
        kinds(&events)[..2],
        ["run_released", "run_cancelled"],
        "the one that waits, then the one at work"
    );
    assert_eq!(result(&scene, 3), Some(JobResult::Cancelled));
    assert!(run_of(&scene, 2).waits_for_group() && !run_of(&scene, 2).is_held());
    assert_eq!(scene.run(release(2)), [], "once");
    scene.report(lease, Outcome::Cancelled);
    scene.skip("b");
    work_off(&mut scene, 2);
    assert_eq!(result(&scene, 2), Some(JobResult::Success));
}

#[test]
fn a_held_run_that_is_let_into_a_free_group_begins() {
    let mut scene = Scene::new();
    scene.run(held(1, group("x")));
    // Nobody holds the group meanwhile.
    assert_eq!(kinds(&scene.run(in_group(2, group("x")))), ["run_submitted", "job_ready"]);
    work_off(&mut scene, 2);
    assert_eq!(kinds(&scene.run(release(1))), ["run_released", "job_ready"]);
    scene.run(in_group(3, group("x")));
    assert!(run_of(&scene, 3).waits_for_group());
    work_off(&mut scene, 1);
    work_off(&mut scene, 3);
}

#[test]
fn a_held_run_that_is_cancelled_is_over_and_cannot_be_let_in() {
    let mut scene = Scene::new();
    scene.run(held(1, group("x")));
    let cancel = Cancel { run: RUN, actor: "eve".into(), reason: String::new() };
    let events = scene.run(Command::Cancel(cancel));
    assert_eq!(kinds(&events), ["run_cancelled", "job_finished", "job_finished", "run_finished"]);
    assert_eq!(scene.run(release(1)), []);
    let free = submit(RunId::from_u128(2), &["a"]);
    let events = scene.run(Command::Submit(Box::new(Submit { held: true, ..free })));
    assert_eq!(kinds(&events), ["run_submitted", "job_ready"], "there is no group to stay out of");
}
