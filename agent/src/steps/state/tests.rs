#![allow(clippy::unwrap_used)]

use super::*;

fn set_env(name: &str, value: &str) -> Effect {
    Effect::SetEnv { name: name.into(), value: value.into() }
}

#[test]
fn effects_add_up() {
    let mut state = JobState::new([("A", "job"), ("B", "job")].into_iter().collect());
    state.begin_step("one");
    for effect in [
        set_env("A", "step"),
        set_env("a", "other"),
        Effect::AddPath("/1".into()),
        Effect::AddPath("/2".into()),
        Effect::AddPath("/1".into()),
        Effect::SetOutput { name: "Out".into(), value: "1".into() },
        Effect::SetOutput { name: "OUT".into(), value: "2".into() },
    ] {
        state.apply(&effect).unwrap();
    }
    assert_eq!(state.env().iter().collect::<Vec<_>>(), [("A", "step"), ("B", "job"), ("a", "other")]);
    assert_eq!(state.path().collect::<Vec<_>>(), ["/1", "/2"]);
    let step = &state.steps()[0];
    assert_eq!(step.outputs.iter().collect::<Vec<_>>(), [("Out", "2")]);
    assert!(!state.failed_by_command());
    state.apply(&Effect::FailStep).unwrap();
    assert!(state.failed_by_command());
    let saved = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<JobState>(&saved).unwrap(), state);
}

#[test]
fn status_progresses() {
    let mut state = JobState::default();
    let end = |ended, continues| StepEnd::new(ended, false, continues);
    state.begin_step("a");
    state.end_step(end(super::super::outcome::Ended::Exited(1), true));
    assert_eq!(state.status(), JobStatus::Success);
    state.begin_step("b");
    state.end_step(end(super::super::outcome::Ended::Exited(1), false));
    assert_eq!(state.status(), JobStatus::Failure);
    state.begin_step("c");
    state.end_step(end(super::super::outcome::Ended::Exited(0), false));
    assert_eq!(state.status(), JobStatus::Failure);
    state.cancel();
    state.fail();
    assert_eq!(state.status(), JobStatus::Cancelled);
    assert_eq!(state.steps()[0].outcome, Some(StepResult::Failure));
    assert_eq!(state.steps()[0].conclusion, Some(StepResult::Success));
}

#[test]
fn what_ran_beside_the_others_is_taken_in() {
    let beside = |value: String| {
        let mut lane = JobState::new([("BIG", "not kept")].into_iter().collect());
        lane.begin_step("earlier");
        lane.begin_step("side");
        lane.apply(&Effect::SetOutput { name: "x".into(), value }).unwrap();
        lane.end_step(StepEnd::new(super::super::outcome::Ended::Exited(1), false, true));
        lane.keep_last();
        assert!(lane.env().is_empty() && lane.steps().len() == 1);
        lane.steps()[0].clone()
    };
    let mut job = JobState::new([("A", "job")].into_iter().collect());
    job.begin_step("wait");
    let env: Values = [("A", "side")].into_iter().collect();
    job.adopt(beside("1".into()), &env, &["/side".into()]).unwrap();
    assert_eq!(job.steps().iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["side", "wait"]);
    assert_eq!(job.steps()[0].outputs.get("X"), Some("1"));
    assert_eq!(job.steps()[0].outcome, Some(StepResult::Failure));
    assert_eq!((job.env().get("A"), job.path().next()), (Some("side"), Some("/side")));
    assert!(!job.failed_by_command() && job.status() == JobStatus::Success);
    // Two halves that fit alone and not together.
    let half = MAX_STATE_BYTES / 2;
    job.adopt(beside("x".repeat(half)), &Values::default(), &[]).unwrap();
    assert_eq!(job.adopt(beside("x".repeat(half)), &env, &[]), Err(StateFull));
    assert!(job.steps()[2].outputs.is_empty() && job.failed_by_command());
}

#[test]
fn a_job_cannot_remember_without_end() {
    let mut state = JobState::default();
    state.begin_step("a");
    let value = "x".repeat(MAX_STATE_BYTES);
    assert_eq!(state.apply(&set_env("A", &value)), Err(StateFull));
    assert!(state.env().is_empty() && state.failed_by_command());
    assert!(StateFull.to_string().contains("32 MiB"));
}
