#![allow(clippy::unwrap_used)]

use super::{Board, Transcript};
use crate::client::types::{Event, Run};
use crate::failure::Exit;

fn event(json: serde_json::Value) -> Event {
    serde_json::from_value(json).unwrap()
}

fn step(instance: &str, name: &str, outcome: Option<&str>) -> Event {
    event(serde_json::json!({"type": "step", "instance": instance, "name": instance, "step": name,
                             "outcome": outcome, "conclusion": outcome}))
}

fn log(instance: &str, step: &str, line: &str) -> Event {
    event(serde_json::json!({"type": "log", "job": "b", "instance": instance, "step": step, "line": line}))
}

fn job(instance: &str, result: &str, cause: Option<&str>, attempt: u32) -> Event {
    event(serde_json::json!({"type": "job", "job": instance, "instance": instance, "name": instance,
                             "result": result, "attempt": attempt, "cause": cause}))
}

fn told(events: &[Event]) -> (Board, Vec<String>) {
    let mut board = Board::default();
    let mut transcript = Transcript::new(false, true, true);
    let mut lines = Vec::new();
    for (at, event) in events.iter().enumerate() {
        board.take_event(event, at as u64 * 1000);
        lines.extend(transcript.lines(event, &board));
    }
    (board, lines)
}

#[test]
fn lines_say_whose_they_are_and_steps_have_one_heading() {
    let (_, lines) = told(&[
        step("a", "Build", None),
        log("a", "Build", "one\u{1b}[2J"),
        log("b", "Test", "two"),
        step("a", "Build", Some("success")),
        step("a", "Check", Some("skipped")),
        job("a", "success", None, 1),
    ]);
    assert_eq!(
        lines,
        [
            "a | # Build",
            "a | one",
            "b | # Test",
            "b | two",
            "a | # Check",
            "a | step skipped",
            "a | job success"
        ]
    );
}

#[test]
fn the_summary_tells_failed_steps_with_their_last_lines() {
    let mut events = vec![step("a", "Test", None)];
    events.extend((1..=12).map(|n| log("a", "Test", &format!("line {n}"))));
    events.push(step("a", "Test", Some("failure")));
    events.push(job("a", "failure", None, 1));
    let (board, _) = told(&events);
    let summary = board.summary("r", "failure", false);
    assert!(summary.contains("a: step `Test` failed\n    line 3\n"), "{summary}");
    assert!(summary.contains("    line 12\n") && !summary.contains("line 2\n"), "{summary}");
    assert!(summary.contains("a    failure  14s"), "{summary}");
    assert!(summary.ends_with("run r failure\n"), "{summary}");
}

#[test]
fn only_fleet_failures_alone_are_the_fleets() {
    let exit = |events: &[Event], result| told(events).0.exit(result, None);
    let fleet = job("a", "failure", Some("agent_lost"), 3);
    assert_eq!(exit(&[job("a", "success", None, 1)], "success"), Exit::Success);
    assert_eq!(exit(&[job("a", "failure", None, 1)], "failure"), Exit::WorkFailed);
    assert_eq!(exit(std::slice::from_ref(&fleet), "failure"), Exit::FleetFailed);
    assert_eq!(exit(&[fleet, job("b", "failure", None, 1)], "failure"), Exit::WorkFailed);
    assert_eq!(exit(&[], "cancelled"), Exit::WorkFailed);
    assert_eq!(exit(&[], "failure"), Exit::WorkFailed);
}

#[test]
fn a_new_attempt_runs_again() {
    let (board, lines) = told(&[
        event(serde_json::json!({"type": "job", "job": "a", "instance": "a", "name": "a", "result": null,
                                 "attempt": 1, "cause": "agent_lost"})),
        log("a", "Test", "again"),
        job("a", "success", None, 2),
    ]);
    assert_eq!(lines[0], "a | attempt 1 ended, the fleet failed (agent_lost); another follows");
    let summary = board.summary("r", "success", false);
    assert!(summary.contains("(attempt 2)") && !summary.contains("agent_lost"), "{summary}");
}

#[test]
fn waiting_jobs_say_why() {
    let mut board = Board::default();
    let run: Run = serde_json::from_value(serde_json::json!({"run_id": "r", "instances": [
        {"instance_id": "i", "job": "gpu", "name": "gpu", "state": "waiting", "waits_for": "no agent has `gpu`"},
        {"instance_id": "j", "job": "b", "name": "b", "state": "running", "attempt": 2},
    ]}))
    .unwrap();
    board.take_status(&run, 0);
    assert!(board.knows("i") && !board.knows("x"));
    assert_eq!(board.status_lines(1500), ["· gpu  no agent has `gpu`", "- b (try 2)  1.5s"]);
}
