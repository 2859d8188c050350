//! Calls from one file to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{CALLED_MAX, CALLS_MAX, FileName, Files, LEVELS_MAX, Rights, check};
use crate::filter::Event;
use crate::job_spec::{SecretScope, Source};
use crate::plan::{
    Ancestors, CallOutputsInput, CallPlan, ExplainInput, JobResult, NeededJob, PlannedJob, Resolution,
    ResolveInput, explain, outputs_of_call, resolve_job,
};
use crate::syntax::{Workflow, parse};
use crate::value::Value;

const MAIN: &str = ".github/workflows/ci.yml";

fn parsed(file: &str, text: &str) -> Arc<Workflow> {
    Arc::new(parse(file, text).unwrap_or_else(|found| panic!("{text}\n{found:?}")))
}

/// Files by their name in the folder of workflows; those of other repositories by their whole name.
fn files(texts: &[(&str, &str)]) -> Files {
    let file = |(name, text): &(&str, &str)| {
        let name = if name.contains('/') { (*name).to_owned() } else { format!(".github/workflows/{name}") };
        (name.clone(), parsed(&name, text))
    };
    texts.iter().map(file).collect()
}

/// A workflow whose only job `a` calls with these further lines, each indented by four.
fn caller(uses: &str, more: &str) -> String {
    format!("on: push\njobs:\n  a:\n    uses: {uses}\n{more}")
}

/// A reusable workflow with this below `workflow_call`, in flow style, and these jobs.
fn callee(call: &str, jobs: &str) -> String {
    format!("on: {{workflow_call: {call}}}\njobs:\n{jobs}")
}

const JOB: &str = "  x: {runs-on: l, steps: [{run: x}]}\n";

fn found(files: &Files) -> Vec<String> {
    let found = check(&FileName::local(MAIN), files, &|name| matches!(name, FileName::Local { .. }));
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_call_is_held_against_the_callee() {
    let takes = callee(
        "{inputs: {must: {type: string, required: true}, flag: {type: boolean}, number: {type: number}}, secrets: {KEY: {required: true}, other: }}",
        JOB,
    );
    let good =
        "    with: {MUST: 1, flag: '${{ github.x }}', number: 2.5}\n    secrets: {key: '${{ secrets.K }}'}\n";
    for (more, expected) in [
        (good, None),
        ("    with: {must: x}\n    secrets: inherit\n", None),
        ("    secrets: inherit\n", Some("ci.yml:4:11: the input `must` is required")),
        ("    with: {must: x}\n", Some("ci.yml:4:11: the secret `KEY` is required")),
        (
            "    with: {must: x, falg: true}\n    secrets: inherit\n",
            Some("ci.yml:5:27: the called workflow has no input `falg`; did you mean `flag`?"),
        ),
        (
            "    with: {must: x, flag: 'true'}\n    secrets: inherit\n",
            Some("ci.yml:5:27: the input `flag` of the called workflow must be true or false"),
        ),
        (
            "    with: {must: x, number: y}\n    secrets: inherit\n",
            Some("ci.yml:5:29: the input `number` of the called workflow must be a number"),
        ),
        (
            "    with: {must: x}\n    secrets: {KEY: a, none: b}\n",
            Some("ci.yml:6:29: the called workflow has no secret `none`; it has KEY, other"),
        ),
    ] {
        let main = caller("./.github/workflows/x.yml", more);
        let found = found(&files(&[("ci.yml", &main), ("x.yml", &takes)]));
        match expected {
            None => assert!(found.is_empty(), "{more}: {found:?}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{more}: {found:?}"),
        }
    }
}

#[test]
fn files_that_cannot_be_called_are_told() {
    let main = caller("./.github/workflows/x.yml", "");
    let only_main = files(&[("ci.yml", &main)]);
    assert!(found(&only_main)[0].contains("ci.yml:4:11: there is no workflow `.github/workflows/x.yml`"));
    assert!(check(&FileName::local(MAIN), &only_main, &|_| false).is_empty());
    let remote = caller("o/r/.github/workflows/x.yml@v1", "");
    assert!(found(&files(&[("ci.yml", &remote)])).is_empty());
    let plain =
        files(&[("ci.yml", &main), ("x.yml", "on: push\njobs:\n  x: {runs-on: l, steps: [{run: x}]}\n")]);
    assert!(found(&plain)[0].contains("has no `workflow_call`"));
}

#[test]
fn cycles_depth_and_number_are_bounded() {
    let again = callee("", "  b: {uses: ./.github/workflows/ci.yml}\n");
    let main = "on: [push, workflow_call]\njobs:\n  a: {uses: ./.github/workflows/x.yml}\n";
    let cycle = found(&files(&[("ci.yml", main), ("x.yml", &again)]));
    assert_eq!(cycle.len(), 1);
    assert!(
        cycle[0].contains("x.yml:3:13")
            && cycle[0].contains("ci.yml -> .github/workflows/x.yml -> .github/workflows/ci.yml"),
        "{cycle:?}"
    );

    let chain = |length: usize| {
        let mut files: Files = BTreeMap::new();
        for at in 0..length {
            let name = if at == 0 { MAIN.to_owned() } else { format!(".github/workflows/{at}.yml") };
            let jobs = match at + 1 < length {
                true => format!("  a: {{uses: ./.github/workflows/{}.yml}}\n", at + 1),
                false => JOB.to_owned(),
            };
            files.insert(name.clone(), parsed(&name, &callee("", &jobs)));
        }
        found(&files)
    };
    assert!(chain(LEVELS_MAX).is_empty());
    let deep = chain(LEVELS_MAX + 1);
    assert!(
        deep.len() == 1 && deep[0].contains("more than 10 deep") && deep[0].contains("9.yml:3:13"),
        "{deep:?}"
    );

    let many = |count: usize, different: bool| {
        let jobs: String = (0..count)
            .map(|at| {
                format!("  j{at}: {{uses: ./.github/workflows/{}.yml}}\n", if different { at } else { 0 })
            })
            .collect();
        let mut all: Files = (0..if different { count } else { 1 })
            .map(|at| format!(".github/workflows/{at}.yml"))
            .map(|name| (name.clone(), parsed(&name, &callee("", JOB))))
            .collect();
        all.insert(MAIN.to_owned(), parsed(MAIN, &format!("on: push\njobs:\n{jobs}")));
        found(&all)
    };
    assert!(many(CALLED_MAX, true).is_empty());
    assert!(many(CALLED_MAX + 1, true)[0].contains("at most 50 workflows"));
    assert!(many(CALLS_MAX, false).is_empty());
    assert_eq!(many(CALLS_MAX + 5, false).len(), 1);
}

#[test]
fn permissions_only_go_down() {
    let asks = |permissions: &str| {
        callee("", &format!("  x: {{permissions: {permissions}, runs-on: l, steps: [{{run: x}}]}}\n"))
    };
    for (given, asked, excess) in [
        ("", "write-all", None),
        ("    permissions: {contents: read}\n", "{contents: read}", None),
        ("    permissions: {contents: read}\n", "{contents: none, issues: none}", None),
        (
            "    permissions: {contents: read}\n",
            "{contents: write}",
            Some("`contents: write`, but this call allows `contents: read`"),
        ),
        (
            "    permissions: {contents: read}\n",
            "{issues: read}",
            Some("`issues: read`, but this call allows `issues: none`"),
        ),
        ("    permissions: read-all\n", "read-all", None),
        ("    permissions: read-all\n", "write-all", Some("write`, but")),
        ("    permissions: write-all\n", "{id-token: write}", None),
        ("    permissions: {}\n", "read-all", Some("read`, but this call allows")),
    ] {
        let main = caller("./.github/workflows/x.yml", given);
        let found = found(&files(&[("ci.yml", &main), ("x.yml", &asks(asked))]));
        match excess {
            None => assert!(found.is_empty(), "{given} {asked}: {found:?}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{given} {asked}: {found:?}"),
        }
    }
    // Two levels down the first caller's word still holds.
    let main = caller("./.github/workflows/x.yml", "    permissions: {contents: read}\n");
    let middle = callee("", "  m: {uses: ./.github/workflows/y.yml}\n");
    let found =
        found(&files(&[("ci.yml", &main), ("x.yml", &middle), ("y.yml", &asks("{contents: write}"))]));
    assert!(found.len() == 1 && found[0].contains("x.yml:3:13"), "{found:?}");
}

#[test]
fn rights_are_those_of_both() {
    let rights = |list: &[(&str, &str)]| {
        Rights(list.iter().map(|(scope, level)| ((*scope).to_owned(), (*level).to_owned())).collect())
    };
    let all = rights(&[("*", "read")]);
    assert_eq!(
        rights(&[("issues", "write"), ("contents", "read")]).lowered(&all),
        rights(&[("contents", "read"), ("issues", "read")])
    );
    assert_eq!(all.lowered(&rights(&[("contents", "write")])), rights(&[("contents", "read")]));
    assert_eq!(all.lowered(&rights(&[("*", "write")])), all);
}

fn github() -> Json {
    json!({"event_name": "push", "ref": "refs/heads/main"})
}

fn input(callee: &Arc<Workflow>) -> ResolveInput {
    ResolveInput {
        github: github(),
        inputs: Json::Null,
        vars: json!({"V": "from vars"}),
        needs: vec![NeededJob {
            id: "p".into(),
            result: JobResult::Success,
            outputs: vec![("list".into(), "[1,2]".into()), ("flag".into(), "true".into())],
        }],
        ancestors: Ancestors::default(),
        cancelled: false,
        source: Source::None,
        action_pins: BTreeMap::new(),
        call: None,
        callee: Some(Arc::clone(callee)),
    }
}

fn calls(workflow: &Workflow, job: &str, input: &ResolveInput) -> Vec<CallPlan> {
    match resolve_job(workflow, job, input).unwrap() {
        Resolution::Calls(calls) => calls,
        other => panic!("{other:?}"),
    }
}

const TYPED: &str = "{inputs: {text: {type: string, default: 'd ${{ vars.V }}'}, flag: {type: boolean, default: true}, number: {type: number}, n: {type: number}}, outputs: {o: {value: '${{ jobs.x.outputs.v }}-${{ jobs.x.result }}'}}}";

#[test]
fn a_call_gives_its_callee_typed_inputs() {
    let x = parsed(
        ".github/workflows/x.yml",
        &callee(
            TYPED,
            "  x: {runs-on: l, steps: [{run: x}]}\n  y: {needs: x, environment: e, runs-on: l, steps: [{run: x}]}\n",
        ),
    );
    let main = parsed(
        MAIN,
        "on: push\njobs:\n  p: {runs-on: l, steps: [{run: x}]}\n  a:\n    needs: p\n    name: Deploy\n    strategy: {max-parallel: 1, fail-fast: false, matrix: {v: '${{ fromJSON(needs.p.outputs.list) }}'}}\n    permissions: {contents: read}\n    uses: ./.github/workflows/x.yml\n    with: {number: '${{ matrix.v }}', flag: '${{ needs.p.outputs.flag }}'}\n    secrets: {K: '${{ secrets.S }}-${{ matrix.v }}'}\n",
    );
    let found = calls(&main, "a", &input(&x));
    assert_eq!(
        found.iter().map(|call| (call.number, call.name.as_str())).collect::<Vec<_>>(),
        [(Some(1), "Deploy (1)"), (Some(2), "Deploy (2)")]
    );
    let second = &found[1];
    assert_eq!((second.fail_fast, second.max_parallel, second.has_outputs), (false, Some(1), true));
    assert_eq!(second.context.inputs, json!({"text": "d from vars", "flag": true, "number": 2, "n": 0}));
    assert_eq!(second.context.file, ".github/workflows/x.yml");
    assert_eq!(
        second.jobs.iter().map(|job| (job.id.as_str(), job.needs.len(), job.strict)).collect::<Vec<_>>(),
        [("x", 0, false), ("y", 1, true)]
    );
    let [SecretScope::Map { entries, contexts }] = second.context.secret_scopes.as_slice() else {
        panic!("{second:?}")
    };
    assert_eq!(
        (entries[0].key.as_str(), &contexts.matrix, &contexts.github),
        ("K", &json!({"v": 2}), &Json::Null)
    );

    // The callee's job, planned below this call.
    let inside = ResolveInput {
        inputs: second.context.inputs.clone(),
        needs: Vec::new(),
        call: Some(second.context.clone()),
        callee: None,
        ..input(&x)
    };
    let Resolution::Instances(planned) = resolve_job(&x, "x", &inside).unwrap() else {
        panic!("no instances")
    };
    assert_eq!(planned[0].name, "Deploy (2) / x");
    assert_eq!(planned[0].spec.secret_scopes.len(), 1);
    assert_eq!(planned[0].spec.permissions, [("contents".to_owned(), "read".to_owned())]);
    assert_eq!(planned[0].spec.contexts.inputs["number"], json!(2));
    assert_eq!(planned[0].spec.contexts.github["job"], "x");
}

#[test]
fn values_of_another_type_are_told_at_the_call() {
    let x = parsed(".github/workflows/x.yml", &callee(TYPED, JOB));
    for (with, part) in [
        (
            "{flag: '${{ needs.p.outputs.list }}'}",
            "the input `flag` must be true or false, but came out as `[1,2]`",
        ),
        ("{number: '${{ needs.p.result }}'}", "the input `number` must be a number"),
        ("{text: '${{ needs.p }}'}", "the input `text` must be text"),
    ] {
        let main = parsed(
            MAIN,
            &format!(
                "on: push\njobs:\n  p: {{runs-on: l, steps: [{{run: x}}]}}\n  a:\n    needs: p\n    uses: ./.github/workflows/x.yml\n    with: {with}\n"
            ),
        );
        let error = resolve_job(&main, "a", &input(&x)).unwrap_err()[0].to_string();
        assert!(error.contains(part) && error.contains("ci.yml:7:"), "{with}: {error}");
    }
}

#[test]
fn outputs_are_those_of_the_callees_jobs() {
    let x = parsed(".github/workflows/x.yml", &callee(TYPED, JOB));
    let jobs = vec![NeededJob {
        id: "x".into(),
        result: JobResult::Failure,
        outputs: vec![("v".into(), "1".into())],
    }];
    let input = CallOutputsInput { github: github(), inputs: Json::Null, vars: Json::Null, jobs };
    assert_eq!(
        outputs_of_call(&x, &input).unwrap(),
        BTreeMap::from([("o".to_owned(), "1-failure".to_owned())])
    );
}

fn plan(files: &Files) -> Vec<PlannedJob> {
    let main = &files[MAIN];
    let payload = json!({"ref": "refs/heads/main"});
    let event = Event { name: "push", payload: &payload, changed_files: None };
    let (github, inputs, vars) = (Value::from(&github()), Json::Null, Json::Null);
    explain(main, &ExplainInput { event, github: &github, inputs: &inputs, vars: &vars, files }).unwrap().jobs
}

#[test]
fn a_plan_shows_the_jobs_of_called_files() {
    let main = "on: push\njobs:\n  a:\n    strategy: {matrix: {v: [1, 2]}}\n    uses: ./.github/workflows/x.yml\n    with: {on: '${{ matrix.v == 1 }}'}\n  b: {needs: a, if: false, uses: ./.github/workflows/x.yml}\n  c: {uses: o/r/.github/workflows/y.yml@v1}\n  d: {needs: a, uses: ./.github/workflows/x.yml, with: {on: '${{ needs.a.outputs.o }}'}}\n";
    let x = callee(
        "{inputs: {on: {type: boolean}}}",
        "  x: {if: inputs.on, runs-on: l, steps: [{run: x}]}\n  y: {needs: x, runs-on: l, steps: [{run: x}]}\n",
    );
    let rows = plan(&files(&[("ci.yml", main), ("x.yml", &x)]));
    let shown: Vec<_> =
        rows.iter().map(|row| (row.id.as_str(), row.name.as_deref().unwrap_or("?"), row.skipped)).collect();
    assert_eq!(
        shown,
        [
            ("a#1", "a (1)", Some(false)),
            ("a#1/x", "a (1) / x", Some(false)),
            ("a#1/y", "a (1) / y", Some(false)),
            ("a#2", "a (2)", Some(false)),
            ("a#2/x", "a (2) / x", Some(true)),
            ("a#2/y", "a (2) / y", Some(true)),
            ("b", "b", Some(true)),
            ("c", "c", Some(false)),
            ("d", "d", Some(false)),
            ("d/x", "d / x", None),
            ("d/y", "d / y", None),
        ]
    );
    assert_eq!(rows[2].needs, ["a#1/x"]);
    assert_eq!(rows[5].reason.as_deref(), Some("a job it needs was skipped: `x`"));
    assert!(rows[7].reason.as_deref().unwrap().contains("only the run gets"));
    assert!(rows[9].reason.as_deref().unwrap().contains("inputs"));
    assert_eq!(rows[0].uses.as_deref(), Some("./.github/workflows/x.yml"));
}
