#![allow(clippy::unwrap_used)]

use super::{Board, Looks, Transcript};
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
    let mut transcript = Transcript::new(Looks { colours: false, prefix: true, verbose: false });
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
    assert_eq!(exit(&[job("a", "skipped", None, 0)], "skipped"), Exit::Success);
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

/// A line of a numbered step, as coordinators send it.
fn numbered(number: u32, step: &str, stream: &str, line: &str) -> Event {
    event(
        serde_json::json!({"type": "log", "job": "a", "instance": "a", "name": "a", "step": step, "number": number,
                             "stream": stream, "line": line}),
    )
}

fn ended(number: u32, step: &str, outcome: &str, conclusion: &str, exit_code: i32) -> Event {
    event(serde_json::json!({"type": "step", "instance": "a", "name": "a", "step": step, "number": number,
                             "outcome": outcome, "conclusion": conclusion, "exit_code": exit_code}))
}

fn annotation(level: &str, message: &str, file: &str, line: u32) -> Event {
    event(serde_json::json!({"type": "annotation", "job": "a", "instance": "a", "step": "s", "level": level,
                             "message": message, "title": "", "file": file, "line": line}))
}

#[test]
fn a_step_whose_name_is_masked_meanwhile_keeps_its_heading() {
    let (_, lines) = told(&[
        numbered(1, "Deploy world", "stdout", "hello"),
        ended(1, "Deploy ***", "failure", "failure", 1),
        numbered(2, "Deploy ***", "stdout", "another"),
    ]);
    assert_eq!(
        lines,
        ["a | # Deploy world", "a | hello", "a | step failure", "a | # Deploy ***", "a | another"]
    );
}

#[test]
fn the_script_is_folded_away_and_only_the_runners_own_repetition() {
    let events = [
        numbered(1, "Run make", "system", "##[group]Run make"),
        numbered(1, "Run make", "system", "\u{1b}[36;1mmake\u{1b}[0m"),
        numbered(1, "Run make", "system", "##[endgroup]"),
        numbered(1, "Run make", "stdout", "##[group]Run tests"),
        numbered(1, "Run make", "stdout", "\u{1b}[32mgreen\u{1b}[0m"),
        numbered(1, "Run make", "stdout", "##[endgroup]"),
        numbered(2, "Run x", "stdout", "##[group]Run x"),
    ];
    let (board, lines) = told(&events);
    assert_eq!(lines, ["a | # Run make", "a | ▸ Run tests", "a | green", "a | # Run x", "a | ▸ Run x"]);
    let mut verbose = Transcript::new(Looks { colours: true, prefix: false, verbose: true });
    let lines: Vec<String> = events.iter().take(4).flat_map(|event| verbose.lines(event, &board)).collect();
    assert!(lines[1].contains("▸ Run make") && lines[2].contains("\u{1b}[36;1mmake"), "{lines:?}");
}

#[test]
fn markers_read_as_what_they_mean_and_say_where() {
    let (board, lines) = told(&[
        numbered(1, "s", "stdout", "##[warning]watch out"),
        annotation("warning", "watch out", "src/a.c", 3),
        numbered(1, "s", "stdout", "##[debug]why"),
        numbered(1, "s", "system", "##[error]Process completed with exit code 2."),
        annotation("error", "Process completed with exit code 2.", "", 0),
        annotation("notice", "by the way", "", 0),
        annotation("error", "one\ntwo", "src/b.c", 0),
        ended(1, "s", "failure", "success", 2),
    ]);
    assert_eq!(
        lines[1..5],
        [
            "a | warning: watch out",
            "a |   --> src/a.c:3",
            "a | debug: why",
            "a | error: Process completed with exit code 2."
        ]
    );
    let findings = board.findings(false);
    let expected = "
warning: src/a.c:3: watch out  (a)
error: src/b.c: one
    two  (a)

a: step `s` failed with exit code 2, and its job went on (continue-on-error)
    warning: watch out
    debug: why
";
    assert_eq!(findings, expected);
}

#[test]
fn a_new_attempt_forgets_what_the_lost_one_found() {
    let (board, _) = told(&[
        numbered(1, "s", "stdout", "x"),
        annotation("warning", "w", "", 0),
        ended(1, "s", "failure", "failure", 1),
        event(serde_json::json!({"type": "job", "job": "a", "instance": "a", "name": "a", "result": null,
                                 "attempt": 1, "cause": "agent_lost"})),
    ]);
    assert_eq!(board.findings(false), "");
}

#[test]
fn the_same_annotation_of_several_jobs_is_told_once() {
    let of = |instance: &str| {
        event(serde_json::json!({"type": "annotation", "job": "a", "instance": instance, "step": "s",
                                 "level": "warning", "message": "old", "title": "", "file": "", "line": 0}))
    };
    let (board, _) = told(&[log("a", "s", "x"), log("c", "s", "x"), of("a"), of("a"), of("c")]);
    assert_eq!(board.findings(false), "\nwarning: old  (b, b)\n");
}
