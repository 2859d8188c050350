//! The form in which events and snapshots are kept: it must not change by accident.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{FAILURE, SUCCESS, Scene, expansion, fleet_failure, submit};
use serde_json::json;
use slipway_scheduler::command::{Expansion, ExtendLease, Resolution};
use slipway_scheduler::{Command, Event, FleetCause, RunId, State};

/// A journal with every kind of event in it.
fn full_scene() -> Scene {
    let mut scene = Scene::new();
    let mut run = submit(scene::RUN, &["a", "b: a", "c: b", "d"]);
    run.idempotency_key = Some("key".into());
    scene.run(Command::Submit(Box::new(run)));
    let mut matrix = Expansion { max_parallel: Some(1), ..expansion(&[1, 2]) };
    matrix.instances[0].strict = true;
    scene.resolve("a", Resolution::Instances(matrix));
    let declined = scene.grant(3, 1)[0];
    scene.run(Command::Decline(declined));
    let lease = scene.grant(1, 1)[0];
    scene.run(Command::ExtendLease(ExtendLease { lease, lease_ms: 60_000 }));
    scene.report(lease, fleet_failure(FleetCause::ImagePull));
    scene.pass(100_000);
    let lease = scene.grant(2, 1)[0];
    scene.run(Command::StepBegan(lease));
    scene.report(lease, FAILURE);
    let lease = scene.grant(2, 1)[0];
    scene.report(lease, SUCCESS);
    scene.skip("b");
    scene.resolve("c", Resolution::Invalid { message: "line 3".into() });
    scene.expand("d", &[3]);
    let lease = scene.grant(2, 1)[0];
    scene.cancel();
    scene.report(lease, SUCCESS);
    scene.run(Command::RetireRun { run: scene::RUN });
    scene.run(Command::Submit(Box::new(submit(RunId::from_u128(7), &["z"]))));
    scene
}

#[test]
fn every_kind_of_event_comes_back_from_json() {
    let scene = full_scene();
    let mut seen = std::collections::BTreeSet::new();
    for event in &scene.journal {
        let json = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
        seen.extend(scene::kinds(std::slice::from_ref(event)));
    }
    let kinds = [
        "attempt_finished",
        "cancel_requested",
        "epoch_began",
        "instance_finished",
        "instance_queued",
        "job_expanded",
        "job_finished",
        "job_invalid",
        "job_ready",
        "job_skipped",
        "lease_declined",
        "lease_extended",
        "leased",
        "retry_scheduled",
        "run_cancelled",
        "run_finished",
        "run_retired",
        "run_submitted",
        "step_began",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), kinds);
}

#[test]
fn the_form_of_an_event_stays() {
    let scene = full_scene();
    let form = |kind: &str| {
        let mut events = scene.journal.iter().map(|event| serde_json::to_value(event).unwrap());
        events.find(|event| event["type"] == kind).unwrap()
    };
    let id = |number: u32| format!("00000000-0000-0000-0000-{number:012}");
    assert_eq!(
        form("leased"),
        json!({"type": "leased", "instance": id(1), "attempt": 1, "agent": id(3),
               "token": {"epoch": 1, "sequence": 1}, "at": 1_000_000})
    );
    assert_eq!(
        form("lease_declined"),
        json!({"type": "lease_declined", "instance": id(1), "attempt": 1, "token": {"epoch": 1, "sequence": 1},
               "at": 1_000_000})
    );
    assert_eq!(
        form("attempt_finished"),
        json!({"type": "attempt_finished", "instance": id(1), "attempt": 1, "token": {"epoch": 1, "sequence": 2},
               "outcome": {"kind": "fleet", "cause": "image_pull"}, "records": 7, "reported": true, "at": 1_000_000})
    );
    assert_eq!(
        form("job_finished"),
        json!({"type": "job_finished", "run": id(1), "job": "a", "result": "failure", "conclusion": "failure",
               "at": 1_100_000})
    );
    assert_eq!(form("cancel_requested")["reason"], json!({"kind": "run"}));
}

#[test]
fn the_journal_gives_the_state_from_every_prefix() {
    let scene = full_scene();
    let mut prefix = State::new();
    for (at, event) in scene.journal.iter().enumerate() {
        let mut rest = prefix.clone();
        for event in scene.journal.iter().skip(at) {
            rest.apply(event);
        }
        assert_eq!(rest, scene.state, "from event {at}");
        prefix.apply(event);
    }
}

#[test]
fn a_snapshot_comes_back_equal() {
    let scene = full_scene();
    let mut state = State::new();
    for event in &scene.journal {
        state.apply(event);
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
    }
}

#[test]
fn a_snapshot_of_another_version_is_refused() {
    let mut json = serde_json::to_value(State::new()).unwrap();
    json["version"] = json!(2);
    let error = serde_json::from_value::<State>(json).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}
