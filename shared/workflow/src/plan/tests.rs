//! Tests of planning.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    Ancestors, ExplainInput, InstancePlan, JobResult, NeededJob, Plan, Resolution, ResolveInput, RunFacts,
    dispatch_inputs, explain, github_context, labels_of, prepare, resolve_job, run_name,
};
use crate::diagnostics::Diagnostic;
use crate::filter::Event;
use crate::job_spec::Source;
use crate::syntax::{Workflow, parse};
use crate::value::Value;

fn workflow(jobs: &str) -> Workflow {
    let source = format!("on: [push, workflow_dispatch]\njobs:\n{jobs}");
    parse("ci.yml", &source).unwrap_or_else(|found| panic!("{source}\n{found:?}"))
}

/// One job `a` with this body, in flow style.
fn job(body: &str) -> Workflow {
    workflow(&format!("  a: {{{body}, steps: [{{run: x}}]}}\n"))
}

fn github() -> Json {
    github_context(&RunFacts {
        event_name: "push".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        repository: "o/r".to_owned(),
        actor: "mona".to_owned(),
        ..RunFacts::default()
    })
}

fn input() -> ResolveInput {
    ResolveInput {
        github: github(),
        inputs: Json::Null,
        vars: json!({"LABELS": "[\"a\",\"b\"]", "ON": "true"}),
        needs: Vec::new(),
        ancestors: Ancestors::default(),
        cancelled: false,
        source: Source::None,
        call: None,
        callee: None,
        action_pins: [("o/r@v1".to_owned(), "1".repeat(40))].into(),
    }
}

/// A job's id, result and outputs.
type Done<'a> = (&'a str, JobResult, &'a [(&'a str, &'a str)]);

fn needs(results: &[Done<'_>]) -> ResolveInput {
    let mut input = input();
    for (id, result, outputs) in results {
        input.ancestors.add(*result);
        let outputs = outputs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        input.needs.push(NeededJob { id: (*id).to_owned(), result: *result, outputs });
    }
    input
}

fn instances(workflow: &Workflow, id: &str, input: &ResolveInput) -> Vec<InstancePlan> {
    match resolve_job(workflow, id, input).unwrap() {
        Resolution::Instances(plans) => plans,
        other => panic!("{other:?}"),
    }
}

fn runs(workflow: &Workflow, id: &str, input: &ResolveInput) -> bool {
    matches!(resolve_job(workflow, id, input).unwrap(), Resolution::Instances(_))
}

fn errors(workflow: &Workflow, input: &ResolveInput) -> Vec<Diagnostic> {
    resolve_job(workflow, "a", input).unwrap_err()
}

#[test]
fn the_outline_has_jobs_and_needs() {
    let workflow =
        workflow("  b: {needs: [a], runs-on: x, steps: [{run: x}]}\n  a: {runs-on: x, steps: [{run: x}]}\n");
    let outline = prepare(&workflow);
    assert_eq!(outline.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(outline[0].needs, ["a"]);
    assert!(!outline[0].strict);
}

#[test]
fn a_plain_job_is_one_instance() {
    let plans = instances(&job("runs-on: ubuntu-latest"), "a", &input());
    assert_eq!(plans.len(), 1);
    let plan = &plans[0];
    assert_eq!(
        (plan.name.as_str(), plan.labels.as_slice(), plan.timeout_ms),
        ("a", &["ubuntu-latest".to_owned()][..], 21_600_000)
    );
    assert!(plan.fail_fast && !plan.continue_on_error && plan.max_parallel.is_none());
    assert_eq!(plan.spec.contexts.matrix, Json::Null);
    assert_eq!(
        plan.spec.contexts.strategy,
        json!({"fail-fast": true, "job-index": 0, "job-total": 1, "max-parallel": 1})
    );
    assert_eq!(plan.spec.contexts.github["job"], "a");
    assert_eq!(plan.spec.action_pins, input().action_pins);
    let json = serde_json::to_string(&plan.spec).unwrap();
    assert_eq!(serde_json::from_str::<crate::job_spec::JobSpec>(&json).unwrap(), plan.spec);
}

#[test]
fn matrix_instances_have_their_own_contexts() {
    let workflow = job(
        "runs-on: '${{ matrix.os }}', timeout-minutes: '${{ matrix.t }}', continue-on-error: '${{ matrix.t == 2 }}', \
         strategy: {fail-fast: false, max-parallel: 1, matrix: {os: [l, m], t: [1.5, 2]}}",
    );
    let plans = instances(&workflow, "a", &input());
    assert_eq!(
        plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>(),
        ["a (l, 1.5)", "a (l, 2)", "a (m, 1.5)", "a (m, 2)"]
    );
    assert_eq!(
        plans.iter().map(|plan| plan.timeout_ms).collect::<Vec<_>>(),
        [90_000, 120_000, 90_000, 120_000]
    );
    assert_eq!(
        plans.iter().map(|plan| plan.continue_on_error).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    assert_eq!(
        plans[3].spec.contexts.strategy,
        json!({"fail-fast": false, "job-index": 3, "job-total": 4, "max-parallel": 1})
    );
    assert_eq!(plans[2].spec.contexts.matrix, json!({"os": "m", "t": 1.5}));
    assert_eq!(plans[2].labels, ["m"]);
    assert!(plans.iter().all(|plan| !plan.fail_fast && plan.max_parallel == Some(1) && plan.total == 4));
}

#[test]
fn names() {
    let name = |body: &str| instances(&job(body), "a", &input())[0].name.clone();
    assert_eq!(name("runs-on: x, name: Build"), "Build");
    assert_eq!(name("runs-on: x, name: Build, strategy: {matrix: {v: [1]}}"), "Build (1)");
    assert_eq!(name("runs-on: x, name: 'B ${{ matrix.v }}', strategy: {matrix: {v: [1]}}"), "B 1");
    assert_eq!(name("runs-on: x, name: '${{ vars.NONE }}', strategy: {matrix: {v: [1]}}"), "a (1)");
}

#[test]
fn a_matrix_can_come_from_an_output() {
    let workflow = workflow(
        "  p: {runs-on: x, steps: [{run: x}]}\n  a: {needs: p, runs-on: x, strategy: {matrix: {v: '${{ fromJSON(needs.p.outputs.m) }}'}}, steps: [{run: x}]}\n",
    );
    let done = needs(&[("p", JobResult::Success, &[("m", "[3,\"x\"]")])]);
    let plans = instances(&workflow, "a", &done);
    assert_eq!(plans.iter().map(|plan| plan.name.as_str()).collect::<Vec<_>>(), ["a (3)", "a (x)"]);
    assert_eq!(
        plans[0].spec.contexts.needs,
        json!({"p": {"result": "success", "outputs": {"m": "[3,\"x\"]"}}})
    );
    let empty =
        resolve_job(&workflow, "a", &needs(&[("p", JobResult::Success, &[("m", "[]")])])).unwrap_err();
    assert!(empty[0].message.contains("empty list"), "{empty:?}");
    let missing = resolve_job(&workflow, "a", &needs(&[("p", JobResult::Success, &[])])).unwrap_err();
    assert!(missing[0].message.contains("empty text"), "{missing:?}");
    assert_eq!(missing[0].line, 4);
}

#[test]
fn conditions_see_all_ancestors() {
    let workflow = |condition: &str| {
        let jobs = format!(
            "  p: {{runs-on: x, steps: [{{run: x}}]}}\n  a: {{needs: p, if: \"{condition}\", runs-on: x, steps: [{{run: x}}]}}\n"
        );
        workflow(&jobs)
    };
    // The condition, and whether it runs after a success, a failure, a skip and a cancellation.
    for (condition, expected) in [
        ("", [true, false, false, false]),
        ("true", [true, false, false, false]),
        ("always()", [true, true, true, true]),
        ("failure()", [false, true, false, false]),
        ("!failure()", [true, false, true, true]),
        ("success() || failure()", [true, true, false, false]),
        ("needs.p.result == 'skipped'", [false, false, false, false]),
        ("always() && needs.p.result == 'skipped'", [false, false, true, false]),
        ("success('p')", [true, false, false, false]),
        ("failure('P')", [false, true, false, false]),
        ("cancelled()", [false, false, false, false]),
    ] {
        let results = [JobResult::Success, JobResult::Failure, JobResult::Skipped, JobResult::Cancelled];
        for (result, expected) in results.into_iter().zip(expected) {
            let ran = runs(&workflow(condition), "a", &needs(&[("p", result, &[])]));
            assert_eq!(ran, expected, "{condition} after {result:?}");
        }
    }
    // A job further up counts, though the direct need went well (runner#491).
    let mut rescued = needs(&[("p", JobResult::Success, &[])]);
    rescued.ancestors.failed = true;
    assert!(!runs(&workflow(""), "a", &rescued));
    assert!(runs(&workflow("failure()"), "a", &rescued));
    let mut cancelled = needs(&[("p", JobResult::Success, &[])]);
    cancelled.cancelled = true;
    assert!(!runs(&workflow(""), "a", &cancelled));
    assert!(runs(&workflow("cancelled()"), "a", &cancelled));
    assert!(runs(&workflow("always()"), "a", &cancelled));
}

#[test]
fn skips_say_why() {
    let reason = |input: &ResolveInput, body: &str| match resolve_job(&job(body), "a", input).unwrap() {
        Resolution::Skip { reason } => reason,
        _ => panic!("{body} runs"),
    };
    assert_eq!(reason(&input(), "if: false, runs-on: x"), "its `if` is false");
    assert_eq!(reason(&needs(&[("p", JobResult::Failure, &[])]), "runs-on: x"), "a job it needs failed");
    assert_eq!(reason(&needs(&[("p", JobResult::Skipped, &[])]), "runs-on: x"), "a job it needs was skipped");
    assert!(
        reason(&input(), "runs-on: x, strategy: {matrix: {v: [1], exclude: [{v: 1}]}}").contains("`exclude`")
    );
}

#[test]
fn labels() {
    let of = |body: &str| instances(&job(body), "a", &input())[0].labels.clone();
    assert_eq!(of("runs-on: [self-hosted, ' linux ']"), ["self-hosted", "linux"]);
    assert_eq!(of("runs-on: '${{ fromJSON(vars.LABELS) }}'"), ["a", "b"]);
    assert_eq!(of("runs-on: {labels: [a]}"), ["a"]);
    assert_eq!(of("runs-on: '${{ fromJSON(''{\"labels\":\"q\"}'') }}'"), ["q"]);
    let found = errors(&job("runs-on: '${{ vars.NONE }}'"), &input());
    assert!(found[0].message.contains("at least one label"));
    assert!(labels_of(&Value::array(vec![Value::Null])).is_err());
    assert_eq!(of("runs-on: {group: organization/big, labels: [a]}"), ["a", "big"]);
    assert_eq!(labels_of(&Value::object([("group", Value::from("g"))])).unwrap(), ["g"]);
    assert!(labels_of(&Value::object([("pool", Value::from("g"))])).unwrap_err().contains("no key `pool`"));
}

#[test]
fn values_that_come_out_wrong() {
    for (body, part) in [
        ("runs-on: x, timeout-minutes: '${{ vars.NONE }}'", "number above 0"),
        ("runs-on: x, continue-on-error: '${{ vars.ON }}'", ""),
        ("runs-on: x, continue-on-error: '${{ vars.LABELS }}'", "true or false"),
        ("runs-on: x, name: '${{ github }}'", "toJSON"),
        ("runs-on: x, strategy: {matrix: '${{ fromJSON(vars.LABELS) }}'}", "must be a mapping"),
        ("runs-on: x, if: fromJSON('x')", "not JSON"),
        ("runs-on: x, if: success('zz')", "not among"),
    ] {
        match resolve_job(&job(body), "a", &input()) {
            Ok(_) => assert!(part.is_empty(), "{body}"),
            Err(found) => assert!(!part.is_empty() && found[0].message.contains(part), "{body}: {found:?}"),
        }
    }
}

#[test]
fn a_strategy_or_services_may_come_whole_from_an_expression() {
    let whole = |text: &str| format!("runs-on: x, strategy: '${{{{ fromJSON(''{text}'') }}}}'");
    let found = instances(
        &job(&whole(r#"{"matrix": {"v": [1, 2]}, "fail-fast": false, "max-parallel": 1}"#)),
        "a",
        &input(),
    );
    let names: Vec<&str> = found.iter().map(|plan| plan.spec.name.as_str()).collect();
    assert_eq!(names, ["a (1)", "a (2)"]);
    assert_eq!(
        found[1].spec.contexts.strategy,
        json!({"fail-fast": false, "job-index": 1, "job-total": 2, "max-parallel": 1})
    );
    let keys = "runs-on: x, strategy: {matrix: {'${{ vars.ON }}': [1], '${{ insert }}': '${{ fromJSON(vars.MATRIX) }}', z: [2]}}";
    let mut given = input();
    given.vars = json!({"ON": "named", "MATRIX": r#"{"more": [3, 4]}"#});
    let found = instances(&job(keys), "a", &given);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].spec.contexts.matrix, json!({"named": 1, "more": 4, "z": 2}));
    given.vars = json!({"ON": "named", "MATRIX": "[1]"});
    assert!(errors(&job(keys), &given)[0].message.contains("`insert` takes a mapping"));
    assert_eq!(instances(&job("runs-on: x, strategy: '${{ null }}'"), "a", &input()).len(), 1);
    for (text, part) in [
        ("[1]", "must be a mapping, but came out as"),
        (r#"{"fail-fast": 1}"#, "`fail-fast` as Number"),
        (r#"{"matrx": {}}"#, "unknown key `matrx`"),
        (r#"{"matrix": {"v": []}}"#, "empty list"),
    ] {
        let found = errors(&job(&whole(text)), &input());
        assert!(found[0].message.contains(part), "{text}: {found:?}");
    }

    let services = |text: &str| format!("runs-on: x, services: '${{{{ fromJSON(''{text}'') }}}}'");
    let text = r#"{"db": {"image": "redis", "ports": ["6379"], "command": "x y"}, "off": {"image": ""}, "web": "nginx"}"#;
    let found = &instances(&job(&services(text)), "a", &input())[0].spec.services;
    assert_eq!(found.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    assert_eq!(found[0].command.as_ref().unwrap().text, "x y");
    assert_eq!(found[0].container.ports[0].text, "6379");
    for (text, part) in [
        ("1", "must be a mapping"),
        (r#"{"a b": "x"}"#, "is invalid"),
        (r#"{"db": ["x"]}"#, "came out as a list"),
        (r#"{"db": {"image": "x", "port": "1"}}"#, "`port`"),
    ] {
        let found = errors(&job(&services(text)), &input());
        assert!(found[0].message.contains(part), "{text}: {found:?}");
    }
}

#[test]
fn containers() {
    let of = |body: &str| instances(&job(body), "a", &input())[0].spec.container.clone();
    assert_eq!(of("runs-on: x"), None);
    assert_eq!(of("runs-on: x, container: ''"), None);
    assert_eq!(of("runs-on: x, container: '${{ vars.NONE }}'"), None);
    assert_eq!(of("runs-on: x, container: {image: '${{ vars.NONE }}'}"), None);
    assert_eq!(of("runs-on: x, container: 'node:20'").unwrap().image.text, "node:20");
    let matrix = "strategy: {matrix: {c: [{image: i, options: --init, env: {A: '${{ 1 }}'}}]}}";
    let container = of(&format!("runs-on: x, container: '${{{{ matrix.c }}}}', {matrix}")).unwrap();
    assert_eq!((container.image.text.as_str(), container.options.unwrap().text.as_str()), ("i", "--init"));
    assert_eq!(container.env[0].value.text, "1");
    // What an expression gave is not evaluated again; secrets stay templates.
    let container = of(
        "runs-on: x, container: {image: '${{ format(''$'') }}{{ secrets.X }}', env: {A: '${{ secrets.A }}'}, \
         credentials: {username: u, password: '${{ secrets.P }}'}}",
    )
    .unwrap();
    assert_eq!(container.image.text, "${{ '${{ secrets.X }}' }}");
    assert_eq!(container.env[0].value.text, "${{ secrets.A }}");
    assert_eq!(container.credentials.unwrap().1.text, "${{ secrets.P }}");
}

fn plan(workflow: &Workflow) -> Plan {
    let payload = json!({"ref": "refs/heads/main"});
    let github = Value::from(&github());
    let input = ExplainInput {
        event: Event { name: "push", payload: &payload, changed_files: None },
        github: &github,
        inputs: &Json::Null,
        vars: &json!({}),
        files: &BTreeMap::new(),
    };
    explain(workflow, &input).unwrap()
}

#[test]
fn explain_tells_what_can_be_told() {
    let workflow = workflow(
        "  d: {needs: m, runs-on: '${{ needs.m.outputs.l }}', name: 'D ${{ needs.m.outputs.n }}', steps: [{run: x}]}\n\
         \x20 m: {runs-on: '${{ matrix.o }}', strategy: {matrix: {o: [l, w]}}, steps: [{run: x}]}\n\
         \x20 off: {if: \"github.ref == 'refs/heads/dev'\", runs-on: x, steps: [{run: x}]}\n\
         \x20 after: {needs: off, runs-on: x, steps: [{run: x}]}\n\
         \x20 rescue: {needs: off, if: always(), runs-on: x, steps: [{run: x}]}\n\
         \x20 oops: {needs: m, if: failure(), runs-on: x, steps: [{run: x}]}\n\
         \x20 dyn: {needs: m, runs-on: x, strategy: {matrix: {v: '${{ fromJSON(needs.m.outputs.v) }}'}}, steps: [{run: x}]}\n\
         \x20 cond: {needs: m, if: needs.m.outputs.go == '1', runs-on: x, steps: [{run: x}]}\n",
    );
    let plan = plan(&workflow);
    assert!(plan.triggered && plan.reason.is_none());
    let of = |id: &str| plan.jobs.iter().filter(|job| job.id == id).collect::<Vec<_>>();
    assert_eq!(of("m").iter().map(|job| job.name.clone().unwrap()).collect::<Vec<_>>(), ["m (l)", "m (w)"]);
    assert_eq!(of("m")[1].runs_on, Some(vec!["w".to_owned()]));
    assert_eq!(of("m")[1].matrix, Some(json!({"o": "w"})));
    assert_eq!((of("d")[0].skipped, &of("d")[0].name, &of("d")[0].runs_on), (Some(false), &None, &None));
    assert_eq!(
        (of("off")[0].skipped, of("off")[0].reason.as_deref()),
        (Some(true), Some("its `if` is false: `github.ref` is 'refs/heads/main'"))
    );
    assert_eq!(
        (of("after")[0].skipped, of("after")[0].reason.as_deref()),
        (Some(true), Some("a job it needs was skipped: `off`"))
    );
    assert_eq!(of("rescue")[0].skipped, Some(false));
    assert_eq!(of("oops")[0].skipped, None);
    assert_eq!((of("dyn")[0].skipped, &of("dyn")[0].matrix, &of("dyn")[0].name), (Some(false), &None, &None));
    assert_eq!(of("cond")[0].skipped, None);
    let json = serde_json::to_value(&plan).unwrap();
    let keys: Vec<&String> = json["jobs"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "name", "needs", "runs_on", "matrix", "skipped", "reason"]);
}

#[test]
fn explain_names_what_a_skipped_job_looked_at_and_its_skipped_steps() {
    let workflow = workflow(
        "  off: {if: \"github.ref == 'refs/heads/dev' && vars.NONE\", runs-on: x, steps: [{run: x}]}\n\
         \x20 rescue: {needs: off, if: always(), runs-on: x, steps: [{run: x}]}\n\
         \x20 behind: {needs: rescue, runs-on: x, steps: [{run: x}]}\n\
         \x20 m:\n    runs-on: x\n    strategy: {matrix: {o: [1, 2]}}\n    steps:\n\
         \x20   - {run: one, if: matrix.o == 1}\n\
         \x20   - {uses: a/b@v1, if: false}\n\
         \x20   - {name: 'Mail ${{ matrix.o }}', run: x, if: failure()}\n\
         \x20   - {name: Late, run: x, if: cancelled()}\n\
         \x20   - {name: Either, run: x, if: failure() || cancelled()}\n\
         \x20   - {run: all, if: always()}\n\
         \x20   - {run: only the run can tell, if: steps.a.outputs.b == 'c'}\n\
         \x20   - {run: nor this, if: \"hashFiles('x') == ''\"}\n\
         \x20   - {run: nor this, if: env.A == 'b' && false}\n",
    );
    let plan = plan(&workflow);
    let reason = |id: &str| {
        let job = plan.jobs.iter().find(|job| job.id == id).unwrap();
        job.reason.clone().unwrap_or_default()
    };
    assert_eq!(reason("off"), "its `if` is false: `github.ref` is 'refs/heads/main', `vars.none` is empty");
    assert_eq!(reason("behind"), "a job before it was skipped, which `rescue` needs");
    let steps = |at: usize| {
        let of_job: Vec<_> = plan.jobs.iter().filter(|job| job.id == "m").collect();
        let told = of_job[at].skipped_steps.iter().map(|step| format!("{}: {}", step.step, step.reason));
        told.collect::<Vec<_>>()
    };
    let both = [
        "Run a/b@v1: its `if` is false",
        "Mail ${{ matrix.o }}: it runs only once a step before it failed",
        "Late: it runs only when the run is cancelled",
        "Either: it runs only once a step before it failed, or the run is cancelled",
    ];
    assert_eq!(steps(0), both);
    assert_eq!(steps(1), [&["Run one: its `if` is false: `matrix.o` is 2"][..], &both].concat());
}

#[test]
fn explain_says_why_nothing_runs() {
    let workflow = parse("f", "on: issues\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n").unwrap();
    let plan = plan(&workflow);
    assert!(!plan.triggered && plan.jobs.is_empty());
    assert!(plan.reason.unwrap().contains("not push"));
}

#[test]
fn the_github_context() {
    let facts = RunFacts {
        event_name: "pull_request".to_owned(),
        event: json!({
            "pull_request": {"head": {"ref": "topic"}, "base": {"ref": "main"}},
            "repository": {"id": 7, "private": true, "owner": {"id": 9}},
            "sender": {"id": 11}
        }),
        git_ref: "refs/pull/5/merge".to_owned(),
        sha: "abc".to_owned(),
        repository: "o/r".to_owned(),
        actor: "mona".to_owned(),
        run_id: "42".to_owned(),
        run_number: 3,
        run_attempt: 1,
        workflow: "CI".to_owned(),
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        ..RunFacts::default()
    };
    let github = github_context(&facts);
    for (key, value) in [
        ("ref_name", "5/merge"),
        ("ref_type", "branch"),
        ("head_ref", "topic"),
        ("base_ref", "main"),
        ("repository_owner", "o"),
        ("repository_id", "7"),
        ("repository_owner_id", "9"),
        ("actor_id", "11"),
        ("triggering_actor", "mona"),
        ("repository_visibility", "private"),
        ("run_number", "3"),
        ("workflow_ref", "o/r/.github/workflows/ci.yml@refs/pull/5/merge"),
        ("server_url", "https://github.com"),
        ("api_url", "https://api.github.com"),
        ("repositoryUrl", "git://github.com/o/r.git"),
    ] {
        assert_eq!(github[key], value, "{key}");
    }
    let tag = github_context(&RunFacts { git_ref: "refs/tags/v1/x".to_owned(), ..facts.clone() });
    assert_eq!((&tag["ref_name"], &tag["ref_type"]), (&json!("v1/x"), &json!("tag")));
    let other = github_context(&RunFacts { server_url: "http://slipway.localhost:8080".to_owned(), ..facts });
    assert_eq!(other["api_url"], "http://slipway.localhost:8080/api/v3");
}

#[test]
fn dispatch_inputs_are_typed() {
    let source = "on:\n  workflow_dispatch:\n    inputs:\n      s: {default: d}\n      b: {type: boolean}\n      n: {type: number, default: 1.5}\n\
                  \x20     c: {type: choice, options: [x, y]}\n      r: {required: true}\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n";
    let workflow = parse("f", source).unwrap();
    let given = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        dispatch_inputs(&workflow, &pairs)
    };
    assert_eq!(given(&[("R", "1")]).unwrap(), json!({"s": "d", "b": false, "n": 1.5, "c": "x", "r": "1"}));
    assert_eq!(given(&[("r", "1"), ("b", "true"), ("c", "y")]).unwrap()["b"], json!(true));
    assert_eq!(given(&[]).unwrap_err(), ["the input `r` is required"]);
    let problems = given(&[("r", "1"), ("b", "yes"), ("n", "x"), ("c", "z"), ("q", "")]).unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:?}");
    let other = parse("f", "on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n").unwrap();
    assert!(dispatch_inputs(&other, &[]).is_err());
}

#[test]
fn run_names() {
    let of = |name: &str| {
        let source =
            format!("run-name: {name}\non: push\njobs: {{a: {{runs-on: x, steps: [{{run: x}}]}}}}\n");
        run_name(&parse("f", &source).unwrap(), &github(), &Json::Null, &Json::Null).unwrap()
    };
    assert_eq!(of("by ${{ github.actor }}").as_deref(), Some("by mona"));
    assert_eq!(of("${{ inputs.none }}"), None);
}
