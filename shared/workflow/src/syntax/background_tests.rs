//! Tests of steps that run beside others.

use super::tests::{one, refuse, warnings, workflow};
use crate::job_spec::StepAction;

/// A job with these steps, one a line from line 6 on.
fn with_steps(steps: &[&str]) -> String {
    let steps: String = steps.iter().map(|step| format!("      - {step}\n")).collect();
    format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{steps}")
}

#[test]
fn steps_of_the_background_are_told_by_their_places() {
    let read = workflow(&with_steps(&[
        "{id: server, run: serve, background: true}",
        "{parallel: [{run: a}, {uses: ./b, name: B}]}",
        "{id: w, wait: server}",
        "{wait: [server, server], continue-on-error: true}",
        "{cancel: server, name: Stop}",
        "{wait-all: }",
        "{wait-all: true}",
        "{run: c, background: false}",
    ]));
    let steps = &read.jobs[0].steps;
    let shown: Vec<_> = steps
        .iter()
        .map(|step| match &step.action {
            StepAction::Wait { steps, default_name } => {
                format!("{} {default_name} {:?}", step.id, steps.as_deref())
            }
            StepAction::Cancel { steps, default_name } => format!("{} {default_name} {steps:?}", step.id),
            _ => format!("{} {}", step.id, step.background),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "server true",
            "__run true",
            "__self true",
            "__parallel Parallel group Some([1, 2])",
            "w Wait Some([0])",
            "__wait Wait Some([0, 0])",
            "__cancel Cancel [0]",
            "__wait-all Wait for all None",
            "__wait-all_2 Wait for all None",
            "__run_2 false",
        ]
    );
    assert_eq!(read.warnings, []);
}

#[test]
fn what_is_wrong_with_steps_of_the_background_is_told() {
    let background = "{id: a, run: x, background: true}";
    for (steps, column, code, what) in [
        (["{id: a, run: x, background: '${{ true }}'}", "{run: y}"], 37, "wrong-type", "true or false"),
        ([background, "{wait: b}"], 16, "unknown-step", "no earlier step of this job has the id `b`"),
        ([background, "{id: w, cancel: w}"], 25, "unknown-step", "can't cancel itself"),
        ([background, "{wait: a, if: always()}"], 19, "unknown-key", "in a step that waits or cancels"),
        ([background, "{wait: a, run: x}"], 19, "unknown-key", "`run`"),
        ([background, "{wait: a, cancel: a}"], 19, "conflicting-keys", "either `wait` or `cancel`"),
        ([background, "{wait-all: false}"], 20, "wrong-type", "nothing or true"),
        ([background, "{wait: }"], 16, "missing-value", "`wait` must not be empty"),
        ([background, "{parallel: []}"], 20, "missing-value", "at least one step"),
        ([background, "{parallel: [{wait: a}]}"], 22, "conflicting-keys", "`wait` can't stand in"),
        ([background, "{parallel: [{parallel: [{run: a}]}]}"], 21, "conflicting-keys", "another one"),
        (
            [background, "{parallel: [{run: a, background: true}]}"],
            30,
            "conflicting-keys",
            "beside each other",
        ),
        ([background, "{parallel: [{run: a}], id: p}"], 32, "unknown-key", "a parallel group"),
    ] {
        let line = if steps[0] == background { 7 } else { 6 };
        refuse(&with_steps(&steps), line, column, code, what);
    }
    let found = one(&with_steps(&["{id: server, run: x, background: true}", "{wait: sever}"]));
    assert_eq!(found.hint.as_deref(), Some("did you mean `server`?"));
    assert_eq!(
        warnings(&with_steps(&["{id: a, run: x}", "{wait: a}"])),
        ["7:16 unknown-step the step `a` does not run in the background: there is nothing to wait for"]
    );
}
