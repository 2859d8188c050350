//! `lint`, `plan` and `eval`: what they print and how they end.
#![allow(clippy::unwrap_used)]

mod program;

use program::{Place, refuses};
use serde_json::{Value as Json, json};

const GOOD: &str = "\
name: CI
on: {push: {branches: [main]}}
jobs:
  build:
    runs-on: ubuntu-latest
    strategy: {matrix: {os: [a, b]}}
    outputs: {list: '${{ steps.s.outputs.list }}'}
    steps: [{id: s, run: 'true'}]
  test:
    needs: build
    if: github.ref == 'refs/heads/other'
    runs-on: [self-hosted, gpu]
    steps: [{run: 'true'}]
  fan:
    needs: build
    runs-on: ubuntu-latest
    strategy: {matrix: {x: '${{ fromJSON(needs.build.outputs.list) }}'}}
    steps: [{run: 'true'}]
";

const BAD: &str = "on: push\njobs:\n  a:\n    runs-on: x\n    stepz: []\n    steps: [{run: 'true'}]\n";

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_good_workflow_has_no_findings() {
    let place = Place::new();
    place.write(".github/workflows/ci.yml", GOOD);
    let done = place.run(&["lint"]);
    assert_eq!((done.code, done.out.as_str()), (0, "0 errors, 0 warnings in 1 file\n"), "{done:?}");
    assert_eq!(json(&place.run(&["lint", "--format", "json"]).out), json!([]));
}

#[test]
fn a_bad_workflow_is_told_in_every_format() {
    let place = Place::new();
    place.write("bad.yml", BAD).write("good.yml", GOOD);
    let people = place.run(&["lint", "good.yml", "bad.yml"]);
    assert_eq!(people.code, 1);
    assert!(people.out.contains("bad.yml:5:5") && people.out.contains("stepz"), "{people:?}");
    assert!(people.out.ends_with("1 error, 0 warnings in 2 files\n"), "{people:?}");

    let script = place.run(&["lint", "bad.yml", "--format", "json"]);
    assert_eq!(script.code, 1);
    let finding = &json(&script.out)[0];
    assert_eq!(
        (&finding["file"], &finding["line"], &finding["column"], &finding["severity"]),
        (&json!("bad.yml"), &json!(5), &json!(5), &json!("error"))
    );
    assert!(finding["code"].is_string() && finding["message"].is_string(), "{finding}");
    assert!(finding.as_object().unwrap().contains_key("hint"), "{finding}");

    let sarif = place.run(&["lint", "bad.yml", "--format", "sarif"]);
    assert_eq!(sarif.code, 1);
    assert_eq!(json(&sarif.out)["version"], "2.1.0");
    assert_eq!(json(&sarif.out)["runs"][0]["results"][0]["level"], "error");

    let github = place.run(&["lint", "bad.yml", "--format", "github"]);
    assert_eq!(github.code, 1);
    assert!(github.out.starts_with("::error file=bad.yml,line=5,col=5"), "{github:?}");
}

#[test]
fn the_repositorys_settings_are_checked_beside_its_workflows() {
    let place = Place::new();
    place
        .write(".github/workflows/ci.yml", GOOD)
        .write(".slipway.yml", "gates:\n  coverage: { min: lots }\n");
    let done = place.run(&["lint"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains(".slipway.yml:2:20") && done.out.contains("gates.coverage.min"), "{done:?}");
    assert!(done.out.ends_with("1 error, 0 warnings in 2 files\n"), "{done:?}");
    place.write(".slipway.yml", "gates:\n  coverage: { min: 80 }\n");
    assert_eq!(place.run(&["lint", ".slipway.yml"]).out, "0 errors, 0 warnings in 1 file\n");
}

#[test]
fn files_that_cannot_be_read_are_wrong_usage() {
    let place = Place::new();
    refuses(&place.run(&["lint", "missing.yml"]), 2, &["missing.yml"]);
    refuses(&place.run(&["lint"]), 2, &[".github/workflows"]);
    refuses(&place.run(&["lint", "."]), 2, &["directory"]);
    std::fs::write(place.path().join("binary.yml"), b"on: \xff\n").unwrap();
    refuses(&place.run(&["lint", "binary.yml"]), 2, &["binary.yml", "UTF-8"]);
    place.write("large.yml", &"#".repeat(1024 * 1024 + 1));
    refuses(&place.run(&["lint", "large.yml"]), 2, &["large.yml", "1048576"]);
}

#[test]
fn malformed_yaml_has_its_place() {
    let place = Place::new();
    place.write("broken.yml", "on: push\njobs: [\n");
    let done = place.run(&["lint", "broken.yml"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("broken.yml:"), "{done:?}");
    refuses(&place.run(&["plan", "broken.yml"]), 2, &["broken.yml"]);
    refuses(&place.run(&["run", "broken.yml"]), 2, &["broken.yml"]);
}

#[test]
fn a_plan_tells_what_runs_and_why_not() {
    let place = Place::new();
    place.write(".github/workflows/ci.yml", GOOD);
    let done = place.run(&["plan", "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let plan = json(&done.out);
    assert_eq!(plan["triggered"], true);
    let jobs = plan["jobs"].as_array().unwrap();
    let names: Vec<&Json> = jobs.iter().map(|job| &job["name"]).collect();
    assert_eq!(names, [&json!("build (a)"), &json!("build (b)"), &json!("test"), &Json::Null]);
    assert_eq!(jobs[0]["matrix"], json!({"os": "a"}));
    assert_eq!((&jobs[2]["skipped"], &jobs[2]["runs_on"]), (&json!(true), &json!(["self-hosted", "gpu"])));
    assert!(jobs[2]["reason"].is_string());
    assert_eq!(jobs[3]["matrix"], Json::Null);

    let people = place.run(&["plan", "ci"]);
    assert_eq!(people.code, 0);
    assert!(people.out.contains("build (a)") && people.out.contains("\ntest is skipped: "), "{people:?}");
    let other = place.run(&["plan", "ci.yml", "--event", "release", "--json"]);
    assert_eq!(other.code, 0);
    assert_eq!((&json(&other.out)["triggered"], &json(&other.out)["jobs"]), (&json!(false), &json!([])));
}

#[test]
fn a_plan_explains_skips_down_to_the_steps() {
    let place = Place::new();
    place.write(
        ".github/workflows/ci.yml",
        "on: push\njobs:\n  pr:\n    if: github.event_name == 'pull_request'\n    runs-on: x\n    steps: [{run: a}]\n\
         \x20 after: {needs: pr, runs-on: x, steps: [{run: a}]}\n\
         \x20 m:\n    runs-on: x\n    strategy: {matrix: {v: [1, 2]}}\n    steps:\n    - run: one\n      if: matrix.v == 1\n    - name: Mail\n      run: x\n      if: failure()\n",
    );
    let people = place.run(&["plan"]);
    assert_eq!(people.code, 0, "{people:?}");
    for line in [
        "pr is skipped: its `if` is false: `github.event_name` is 'push'",
        "after is skipped: a job it needs was skipped: `pr`",
        "m (1): step `Mail` (line 14) is skipped: it runs only once a step before it failed",
        "m (2): step `Run one` (line 12) is skipped: its `if` is false: `matrix.v` is 2",
    ] {
        assert!(people.out.lines().any(|told| told == line), "`{line}` is missing: {}", people.out);
    }
    let plan = json(&place.run(&["plan", "--json"]).out);
    assert_eq!(plan["jobs"][3]["skipped_steps"][0]["line"], 12);
    assert!(plan["jobs"][0].get("skipped_steps").is_none(), "none is known: {plan}");
}

#[test]
fn without_a_terminal_several_workflows_are_listed_and_none_is_chosen() {
    let place = Place::new();
    let jobs = "jobs: {a: {runs-on: x, steps: [{run: a}]}}\n";
    for (file, events) in [("a.yml", "push"), ("b.yml", "[push, workflow_dispatch]"), ("c.yml", "issues")] {
        place.write(&format!(".github/workflows/{file}"), &format!("on: {events}\n{jobs}"));
    }
    for command in ["run", "plan"] {
        refuses(&place.run(&[command]), 2, &["several workflows for the event push", "a.yml, ", "b.yml"]);
        let none = place.run(&[command, "--event", "release"]);
        refuses(
            &none,
            2,
            &["no workflow in", "release", "b.yml (push, workflow_dispatch)", "c.yml (issues)"],
        );
    }
    let only = place.run(&["plan", "--event", "issues"]);
    assert_eq!(only.code, 0);
    assert!(only.err.contains("c.yml, the only one for the event issues"), "{only:?}");
}

#[test]
fn an_event_file_decides() {
    let place = Place::new();
    place.write(".github/workflows/ci.yml", GOOD);
    place.write("event.json", r#"{"ref": "refs/heads/other"}"#);
    let done = place.run(&["plan", "--event-file", "event.json", "--json"]);
    assert_eq!(json(&done.out)["triggered"], false, "{done:?}");
    place.write("event.json", "[1]");
    refuses(&place.run(&["plan", "--event-file", "event.json"]), 2, &["event.json", "object"]);
    place.write("event.json", "{\n  oops}");
    refuses(&place.run(&["plan", "--event-file", "event.json"]), 2, &["event.json", "line 2"]);
}

#[test]
fn expressions_have_values_and_kinds_of_errors() {
    let place = Place::new();
    place.write("c.json", r#"{"github": {"ref": "refs/heads/main", "n": [1, 2]}}"#);
    for (expression, printed) in [
        ("1 == 1", "true\n"),
        ("${{ github.ref }}", "refs/heads/main\n"),
        ("github.ref || 'x'", "refs/heads/main\n"),
        ("-1", "-1\n"),
        ("null", "null\n"),
        ("github.n", "[\n  1,\n  2\n]\n"),
    ] {
        let done = place.run(&["eval", expression, "--context", "c.json"]);
        assert_eq!((done.code, done.out.as_str()), (0, printed), "{expression}: {done:?}");
    }
    let value = place.run(&["eval", "github.n[1]", "--context", "c.json", "--json"]);
    assert_eq!((value.code, json(&value.out)), (0, json!({"value": 2})));
    for (expression, kind) in [("\"x\"", "lexing"), ("1 ==", "parsing"), ("fromJSON('{')", "evaluation")] {
        let done = place.run(&["eval", expression, "--json"]);
        assert_eq!((done.code, &json(&done.out)["error"]["kind"]), (2, &json!(kind)), "{done:?}");
        assert!(json(&done.out)["error"]["message"].is_string());
        refuses(&place.run(&["eval", expression]), 2, &[kind]);
    }
}

#[test]
fn a_batch_answers_each_line() {
    let place = Place::new();
    let lines = "{\"expr\":\"github.a\",\"contexts\":{\"github\":{\"a\":\"b\"}}}\n\n{\"expr\":\"'\"}\n{\"expr\":\"1 < 2\",\"contexts\":{}}\n";
    place.write("b.jsonl", lines);
    let done = place.run(&["eval", "--batch", "b.jsonl"]);
    assert_eq!(done.code, 0, "{done:?}");
    let answers: Vec<Json> = done.out.lines().map(json).collect();
    assert_eq!(answers.len(), 3);
    assert_eq!((&answers[0], &answers[2]), (&json!({"value": "b"}), &json!({"value": true})));
    assert_eq!(answers[1]["error"]["kind"], "lexing");
    place.write("b.jsonl", "{\"expr\":\"1\"}\nnot json\n");
    refuses(&place.run(&["eval", "--batch", "b.jsonl"]), 2, &["b.jsonl:2", "expr"]);
}
