//! Environments with rules: what waits for them, and who lets it go on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{RUN, SUCCESS, Scene, definition, expansion, kinds};
use serde_json::json;
use slipway_scheduler::command::{
    Concurrency, DecideGates, Expansion, Gate, InstanceDefinition, Queueing, Resolution, ResolveJob,
};
use slipway_scheduler::limits::{GATE_EXPIRES_MS, GATE_WAIT_MS_MAX, REVIEWERS_MAX};
use slipway_scheduler::{
    Command, Event, Fleet, GateVerdict, InstanceId, JobResult, Rejection, RunId, State, WaitReason,
    explain_wait,
};

fn gate() -> Gate {
    Gate {
        environment: "production".into(),
        approval: true,
        reviewers: Vec::new(),
        barred: Vec::new(),
        wait_ms: 0,
        expires_ms: GATE_EXPIRES_MS,
    }
}

fn gated(number: u128, gate: Gate) -> InstanceDefinition {
    InstanceDefinition { gate: Some(Box::new(gate)), ..definition(number) }
}

/// [`RUN`] with a job `a` that became these.
fn scene(instances: Vec<InstanceDefinition>) -> Scene {
    let mut scene = Scene::with(&["a"]);
    scene.resolve("a", Resolution::Instances(Expansion { instances, ..expansion(&[]) }));
    scene
}

fn decision(approve: bool, actor: &str) -> Command {
    let (environment, actor) = ("Production".into(), actor.into());
    Command::DecideGates(DecideGates { run: RUN, environment, approve, actor, comment: "looks fine".into() })
}

fn pass_gate(number: u128) -> Command {
    Command::PassGate { instance: InstanceId::from_u128(number) }
}

fn reason(scene: &Scene, number: u128) -> Option<WaitReason> {
    explain_wait(&scene.state, &Fleet::new(), InstanceId::from_u128(number), scene.now)
}

#[test]
fn an_approved_job_goes_on_and_a_rejected_one_fails() {
    for (approve, follows, result) in [
        (true, vec!["gate_decided", "gate_opened"], None),
        (
            false,
            vec!["gate_decided", "instance_finished", "job_finished", "run_finished"],
            Some(JobResult::Failure),
        ),
    ] {
        let mut scene = scene(vec![gated(1, gate())]);
        assert!(scene.grant(1, 1).is_empty(), "it waits in no queue");
        assert_eq!((scene.state.waiting_len(), scene.state.gated_len()), (0, 1));
        assert_eq!(kinds(&scene.run(decision(approve, "alice"))), follows);
        assert_eq!(scene.run_result(), result);
        let review = scene.state.instance(InstanceId::from_u128(1)).unwrap().review().unwrap().clone();
        assert_eq!((review.actor.as_str(), review.comment.as_str()), ("alice", "looks fine"));
        if approve {
            let lease = scene.grant(1, 1)[0];
            scene.report(lease, SUCCESS);
            assert_eq!(scene.run_result(), Some(JobResult::Success));
        }
        let decided = scene.attempt(decision(true, "alice"));
        assert!(matches!(decided, Err(Rejection::GateDecided { .. })), "{decided:?}");
    }
}

#[test]
fn a_decision_is_for_all_that_wait_for_the_environment_and_nothing_else() {
    let staging = Gate { environment: "staging".into(), ..gate() };
    let mut scene = scene(vec![gated(1, gate()), gated(2, staging), definition(3), gated(4, gate())]);
    let events = scene.run(decision(true, "alice"));
    assert_eq!(kinds(&events), ["gate_decided", "gate_decided", "gate_opened", "gate_opened"]);
    let leased: Vec<_> = scene.grant(1, 9).into_iter().map(|lease| lease.instance).collect();
    assert_eq!(leased, [3, 1, 4].map(InstanceId::from_u128));
    assert!(
        matches!(reason(&scene, 2), Some(WaitReason::Approval { environment, .. }) if environment == "staging")
    );
}

#[test]
fn all_that_are_rejected_fail_and_fail_fast_cancels_the_rest() {
    let mut scene = Scene::with(&["a"]);
    let instances = vec![gated(1, gate()), gated(2, gate()), definition(3)];
    scene.resolve("a", Resolution::Instances(Expansion { instances, fail_fast: true, max_parallel: None }));
    scene.run(decision(false, "alice"));
    let results = [1, 2, 3].map(|number| scene.result(number));
    assert_eq!(results, [JobResult::Failure, JobResult::Failure, JobResult::Cancelled].map(Some));
    assert_eq!(scene.run_result(), Some(JobResult::Failure));
}

#[test]
fn what_max_parallel_holds_back_waits_for_its_own_decision() {
    let mut scene = Scene::with(&["a"]);
    let instances = vec![gated(1, gate()), gated(2, gate())];
    scene.resolve(
        "a",
        Resolution::Instances(Expansion { instances, fail_fast: false, max_parallel: Some(1) }),
    );
    scene.run(decision(true, "alice"));
    let told = scene.attempt(decision(true, "alice")).unwrap_err().to_string();
    assert!(told.contains("alice approved it"), "{told}");
    let lease = scene.grant(1, 1)[0];
    assert_eq!(*kinds(&scene.report(lease, SUCCESS)).last().unwrap(), "instance_queued");
    assert!(matches!(reason(&scene, 2), Some(WaitReason::Approval { .. })));
    scene.run(decision(true, "alice"));
    assert_eq!(scene.grant(1, 1).len(), 1);
}

#[test]
fn the_concurrency_group_is_entered_only_behind_the_gate() {
    let group = Concurrency { group: "deploy".into(), cancel_in_progress: false, queue: Queueing::Single };
    let mut waits = gated(1, gate());
    waits.concurrency = Some(group.clone());
    let mut scene = scene(vec![waits]);
    // Another run uses the group meanwhile.
    let other = RunId::from_u128(2);
    scene.run(Command::Submit(Box::new(scene::submit(other, &["b"]))));
    let busy = InstanceDefinition { concurrency: Some(group), ..definition(2) };
    let resolution = Resolution::Instances(Expansion { instances: vec![busy], ..expansion(&[]) });
    scene.run(Command::ResolveJob(ResolveJob { run: other, job: "b".into(), cancelled: false, resolution }));
    let lease = scene.grant(1, 9);
    assert_eq!(lease.len(), 1);
    let events = scene.run(decision(true, "alice"));
    assert_eq!(kinds(&events), ["gate_decided", "gate_opened", "instance_blocked"]);
    assert!(
        matches!(reason(&scene, 1), Some(WaitReason::JobGroup { holder: Some(run), .. }) if run == other)
    );
    scene.report(lease[0], SUCCESS);
    assert_eq!(scene.grant(1, 1)[0].instance, InstanceId::from_u128(1));
}

#[test]
fn a_wait_timer_ends_by_itself_and_runs_while_people_think() {
    let timed = Gate { approval: false, wait_ms: 60_000, ..gate() };
    let mut only = scene(vec![gated(1, timed.clone())]);
    let ends = only.now.after(60_000);
    assert_eq!(only.state.next_gate(), Some(ends));
    assert_eq!(only.state.due_gates(only.now).count(), 0);
    assert!(only.run(pass_gate(1)).is_empty(), "too early");
    let refused = only.attempt(decision(true, "alice")).unwrap_err().to_string();
    assert!(refused.contains("its wait timer ends by itself"), "{refused}");
    only.pass(60_000);
    assert_eq!(only.state.due_gates(only.now).collect::<Vec<_>>(), [InstanceId::from_u128(1)]);
    assert_eq!(kinds(&only.run(pass_gate(1))), ["gate_opened"]);
    assert!(only.run(pass_gate(1)).is_empty(), "a second look changes nothing");
    assert_eq!(only.grant(1, 1).len(), 1);

    let both = Gate { approval: true, ..timed };
    let mut early = scene(vec![gated(1, both.clone())]);
    early.pass(59_000);
    assert_eq!(kinds(&early.run(decision(true, "alice"))), ["gate_decided"]);
    assert!(early.grant(1, 1).is_empty());
    let until = early.now.after(1_000);
    let expected = WaitReason::WaitTimer { environment: "production".into(), until };
    assert_eq!(reason(&early, 1), Some(expected));
    early.pass(1_000);
    assert_eq!(kinds(&early.run(pass_gate(1))), ["gate_opened"]);

    let mut late = scene(vec![gated(1, both)]);
    late.pass(61_000);
    assert!(late.run(pass_gate(1)).is_empty(), "the timer alone opens nothing");
    assert_eq!(kinds(&late.run(decision(true, "alice"))), ["gate_decided", "gate_opened"]);
}

#[test]
fn what_nobody_approves_in_time_fails() {
    let mut scene = scene(vec![gated(1, gate())]);
    scene.pass(GATE_EXPIRES_MS - 1);
    assert!(scene.run(pass_gate(1)).is_empty());
    scene.pass(1);
    let events = scene.run(pass_gate(1));
    assert_eq!(kinds(&events)[..2], ["gate_decided", "instance_finished"]);
    assert!(matches!(events[0], Event::GateDecided { verdict: GateVerdict::Expired, .. }));
    assert_eq!(scene.run_result(), Some(JobResult::Failure));
    let told = scene.attempt(decision(true, "alice")).unwrap_err().to_string();
    assert!(told.contains("nobody decided in time"), "{told}");
}

#[test]
fn only_reviewers_review_and_nobody_their_own() {
    let picky = Gate { reviewers: vec!["Alice".into(), "bob".into()], barred: vec!["BOB".into()], ..gate() };
    let mut scene = scene(vec![gated(1, picky)]);
    for (actor, refused) in [
        ("mallory", "`mallory` may not review `production`; who may: Alice, bob"),
        ("", "`` may not review `production`; who may: Alice, bob"),
        ("bob", "`bob` started run 00000000-0000-0000-0000-000000000001"),
    ] {
        for approve in [true, false] {
            let told = scene.attempt(decision(approve, actor)).unwrap_err().to_string();
            assert!(told.starts_with(refused), "{told}");
        }
    }
    let told = reason(&scene, 1).unwrap().to_string();
    let command = format!("slipway approve {RUN} production");
    assert_eq!(told, format!("waits for approval of `production` by Alice or bob: {command}"));
    assert_eq!(kinds(&scene.run(decision(true, "ALICE"))), ["gate_decided", "gate_opened"]);
}

#[test]
fn a_wrong_name_is_told_what_there_is() {
    let mut scene = scene(vec![gated(1, gate()), gated(2, gate()), definition(3)]);
    let ask = |run, environment: &str| {
        let (environment, actor) = (environment.to_owned(), "alice".into());
        Command::DecideGates(DecideGates { run, environment, approve: true, actor, comment: String::new() })
    };
    let refused = scene.attempt(ask(RUN, "produktion")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("no job of run {RUN} waits for approval of `produktion`: what waits, waits for production")
    );
    let stranger = RunId::from_u128(99);
    assert_eq!(scene.attempt(ask(stranger, "production")), Err(Rejection::UnknownRun { run: stranger }));
    let nobody = Command::PassGate { instance: InstanceId::from_u128(99) };
    assert!(matches!(scene.attempt(nobody), Err(Rejection::UnknownInstance { .. })));
}

#[test]
fn a_cancelled_run_waits_for_nobody() {
    let mut scene = scene(vec![gated(1, gate())]);
    scene.cancel();
    assert_eq!(
        (scene.result(1), scene.run_result()),
        (Some(JobResult::Cancelled), Some(JobResult::Cancelled))
    );
    assert_eq!(scene.state.gated_len(), 0);
    let told = scene.attempt(decision(true, "alice")).unwrap_err().to_string();
    assert!(told.contains("it was over before anybody decided"), "{told}");
}

#[test]
fn a_new_leader_and_a_snapshot_keep_what_waits() {
    let mut scene = scene(vec![gated(1, Gate { wait_ms: 9_000, ..gate() }), gated(2, gate())]);
    scene.run(Command::TakeOver { epoch: 2 });
    let snapshot = serde_json::to_string(&scene.state).unwrap();
    let mut replayed = State::new();
    scene.journal.iter().for_each(|event| replayed.apply(event));
    assert_eq!(replayed, scene.state);
    scene.state = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(scene.state, replayed);
    scene.run(decision(true, "alice"));
    assert_eq!(scene.state.next_gate(), Some(scene.now.after(9_000)));
    assert_eq!(scene.grant(1, 9).len(), 1);
}

#[test]
fn a_name_for_the_shell_is_quoted() {
    for (environment, written) in
        [("a b", "'a b'"), ("it's", r"'it'\''s'"), ("-x", "-- '-x'"), ("eu/prod.1", "eu/prod.1")]
    {
        let scene = scene(vec![gated(1, Gate { environment: environment.into(), ..gate() })]);
        let told = reason(&scene, 1).unwrap().to_string();
        assert!(told.ends_with(&format!("approve {RUN} {written}")), "{told}");
    }
}

#[test]
fn a_gate_has_limits() {
    let many: Vec<String> = (0..=REVIEWERS_MAX).map(|number| format!("p{number}")).collect();
    for wrong in [
        Gate { environment: "x".repeat(256), ..gate() },
        Gate { wait_ms: GATE_WAIT_MS_MAX + 1, ..gate() },
        Gate { expires_ms: GATE_EXPIRES_MS + 1, ..gate() },
        Gate { reviewers: many, ..gate() },
        Gate { reviewers: vec!["x".repeat(5_000)], ..gate() },
    ] {
        let mut scene = Scene::with(&["a"]);
        let resolution =
            Resolution::Instances(Expansion { instances: vec![gated(1, wrong)], ..expansion(&[]) });
        let resolve = ResolveJob { run: RUN, job: "a".into(), cancelled: false, resolution };
        let refused = scene.attempt(Command::ResolveJob(resolve));
        assert!(matches!(refused, Err(Rejection::Limit { .. })), "{refused:?}");
    }
}

#[test]
fn the_form_of_gates_stays() {
    let picky =
        Gate { reviewers: vec!["alice".into()], barred: vec!["eve".into()], wait_ms: 60_000, ..gate() };
    let mut scene = scene(vec![gated(1, picky)]);
    scene.pass(60_000);
    scene.run(decision(true, "alice"));
    let json: Vec<_> = scene.journal.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    let id = "00000000-0000-0000-0000-000000000001";
    let find = |kind: &str| json.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(
        find("job_expanded")["instances"][0]["gate"],
        json!({"environment": "production", "approval": true, "reviewers": ["alice"], "barred": ["eve"],
               "wait_ms": 60_000, "expires_ms": 2_592_000_000_u64})
    );
    assert_eq!(
        *find("gate_decided"),
        json!({"type": "gate_decided", "instance": id, "verdict": "approved", "actor": "alice",
               "comment": "looks fine", "at": 1_060_000})
    );
    assert_eq!(*find("gate_opened"), json!({"type": "gate_opened", "instance": id, "at": 1_060_000}));
    for event in &scene.journal {
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
    // What has no gate says nothing about one.
    let mut plain = Scene::with(&["a"]);
    plain.expand("a", &[1]);
    assert!(!serde_json::to_string(&plain.journal).unwrap().contains("gate"));
    assert!(!serde_json::to_string(&plain.state).unwrap().contains("review"));
}
