//! Leases, fencing, new attempts and strict jobs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{FAILURE, SUCCESS, Scene, expansion, fleet_failure, kinds, submit, view};
use slipway_scheduler::command::{ExtendLease, Grant, LeaseRef, Report, Resolution, Trust};
use slipway_scheduler::limits::{ATTEMPTS_DEFAULT, AVOID_AGENT_MS, BACKOFF_MS_MAX, LEASE_MS, LEASE_MS_MAX};
use slipway_scheduler::policy::RetryRule;
use slipway_scheduler::{
    Command, Event, FencingToken, FleetCause, InstanceId, JobResult, LabelSet, Rejection, Rules, State,
    gave_up,
};

fn scene() -> (Scene, LeaseRef) {
    let mut scene = Scene::with(&["a"]);
    scene.expand("a", &[1]);
    let lease = scene.grant(1, 1)[0];
    (scene, lease)
}

#[test]
fn the_oldest_fitting_instances_go_first_over_all_labels() {
    let mut scene = Scene::with(&["a"]);
    let mut matrix = expansion(&[1, 2, 3, 4, 5]);
    for (at, labels) in [(1, vec!["arm64"]), (2, vec!["linux", "X64"]), (4, vec!["x64"])] {
        matrix.instances[at].labels = LabelSet::new(labels);
    }
    scene.resolve("a", Resolution::Instances(matrix));
    let granted: Vec<_> = scene.grant(1, 3).iter().map(|lease| lease.instance).collect();
    assert_eq!(granted, [1, 3, 4].map(InstanceId::from_u128));
    let tokens: Vec<_> = scene.state.leases().map(|(lease, _)| lease.token.sequence).collect();
    assert_eq!(tokens, [1, 2, 3]);
}

#[test]
fn untrusted_runs_go_only_where_they_are_accepted() {
    let mut scene = Scene::new();
    let mut outside = submit(scene::RUN, &["a"]);
    outside.meta.trust = Trust::Untrusted;
    scene.run(Command::Submit(Box::new(outside)));
    scene.expand("a", &[1]);
    assert!(scene.grant(1, 1).is_empty());
    let mut agent = view(2, &["linux"]);
    agent.accepts_untrusted = true;
    assert_eq!(scene.grant_to(&agent, 1).len(), 1);
}

#[test]
fn only_the_live_lease_may_speak() {
    let (mut scene, old) = scene();
    scene.expire(old, FleetCause::AgentLost);
    let live = scene.grant(2, 1)[0];
    assert_eq!(live.attempt, 2);
    assert!(live.token > old.token);
    let stale =
        || Rejection::StaleLease { instance: old.instance, token: old.token, current: Some(live.token) };
    let report = Report { lease: old, outcome: SUCCESS, records: 0, records_digest: None };
    for command in [
        Command::Report(report),
        Command::StepBegan(old),
        Command::TimeOutInstance(old),
        Command::ExtendLease(ExtendLease { lease: old, lease_ms: 2 * LEASE_MS }),
    ] {
        assert_eq!(scene.attempt(command), Err(stale()));
    }
    // A forged mixture is stale as well.
    let forged = LeaseRef { token: live.token, ..old };
    assert!(scene.attempt(Command::StepBegan(forged)).is_err());
}

#[test]
fn the_same_report_again_changes_nothing_and_another_is_refused() {
    let (mut scene, lease) = scene();
    scene.report(lease, SUCCESS);
    assert_eq!(scene.report(lease, SUCCESS), []);
    let other = Command::Report(Report { lease, outcome: FAILURE, records: 7, records_digest: None });
    assert!(matches!(scene.attempt(other), Err(Rejection::StaleLease { current: None, .. })));
}

#[test]
fn tokens_rise_over_leaders() {
    let (mut scene, first) = scene();
    scene.run(Command::TakeOver { epoch: 5 });
    let stale = Rejection::StaleEpoch { epoch: 5, current: 5 };
    assert_eq!(scene.attempt(Command::TakeOver { epoch: 5 }), Err(stale));
    // A lease outlives its leader.
    assert!(scene.state.leased(&first).is_some());
    scene.expire(first, FleetCause::AgentLost);
    assert_eq!(scene.grant(2, 1)[0].token, FencingToken { epoch: 5, sequence: 1 });
}

#[test]
fn a_fleet_failure_is_retried_by_its_rule_then_fails() {
    for cause in FleetCause::ALL {
        let mut scene = Scene::with(&["a"]);
        scene.expand("a", &[1]);
        let rule = Rules::default().retry(cause);
        for number in 1..=rule.attempts {
            scene.pass(BACKOFF_MS_MAX + AVOID_AGENT_MS);
            let lease = scene.grant(1, 1)[0];
            assert_eq!(lease.attempt, number);
            let events = scene.expire(lease, cause);
            let retried = matches!(events[1], Event::RetryScheduled { .. });
            assert_eq!(retried, number < rule.attempts, "{cause} {number}");
        }
        assert_eq!(scene.result(1), Some(JobResult::Failure), "{cause}");
    }
}

#[test]
fn backoff_doubles_within_its_bounds() {
    let rules = Rules::default();
    let backoff_ms = |cause, failed, attempts| rules.backoff_ms(cause, failed, attempts);
    assert_eq!(backoff_ms(FleetCause::ImagePull, 1, 1), Some(2_000));
    assert_eq!(backoff_ms(FleetCause::ImagePull, 2, 2), Some(4_000));
    assert_eq!(backoff_ms(FleetCause::ImagePull, 4, 4), Some(16_000));
    assert_eq!(backoff_ms(FleetCause::ImagePull, 5, 5), None);
    assert_eq!(backoff_ms(FleetCause::AgentLost, 1, ATTEMPTS_DEFAULT), None);
}

#[test]
fn a_new_attempt_waits_and_prefers_another_agent() {
    let (mut scene, lease) = scene();
    scene.report(lease, fleet_failure(FleetCause::DiskFull));
    assert_eq!(scene.state.next_retry(), Some(scene.now.after(5_000)));
    assert!(scene.grant(2, 1).is_empty(), "in back-off");
    scene.pass(5_000);
    assert!(scene.grant(1, 1).is_empty(), "where it failed");
    assert!(scene.state.work_for(&view(1, &["linux"]), scene.now).is_none());
    assert!(scene.state.work_for(&view(2, &["linux"]), scene.now).is_some());
    scene.pass(AVOID_AGENT_MS);
    assert_eq!(scene.grant(1, 1).len(), 1, "better there than nowhere");
}

#[test]
fn a_declined_lease_costs_no_attempt_and_goes_to_another_agent_at_once() {
    let (mut scene, lease) = scene();
    for round in 1..=2 * u128::from(ATTEMPTS_DEFAULT) {
        let (holder, other) = (1 + (round + 1) % 2, 1 + round % 2);
        let live = scene.state.leases().next().unwrap().0;
        assert_eq!(live.attempt, 1);
        assert_eq!(kinds(&scene.run(Command::Decline(live))), ["lease_declined", "retry_scheduled"]);
        assert_eq!(scene.state.instance(lease.instance).unwrap().attempts(), []);
        assert!(scene.grant(holder, 1).is_empty(), "it has just said no");
        let next = scene.grant(other, 1)[0];
        assert!(next.token > live.token);
    }
    let live = scene.state.leases().next().unwrap().0;
    scene.run(Command::Decline(live));
    scene.pass(AVOID_AGENT_MS);
    let live = scene.grant(1, 1)[0];
    assert_eq!(live.attempt, 1, "better there than nowhere");
    assert!(matches!(scene.attempt(Command::Decline(lease)), Err(Rejection::StaleLease { .. })));
    scene.report(live, SUCCESS);
    assert_eq!(scene.result(1), Some(JobResult::Success));
}

#[test]
fn a_declined_lease_of_a_cancelled_run_ends_its_instance() {
    let (mut scene, lease) = scene();
    scene.cancel();
    scene.run(Command::Decline(lease));
    assert_eq!(scene.result(1), Some(JobResult::Cancelled));
    assert_eq!(scene.run_result(), Some(JobResult::Cancelled));
}

#[test]
fn a_strict_job_whose_step_began_cannot_be_declined() {
    let mut scene = Scene::with(&["a"]);
    let mut strict = expansion(&[1]);
    strict.instances[0].strict = true;
    strict.instances[0].restart_allowed = true;
    scene.resolve("a", Resolution::Instances(strict));
    let lease = scene.grant(1, 1)[0];
    scene.run(Command::StepBegan(lease));
    assert_eq!(scene.run(Command::Decline(lease)), []);
    assert!(scene.state.leased(&lease).is_some(), "it may be running: its lease ends in its own time");
}

#[test]
fn a_clock_that_is_put_back_does_not_hold_a_new_attempt() {
    let (mut scene, lease) = scene();
    scene.report(lease, fleet_failure(FleetCause::DiskFull));
    scene.now.0 -= 900_000;
    assert_eq!(scene.grant(2, 1).len(), 1);
}

#[test]
fn a_new_attempt_goes_before_younger_ones() {
    let (mut scene, lease) = scene();
    scene.expire(lease, FleetCause::AgentLost);
    scene.run(Command::Submit(Box::new(submit(slipway_scheduler::RunId::from_u128(2), &["z"]))));
    let resolve = slipway_scheduler::command::ResolveJob {
        run: slipway_scheduler::RunId::from_u128(2),
        job: "z".into(),
        cancelled: false,
        resolution: scene::instances(&[2]),
    };
    scene.run(Command::ResolveJob(resolve));
    assert_eq!(scene.grant(2, 1)[0].instance, InstanceId::from_u128(1));
}

#[test]
fn a_strict_job_starts_again_only_before_its_first_step() {
    for (began, restart_allowed, again) in [(false, false, true), (true, false, false), (true, true, true)] {
        let mut scene = Scene::with(&["a"]);
        let mut strict = expansion(&[1]);
        strict.instances[0].strict = true;
        strict.instances[0].restart_allowed = restart_allowed;
        scene.resolve("a", Resolution::Instances(strict));
        let lease = scene.grant(1, 1)[0];
        if began {
            assert_eq!(kinds(&scene.run(Command::StepBegan(lease))), ["step_began"]);
            assert_eq!(scene.run(Command::StepBegan(lease)), []);
        }
        let events = scene.expire(lease, FleetCause::AgentLost);
        assert_eq!(matches!(events[1], Event::RetryScheduled { .. }), again);
        if !again {
            assert_eq!(scene.result(1), Some(JobResult::Failure));
        }
    }
}

#[test]
fn an_ordinary_job_needs_no_step_event() {
    let (mut scene, lease) = scene();
    assert_eq!(scene.run(Command::StepBegan(lease)), []);
}

#[test]
fn a_strict_job_makes_its_instances_strict() {
    let mut scene = Scene::new();
    let mut run = submit(scene::RUN, &["a"]);
    run.jobs[0].strict = true;
    scene.run(Command::Submit(Box::new(run)));
    scene.expand("a", &[1]);
    assert!(scene.state.instance(InstanceId::from_u128(1)).unwrap().definition().strict);
}

#[test]
fn a_lease_only_grows() {
    let (mut scene, lease) = scene();
    let extend = |lease_ms| Command::ExtendLease(ExtendLease { lease, lease_ms });
    assert_eq!(kinds(&scene.run(extend(2 * LEASE_MS))), ["lease_extended"]);
    assert_eq!(scene.run(extend(2 * LEASE_MS)), []);
    for lease_ms in [0, LEASE_MS, LEASE_MS_MAX + 1] {
        assert!(matches!(scene.attempt(extend(lease_ms)), Err(Rejection::LeaseTime { .. })));
    }
    let instance = scene.state.instance(lease.instance).unwrap();
    assert_eq!(instance.lease_ms(), Some(2 * LEASE_MS));
}

#[test]
fn the_coordinator_times_out_what_its_agent_does_not() {
    let (mut scene, lease) = scene();
    let events = scene.run(Command::TimeOutInstance(lease));
    assert!(matches!(events[0], Event::AttemptFinished { reported: false, .. }));
    assert_eq!(scene.run_result(), Some(JobResult::Cancelled));
    // The agent's own word comes too late.
    assert!(
        scene
            .attempt(Command::Report(Report { lease, outcome: SUCCESS, records: 7, records_digest: None }))
            .is_err()
    );
}

#[test]
fn retries_follow_the_rules_that_are_given_and_a_poison_job_says_why_it_is_given_up() {
    let (mut scene, lease) = scene();
    scene.rules.set_retry(FleetCause::ImagePull, RetryRule { attempts: 3, backoff_ms: 500 });
    scene.rules.attempts = 4;
    let mut next = lease;
    for (cause, wait_ms) in
        [(FleetCause::ImagePull, 500), (FleetCause::DiskFull, 5_000), (FleetCause::ImagePull, 1_000)]
    {
        let events = scene.report(next, fleet_failure(cause));
        let due = scene.now.after(wait_ms);
        assert!(
            matches!(events[1], Event::RetryScheduled { not_before, .. } if not_before == due),
            "{events:?}"
        );
        scene.pass(BACKOFF_MS_MAX + AVOID_AGENT_MS);
        next = scene.grant(1, 1)[0];
        assert_eq!(gave_up(scene.state.instance(next.instance).unwrap()), None);
    }
    scene.report(next, fleet_failure(FleetCause::AgentLost));
    let instance = scene.state.instance(next.instance).unwrap();
    let told = gave_up(instance).unwrap().to_string();
    assert_eq!(told, "given up after 4 attempts: agent_lost once, image_pull 2 times, disk_full once");
    // The rules are no part of the journal, what they led to is.
    let mut replayed = State::new();
    scene.journal.iter().for_each(|event| replayed.apply(event));
    assert_eq!(replayed, scene.state);
}

#[test]
fn an_agent_that_does_not_fit_or_an_instance_that_does_not_wait_is_no_grant() {
    let (mut scene, lease) = scene();
    let grant = |agent, instance| Command::Grant(Grant { agent, instance });
    let id = lease.instance;
    let agent = view(2, &["linux"]);
    assert_eq!(scene.attempt(grant(agent.clone(), id)), Err(Rejection::NotWaiting { instance: id }));
    scene.expire(lease, FleetCause::AgentLost);
    let other = view(2, &["windows"]);
    let refused = Rejection::DoesNotFit { instance: id, agent: other.id };
    assert_eq!(scene.attempt(grant(other, id)), Err(refused));
    let avoided = scene.attempt(grant(view(1, &["linux"]), id));
    assert_eq!(avoided, Err(Rejection::NotWaiting { instance: id }), "where it failed, at first");
    assert_eq!(scene.attempt(grant(agent, id)).unwrap().len(), 1);
}
