//! Calls of reusable workflows.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{FAILURE, RUN, SUCCESS, Scene, call, calls, kinds, ready, submit};
use slipway_cas::Digest;
use slipway_scheduler::command::{
    CallDefinition, CallExpansion, CarriedJob, FinishCall, Queueing, Resolution,
};
use slipway_scheduler::limits::CALL_LEVELS_MAX;
use slipway_scheduler::state::CallPhase;
use slipway_scheduler::{Command, Event, JobResult, Outcome, Rejection, WaitReason, explain_job};

fn with_outputs(id: &str, jobs: &[&str]) -> CallDefinition {
    CallDefinition { has_outputs: true, ..call(id, jobs) }
}

fn finish(scene: &mut Scene, job: &str, at: u32, outputs: Result<Option<Digest>, String>) -> Vec<Event> {
    scene.run(Command::FinishCall(FinishCall { run: RUN, job: job.into(), call: at, outputs }))
}

fn call_in(scene: &mut Scene, job: &str, expansion: CallExpansion) -> Vec<Event> {
    scene.resolve(job, Resolution::Calls(expansion))
}

fn run_job<'s>(scene: &'s Scene, job: &str) -> &'s slipway_scheduler::state::Job {
    scene.state.run(RUN).unwrap().job(job).unwrap()
}

#[test]
fn a_call_runs_the_jobs_of_its_file() {
    let mut scene = Scene::with(&["a", "b: a"]);
    let events = call_in(&mut scene, "a", calls(vec![call("a", &["x", "y: x"])]));
    assert_eq!(kinds(&events), ["job_called", "job_ready"]);
    assert_eq!(ready(&events), ["a/x"]);
    assert!(
        matches!(explain_job(&scene.state, RUN, "a/y"), Some(WaitReason::Needs { jobs }) if jobs[0].as_str() == "a/x")
    );
    scene.finish("a/x", &[(1, SUCCESS)]);
    scene.expand("a/y", &[2]);
    let lease = scene.grant(1, 1)[0];
    let events = scene.report(lease, SUCCESS);
    assert_eq!(
        kinds(&events),
        [
            "attempt_finished",
            "instance_finished",
            "job_finished",
            "call_finished",
            "job_finished",
            "job_ready"
        ]
    );
    assert_eq!(ready(&events), ["b"]);
    assert_eq!(scene.job_result("a"), Some(JobResult::Success));
    scene.skip("b");
    assert_eq!(scene.run_result(), Some(JobResult::Success));
    let order: Vec<String> =
        scene.state.run(RUN).unwrap().jobs_in_order().iter().map(|job| job.id().to_string()).collect();
    assert_eq!(order, ["a", "a/x", "a/y", "b"]);
}

#[test]
fn outputs_are_asked_for_when_all_jobs_are_done() {
    let mut scene = Scene::with(&["a", "b: a"]);
    call_in(&mut scene, "a", calls(vec![with_outputs("a", &["x"])]));
    scene.expand("a/x", &[1]);
    let lease = scene.grant(1, 1)[0];
    let early = Command::FinishCall(FinishCall { run: RUN, job: "a".into(), call: 0, outputs: Ok(None) });
    assert_eq!(scene.attempt(early), Err(Rejection::NotDone { job: "a".into(), call: 0 }));
    let events = scene.report(lease, FAILURE);
    assert_eq!(kinds(&events)[2..], ["job_finished", "call_done"]);
    let outputs = Digest::of(b"outputs");
    let events = finish(&mut scene, "a", 0, Ok(Some(outputs)));
    assert_eq!(kinds(&events), ["call_finished", "job_finished", "job_ready"]);
    assert_eq!(run_job(&scene, "a").outputs(), [outputs]);
    assert_eq!(scene.job_result("a"), Some(JobResult::Failure));
    // Twice is once.
    let again = Command::FinishCall(FinishCall { run: RUN, job: "a".into(), call: 0, outputs: Ok(None) });
    assert!(scene.attempt(again).is_err());
}

#[test]
fn outputs_that_cannot_be_evaluated_fail_the_call() {
    let mut scene = Scene::with(&["a"]);
    call_in(&mut scene, "a", calls(vec![with_outputs("a", &["x"])]));
    scene.finish("a/x", &[(1, SUCCESS)]);
    finish(&mut scene, "a", 0, Err("line 3".into()));
    assert_eq!(scene.run_result(), Some(JobResult::Failure));
    assert_eq!(run_job(&scene, "a").calls()[0].message(), Some("line 3"));
}

#[test]
fn of_a_matrix_the_last_successful_call_sets_the_outputs() {
    let mut scene = Scene::with(&["a"]);
    let three = (1..=3).map(|at| with_outputs(&format!("a#{at}"), &["x"])).collect();
    call_in(&mut scene, "a", calls(three));
    for (at, outcome) in [(2_u32, SUCCESS), (1, SUCCESS), (3, FAILURE)] {
        scene.finish(&format!("a#{at}/x"), &[(u128::from(at), outcome)]);
        finish(&mut scene, "a", at - 1, Ok(Some(Digest::of(&[at as u8]))));
    }
    assert_eq!(run_job(&scene, "a").outputs(), [Digest::of(&[2]), Digest::of(&[1])]);
    assert_eq!(scene.job_result("a"), Some(JobResult::Failure));
}

#[test]
fn max_parallel_holds_whole_calls_back() {
    let mut scene = Scene::with(&["a"]);
    let two = vec![call("a#1", &["x"]), call("a#2", &["x"])];
    let events = call_in(&mut scene, "a", CallExpansion { max_parallel: Some(1), ..calls(two) });
    assert_eq!(ready(&events), ["a#1/x"]);
    assert_eq!(explain_job(&scene.state, RUN, "a#2/x"), Some(WaitReason::MaxParallel { limit: 1 }));
    scene.expand("a#1/x", &[1]);
    let lease = scene.grant(1, 1)[0];
    let events = scene.report(lease, SUCCESS);
    assert_eq!(kinds(&events)[2..], ["job_finished", "call_finished", "call_began", "job_ready"]);
    scene.finish("a#2/x", &[(2, SUCCESS)]);
    assert_eq!(scene.run_result(), Some(JobResult::Success));
}

#[test]
fn the_first_failure_cancels_the_other_calls() {
    let mut scene = Scene::with(&["a"]);
    let four = (1..=4).map(|at| call(&format!("a#{at}"), &["x", "y: x"])).collect();
    call_in(&mut scene, "a", CallExpansion { fail_fast: true, max_parallel: Some(3), ..calls(four) });
    scene.expand("a#1/x", &[1]);
    scene.expand("a#2/x", &[2]);
    let leases = scene.grant(1, 2);
    scene.report(leases[0], FAILURE);
    // Only its own dependant knows yet: the call is not over.
    let events = scene.skip("a#1/y");
    let kinds = kinds(&events);
    assert_eq!(kinds.iter().filter(|kind| *kind == "call_cancelled").count(), 2);
    assert!(kinds.contains(&"cancel_requested".to_owned()));
    // The fourth had not begun: nothing of it does.
    assert_eq!(run_job(&scene, "a#4/x").result(), Some(JobResult::Cancelled));
    assert_eq!(run_job(&scene, "a").calls()[3].result(), Some(JobResult::Cancelled));
    // The third is planned again, as one of a cancelled run.
    let run = scene.state.run(RUN).unwrap();
    assert!(run.is_cancelled_for(run.job("a#3/x").unwrap()) && run.cancelled().is_none());
    assert!(!run.is_cancelled_for(run.job("a#1/x").unwrap()));
    scene.skip("a#3/x");
    scene.skip("a#3/y");
    scene.report(leases[1], Outcome::Cancelled);
    scene.skip("a#2/y");
    assert_eq!(scene.run_result(), Some(JobResult::Failure));
    assert_eq!(run_job(&scene, "a").calls()[2].result(), Some(JobResult::Cancelled));
}

#[test]
fn cancelling_a_run_reaches_every_level() {
    let mut scene = Scene::with(&["a"]);
    call_in(&mut scene, "a", calls(vec![call("a", &["m", "n: m"])]));
    let inner = vec![call("a/m#1", &["x"]), call("a/m#2", &["x"]), call("a/m#3", &["x"])];
    call_in(&mut scene, "a/m", CallExpansion { max_parallel: Some(2), ..calls(inner) });
    scene.expand("a/m#1/x", &[1]);
    let lease = scene.grant(1, 1)[0];
    let events = scene.cancel();
    assert_eq!(ready(&events), ["a/m#2/x"], "it is planned again");
    assert_eq!(run_job(&scene, "a/m#3/x").result(), Some(JobResult::Cancelled));
    // An always() job still runs.
    scene.expand("a/m#2/x", &[2]);
    let cleanup = scene.grant(1, 1)[0];
    scene.report(cleanup, SUCCESS);
    scene.report(lease, Outcome::Cancelled);
    scene.skip("a/n");
    assert_eq!(scene.run_result(), Some(JobResult::Cancelled));
}

#[test]
fn conditions_look_at_the_callees_own_jobs() {
    let mut scene = Scene::with(&["p", "a: p"]);
    scene.finish("p", &[(1, FAILURE)]);
    call_in(&mut scene, "a", calls(vec![call("a", &["x", "y: x"])]));
    assert!(run_job(&scene, "a").lineage().failed);
    assert!(run_job(&scene, "a/x").lineage().all_succeeded());
    scene.finish("a/x", &[(2, FAILURE)]);
    assert!(run_job(&scene, "a/y").lineage().failed);
}

#[test]
fn calls_nest_to_a_limit() {
    let mut scene = Scene::with(&["j"]);
    let mut id = "j".to_owned();
    for _ in 2..=CALL_LEVELS_MAX {
        call_in(&mut scene, &id, calls(vec![call(&id, &["j"])]));
        id.push_str("/j");
    }
    let deeper = Resolution::Calls(calls(vec![call(&id, &["j"])]));
    let command = Command::ResolveJob(slipway_scheduler::command::ResolveJob {
        run: RUN,
        job: id.as_str().into(),
        cancelled: false,
        resolution: deeper,
    });
    assert!(matches!(scene.attempt(command), Err(Rejection::Limit { .. })));
    scene.finish(&id, &[(1, SUCCESS)]);
    assert_eq!(scene.run_result(), Some(JobResult::Success));
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    let mut scene = Scene::with(&["a", "b"]);
    for (made, max_parallel) in [
        (vec![], None),
        (vec![call("a", &["x"])], Some(0)),
        (vec![call("b", &["x"])], None),
        (vec![call("ab", &["x"])], None),
        (vec![call("a#1", &["x"]), call("a#1", &["x"])], None),
        (vec![call("a", &["x/y"])], None),
        (vec![call("a", &["x", "x"])], None),
        (vec![call("a", &["x: y"])], None),
        (vec![call("a", &[])], None),
    ] {
        let shown = format!("{made:?}");
        let command = Command::ResolveJob(slipway_scheduler::command::ResolveJob {
            run: RUN,
            job: "a".into(),
            cancelled: false,
            resolution: Resolution::Calls(CallExpansion { calls: made, fail_fast: false, max_parallel }),
        });
        let refused = scene.attempt(command);
        assert!(
            matches!(refused, Err(Rejection::InvalidInstances { .. } | Rejection::InvalidJobs(_))),
            "{shown}"
        );
    }
}

#[test]
fn jobs_of_an_equal_call_are_carried_over() {
    let carried = |id: &str, context: &[u8]| CarriedJob {
        id: id.into(),
        result: JobResult::Success,
        outputs: vec![Digest::of(id.as_bytes())],
        call: Some(Digest::of(context)),
    };
    let mut run = submit(RUN, &["a"]);
    run.carried = vec![
        carried("a#1/x", b"a#1"),
        carried("a#2/x", b"a#2"),
        carried("a#2/y", b"a#2"),
        // Of a call that is another one now, and of a job whose need is not carried over.
        carried("a#3/x", b"other"),
        carried("a#4/y", b"a#4"),
    ];
    let mut scene = Scene::new();
    scene.run(Command::Submit(Box::new(run)));
    let four = (1..=4).map(|at| call(&format!("a#{at}"), &["x", "y: x"])).collect();
    let events = call_in(&mut scene, "a", calls(four));
    assert_eq!(ready(&events), ["a#1/y", "a#3/x", "a#4/x"]);
    assert_eq!(run_job(&scene, "a#2/y").outputs(), [Digest::of(b"a#2/y")]);
    assert!(matches!(
        run_job(&scene, "a").calls()[1].phase(),
        CallPhase::Done { result: JobResult::Success }
    ));
    finish(&mut scene, "a", 1, Ok(None));
    let mut number = 0;
    for job in ["a#1/y", "a#3/x", "a#3/y", "a#4/x", "a#4/y"] {
        number += 1;
        scene.finish(job, &[(number, SUCCESS)]);
    }
    assert_eq!(scene.run_result(), Some(JobResult::Success));
}

#[test]
fn a_call_waits_for_its_concurrency_group() {
    let group = || {
        let group = slipway_scheduler::command::Concurrency {
            group: "deploy".into(),
            cancel_in_progress: false,
            queue: Queueing::Max,
        };
        Some(group)
    };
    let mut scene = Scene::with(&["a"]);
    let two = (1..=3).map(|at| CallDefinition { concurrency: group(), ..call(&format!("a#{at}"), &["x"]) });
    let events = call_in(&mut scene, "a", CallExpansion { max_parallel: Some(2), ..calls(two.collect()) });
    assert_eq!(kinds(&events), ["job_called", "call_began", "job_ready", "call_blocked"]);
    let reason = explain_job(&scene.state, RUN, "a#2/x").unwrap();
    assert_eq!(reason, WaitReason::JobGroup { group: "deploy".into(), holder: Some(RUN), ahead: 0 });
    scene.expand("a#1/x", &[1]);
    let lease = scene.grant(1, 1)[0];
    let events = scene.report(lease, SUCCESS);
    assert_eq!(
        kinds(&events)[3..],
        ["call_finished", "call_began", "job_ready", "call_queued", "call_blocked"]
    );
    scene.finish("a#2/x", &[(2, SUCCESS)]);
    scene.finish("a#3/x", &[(3, SUCCESS)]);
    assert_eq!(scene.run_result(), Some(JobResult::Success));
}

#[test]
fn the_form_of_its_events_stays() {
    let mut scene = Scene::with(&["a"]);
    let two = vec![with_outputs("a#1", &["x", "y: x"]), call("a#2", &["x"])];
    call_in(&mut scene, "a", CallExpansion { max_parallel: Some(1), fail_fast: true, ..calls(two) });
    scene.finish("a#1/x", &[(1, SUCCESS)]);
    scene.skip("a#1/y");
    finish(&mut scene, "a", 0, Ok(Some(Digest::of(b"outputs"))));
    let value = |kind: &str| {
        let events = scene.journal.iter().map(|event| serde_json::to_value(event).unwrap());
        events.into_iter().find(|event| event["type"] == kind).unwrap()
    };
    let called = value("job_called");
    assert_eq!(called["calls"][0]["id"], "a#1");
    assert_eq!(
        called["calls"][0]["jobs"][1],
        serde_json::json!({"id": "y", "needs": ["x"], "strict": false})
    );
    assert_eq!((&called["max_parallel"], &called["fail_fast"]), (&1.into(), &true.into()));
    assert_eq!(
        value("call_done"),
        serde_json::json!({"type": "call_done", "run": RUN, "job": "a", "call": 0, "result": "success"})
    );
    assert_eq!(value("call_finished")["outputs"], serde_json::to_value(Digest::of(b"outputs")).unwrap());
    assert_eq!(value("call_began")["call"], 1);
    for event in &scene.journal {
        let json = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
    }
    let snapshot = serde_json::to_string(&scene.state).unwrap();
    assert_eq!(serde_json::from_str::<slipway_scheduler::State>(&snapshot).unwrap(), scene.state);
}
