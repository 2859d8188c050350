//! Tests of calls and of what may be called.

use super::tests::{job, refuse, workflow};
use super::{CallSecrets, InputType};

#[test]
fn a_job_may_call_a_workflow() {
    let source = "on: push\njobs:\n  a:\n    name: A\n    strategy: {matrix: {v: [1]}}\n    permissions: {contents: read}\n    uses: o/r/.github/workflows/x.yml@v1\n    with: {a: 1, b: true, c: '${{ matrix.v }}'}\n    secrets: inherit\n";
    let found = workflow(source);
    let call = found.jobs[0].call.as_ref().unwrap();
    assert_eq!((call.uses.text.as_str(), call.position().line), ("o/r/.github/workflows/x.yml@v1", 7));
    assert_eq!(call.with.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(matches!(call.secrets, CallSecrets::Inherit));
    let calling =
        |lines: &str| format!("on: push\njobs:\n  a:\n    uses: ./.github/workflows/x.yml\n{lines}");
    refuse(
        &calling("    runs-on: x\n    steps: []\n"),
        5,
        5,
        "unknown-key",
        "can't have `runs-on`, `steps`; it may have: name",
    );
    refuse(&calling("    continue-on-error: true\n"), 5, 5, "unknown-key", "can't have `continue-on-error`");
    refuse(&calling("    secrets: all\n"), 5, 14, "wrong-value", "`inherit`");
    refuse(
        &calling("    with: {a: '${{ secrets.X }}'}\n"),
        5,
        20,
        "expression",
        "`secrets` is not available here",
    );
    refuse(&calling("    with: {a: [1]}\n"), 5, 15, "wrong-type", "must be text");
    let uses = |uses: &str| format!("on: push\njobs:\n  a:\n    uses: {uses}\n");
    refuse(
        &uses("./.github/workflows/${{ github.ref }}.yml"),
        4,
        11,
        "expression",
        "can't hold an expression",
    );
    refuse(&uses("o/r/.github/workflows/x.yml"), 4, 11, "called-workflow", "no version is specified");
    refuse(&uses("./x.yml"), 4, 11, "called-workflow", ".github/workflows");
    refuse(&job("    with: {a: 1}"), 5, 5, "unknown-key", "belongs to a job that `uses`");
}

#[test]
fn a_workflow_may_be_called() {
    let on = |call: &str| {
        format!("on:\n  workflow_call:\n    {call}\njobs: {{a: {{runs-on: x, steps: [{{run: x}}]}}}}\n")
    };
    let found = workflow(&on(
        "{inputs: {A: {type: boolean, default: true, required: true}, b: {type: string, default: '${{ github.ref }}'}}, secrets: {K: , L: {required: true}}, outputs: {o: {value: '${{ jobs.a.outputs.x }}', description: d}}}",
    ));
    let callable = found.callable().unwrap();
    assert_eq!(
        callable
            .inputs
            .iter()
            .map(|input| (input.name.as_str(), input.required, input.kind.clone()))
            .collect::<Vec<_>>(),
        [("A", true, InputType::Boolean), ("b", false, InputType::String)]
    );
    assert_eq!(callable.secrets.iter().map(|secret| secret.required).collect::<Vec<_>>(), [false, true]);
    assert_eq!(callable.outputs[0].name, "o");
    for bare in ["on: workflow_call", "on: [push, workflow_call]", "on: {workflow_call: }"] {
        let found = workflow(&format!("{bare}\njobs: {{a: {{runs-on: x, steps: [{{run: x}}]}}}}\n"));
        assert!(found.callable().is_some(), "{bare}");
    }
    assert!(workflow(&job("")).callable().is_none());
    refuse(&on("inputs: {a: {default: x}}"), 3, 14, "missing-key", "needs a `type`");
    refuse(&on("inputs: {a: {type: choice}}"), 3, 24, "wrong-value", "can't be of type `choice`");
    refuse(&on("inputs: {a: {type: boolean, default: x}}"), 3, 42, "wrong-type", "must be true or false");
    refuse(&on("inputs: {a: {type: number, default: '1'}}"), 3, 41, "wrong-type", "must be a number");
    refuse(
        &on("inputs: {a: {type: string, default: '${{ secrets.X }}'}}"),
        3,
        46,
        "expression",
        "`secrets` is not available here",
    );
    refuse(&on("outputs: {o: {description: x}}"), 3, 15, "missing-key", "needs a `value`");
    refuse(
        &on("outputs: {o: {value: '${{ needs.a }}'}}"),
        3,
        31,
        "expression",
        "`needs` is not available here",
    );
    refuse(&on("secrets: {K: {require: true}}"), 3, 19, "unknown-key", "did you mean `required`?");
    refuse(&on("input: {}"), 3, 5, "unknown-key", "did you mean `inputs`?");
}
