//! Tests of the model.

use super::identifier::{StepIds, problem};
use super::suggest::nearest;
use super::{Container, InputType, Permissions, Workflow, default_step_name, lint, parse, parse_with_advice};
use crate::diagnostics::{Diagnostic, Severity};
use crate::job_spec::StepAction;

pub(super) fn workflow(source: &str) -> Workflow {
    parse("f.yml", source).unwrap_or_else(|found| panic!("{source}\n{found:?}"))
}

/// A workflow around one job's body, which is indented by four.
pub(super) fn job(body: &str) -> String {
    format!("on: push\njobs:\n  a:\n    runs-on: x\n{body}\n    steps: [{{run: x}}]\n")
}

/// A workflow around one step.
fn step(step: &str) -> String {
    format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - {step}\n")
}

pub(super) fn one(source: &str) -> Diagnostic {
    let mut found = lint("f.yml", source);
    assert_eq!(found.len(), 1, "{source}\n{found:?}");
    found.remove(0)
}

/// Checks that there is exactly one finding, with this place, code and part of its text.
pub(super) fn refuse(source: &str, line: u32, column: u32, code: &str, part: &str) {
    let found = one(source);
    assert_eq!((found.line, found.column, &*found.code), (line, column, code), "{source}\n{found}");
    assert!(found.to_string().contains(part), "{source}\n{found}");
    assert!(!found.message.contains('\n'));
}

#[test]
fn a_whole_workflow() {
    let workflow = workflow(
        "name: CI\nrun-name: by ${{ github.actor }}\non: [push, pull_request]\npermissions: read-all\n\
         env: {A: 1, B: '${{ secrets.B }}', C: }\ndefaults: {run: {shell: bash}}\njobs:\n  one:\n    runs-on: ubuntu-latest\n\
         \x20   outputs: {v: '${{ steps.s.outputs.v }}'}\n    container: {image: 'node:20', ports: [80], credentials: {username: u, password: '${{ secrets.P }}'}}\n\
         \x20   steps:\n      - uses: actions/checkout@v4\n        with: {fetch-depth: 0}\n      - id: s\n        run: echo\n        if: always()\n\
         \x20 two:\n    needs: ONE\n    runs-on: {labels: [self-hosted, ARM64]}\n    steps:\n      - run: a\n      - run: b\n",
    );
    assert_eq!(workflow.display_name(), "CI");
    assert_eq!(
        workflow.triggers.iter().map(|trigger| trigger.event.as_str()).collect::<Vec<_>>(),
        ["push", "pull_request"]
    );
    assert_eq!(workflow.permissions, Some(Permissions::ReadAll));
    let env: Vec<(&str, &str)> =
        workflow.env.iter().map(|entry| (entry.key.as_str(), entry.value.text.as_str())).collect();
    assert_eq!(env, [("A", "1"), ("B", "${{ secrets.B }}"), ("C", "")]);
    let one = workflow.job("ONE").unwrap();
    assert!(
        matches!(&one.container, Some(Container::Full(full)) if full.credentials.is_some() && full.ports.len() == 1)
    );
    assert_eq!(
        one.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(),
        ["__actions_checkout", "s"]
    );
    assert!(
        matches!(&one.steps[0].action, StepAction::Uses { uses, with, .. } if uses == "actions/checkout@v4" && with[0].value.text == "0")
    );
    assert_eq!(one.steps[1].line, 15);
    let two = workflow.job("two").unwrap();
    // Spelled as the needed job is.
    assert_eq!(two.needs[0].id, "one");
    assert_eq!(two.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["__run", "__run_2"]);
}

#[test]
fn expressions_stand_where_they_can() {
    let body = "    strategy: {'${{ github.x }}': [x]}";
    refuse(&job(body), 5, 16, "unknown-key", "an expression can't be a key of `strategy`");
    refuse("on: push\njobs: {a: {runs-on: {}, steps: [{run: a}]}}\n", 2, 12, "missing-key", "or `group`");
    refuse(&job("    env: {A: '${{ insert }}'}"), 5, 18, "expression", "in the place of a key");
    refuse(
        "on: push\njobs: {a: {uses: ./.github/workflows/x.yml, with: '${{ github.x }}'}}\n",
        2,
        51,
        "wrong-type",
        "`with` must be a mapping",
    );
}

#[test]
fn a_whole_mapping_may_come_from_an_expression() {
    let named = workflow(&job("    env: {'A_${{ github.x }}': b}"));
    assert_eq!(named.jobs[0].env[0].key, "A_${{ github.x }}");
    refuse(&job("    env: {'${{ nope.x }}': b}"), 5, 16, "expression", "nope");
    for env in ["${{ fromJSON('{}') }}", "{A: b, '${{insert}}': '${{ fromJSON(vars.X) }}'}"] {
        let read = workflow(&job(&format!("    env: {env}")));
        assert!(read.jobs[0].env.iter().any(|entry| entry.key == crate::job_spec::INSERT), "{env}");
    }
    assert_eq!(warnings(&job("    snapshot: x")), ["5:5 ignored-key `snapshot` takes no image here"]);
}

#[test]
fn every_kind_of_action_is_read() {
    for uses in ["actions/cache@v4", "./local", "docker://alpine", "owner/name/sub@main"] {
        let read = workflow(&step(&format!("uses: {uses}")));
        assert!(
            matches!(&read.jobs[0].steps[0].action, StepAction::Uses { uses: written, .. } if written == uses)
        );
    }
    refuse(&step("uses: actions/checkout"), 6, 15, "wrong-value", "lacks a version");
    refuse(&step("uses: checkout@v4"), 6, 15, "wrong-value", "write `owner/name@ref`");
    refuse(&step("uses: a/${{ matrix.x }}@v1"), 6, 15, "expression", "can't hold an expression");
}

#[test]
fn actions_of_others_want_a_commit() {
    assert_eq!(
        warnings(&step("uses: owner/name/sub@main")),
        ["6:15 unpinned-action `owner/name/sub@main` may be other code tomorrow: `main` is not a commit"]
    );
    let pinned = format!("uses: owner/name@{}", "a".repeat(40));
    for harmless in [&*pinned, "uses: actions/setup-node@v4", "uses: ./x", "uses: docker://alpine"] {
        assert!(warnings(&step(harmless)).is_empty(), "{harmless}");
    }
}

#[test]
fn unknown_keys_get_a_hint() {
    refuse(&job("    step: []"), 5, 5, "unknown-key", "did you mean `steps`?");
    refuse(&job("    timeout_minutes: 1"), 5, 5, "unknown-key", "did you mean `timeout-minutes`?");
    refuse(&job("    zzzzzz: 1"), 5, 5, "unknown-key", "known keys: name, runs-on");
    refuse(&step("{nmae: x, run: a}"), 6, 10, "unknown-key", "did you mean `name`?");
    refuse(
        "on: {push: {branch: main}}\njobs: {a: {runs-on: x, steps: [{run: a}]}}\n",
        1,
        13,
        "unknown-key",
        "did you mean `branches`?",
    );
    assert_eq!(nearest("need", ["needs", "name"]), Some("needs"));
    assert_eq!(nearest("xy", ["xz"]), None);
}

#[test]
fn wrong_shapes() {
    refuse("- a\n", 1, 1, "wrong-type", "a workflow` must be a mapping, not a list");
    refuse(&job("    timeout-minutes: soon"), 5, 22, "wrong-type", "number above 0");
    refuse(&job("    timeout-minutes: 0"), 5, 22, "wrong-type", "number above 0");
    refuse(&job("    continue-on-error: 'true'"), 5, 24, "wrong-type", "must be true or false");
    refuse(&job("    env:"), 5, 8, "wrong-type", "`env` must be a mapping, not nothing");
    refuse(&job("    env: [a]"), 5, 10, "wrong-type", "`env` must be a mapping");
    refuse(&job("    needs: {}"), 5, 12, "wrong-type", "`needs` must be text");
    refuse(&job("    container: {ports: []}"), 5, 16, "missing-key", "needs an `image`");
    refuse(&job("    permissions: {contents: admin}"), 5, 29, "wrong-value", "allowed: read, write, none");
    refuse(&step("{run: a, uses: actions/checkout@v4}"), 6, 18, "conflicting-keys", "not both");
    refuse(&step("name: nothing"), 6, 9, "missing-key", "needs `run` or `uses`");
    refuse(&step("{run: a, with: {b: c}}"), 6, 18, "conflicting-keys", "`with` belongs to `uses`");
    refuse(
        &step("{uses: actions/checkout@v4, shell: bash}"),
        6,
        37,
        "conflicting-keys",
        "`shell` belongs to `run`",
    );
    refuse(&step("{run: a, shell: '${{ matrix.s }}'}"), 6, 26, "expression", "not allowed here");
    refuse("on: push\njobs: {}\n", 2, 7, "missing-value", "at least one job");
    refuse("on: push\njobs: {a: {steps: [{run: a}]}}\n", 2, 8, "missing-key", "needs `runs-on`");
    refuse("on: push\njobs: {a: {runs-on: x}}\n", 2, 8, "missing-key", "needs `steps`");
    refuse(
        "on: push\njobs: {a: {runs-on: '', steps: [{run: a}]}}\n",
        2,
        21,
        "wrong-value",
        "at least one label",
    );
    refuse("jobs: {a: {runs-on: x, steps: [{run: a}]}}\n", 1, 1, "missing-key", "needs `on`");
}

#[test]
fn expressions_are_checked_where_they_stand() {
    refuse(
        &step("run: |\n          echo\n          echo ${{ nope.x }}"),
        8,
        20,
        "expression",
        "unknown context `nope`",
    );
    refuse(&job("    if: env.A == 'x'"), 5, 9, "expression", "`env` is not available here");
    refuse(&job("    name: ${{ secrets.A }}"), 5, 15, "expression", "`secrets` is not available here");
    refuse(&step("{run: a, if: secrets.A}"), 6, 22, "expression", "`secrets` is not available here");
    refuse(&step("{run: a, if: success('x')}"), 6, 22, "expression", "at most 0");
    refuse(
        "name: ${{ github.ref }}\non: push\njobs: {a: {runs-on: x, steps: [{run: a}]}}\n",
        1,
        7,
        "expression",
        "not allowed here",
    );
    // Both errors of one file.
    assert_eq!(lint("f", &step("{run: '${{ a }}', name: '${{ b }}'}")).len(), 2);
}

#[test]
fn an_if_that_is_always_true_is_a_warning() {
    let found = one(&step("{run: a, if: '${{ false }} && true'}"));
    assert_eq!((found.severity, &*found.code), (Severity::Warning, "if-always-true"));
    assert_eq!(workflow(&step("{run: a, if: '${{ false }} && true'}")).warnings.len(), 1);
}

#[test]
fn ids() {
    for id in ["a", "_a", "A-1_b", &"a".repeat(99)] {
        assert_eq!(problem(id), None, "{id}");
    }
    for id in ["", "1a", "-a", "a b", "a.b", "ä", "__a", &"a".repeat(100)] {
        assert!(problem(id).is_some(), "{id}");
    }
    refuse("on: push\njobs: {1a: {runs-on: x, steps: [{run: a}]}}\n", 2, 8, "invalid-id", "`1a` is invalid");
    refuse(
        "on: push\njobs: {a: {runs-on: x, steps: [{run: a}]}, A: {}}\n",
        2,
        44,
        "duplicate-key",
        "`A` is already defined",
    );
    refuse(&step("{run: a, id: s}\n      - {run: b, id: S}"), 7, 22, "duplicate-id", "`S` is used twice");
    refuse(&step("{run: a, id: __x}"), 6, 22, "invalid-id", "reserved");
}

#[test]
fn generated_step_ids_are_githubs() {
    let mut ids = StepIds::default();
    assert!(ids.take("x") && !ids.take("X"));
    assert_eq!(ids.for_run(), "__run");
    assert_eq!(ids.for_action("actions/checkout@v4"), "__actions_checkout");
    assert_eq!(ids.for_run(), "__run_2");
    assert_eq!(ids.for_action("a.b/c/d@x"), "__a_b_c");
    assert_eq!(ids.for_action("./local"), "__self");
}

#[test]
fn needs_are_checked() {
    let jobs = |body: &str| format!("on: push\njobs:\n{body}");
    let plain = "runs-on: x, steps: [{run: a}]";
    refuse(
        &jobs(&format!("  build: {{{plain}}}\n  test: {{needs: buidl, {plain}}}\n")),
        4,
        17,
        "unknown-need",
        "did you mean `build`?",
    );
    refuse(&jobs(&format!("  a: {{needs: a, {plain}}}\n")), 3, 14, "needs-cycle", "a -> a");
    refuse(
        &jobs(&format!(
            "  z: {{needs: c, {plain}}}\n  a: {{needs: b, {plain}}}\n  b: {{needs: c, {plain}}}\n  c: {{needs: a, {plain}}}\n"
        )),
        6,
        14,
        "needs-cycle",
        "c -> a -> b -> c",
    );
    let twice = workflow(&jobs(&format!("  a: {{{plain}}}\n  b: {{needs: [a, A], {plain}}}\n")));
    assert_eq!(twice.job("b").unwrap().needs.len(), 1);
}

#[test]
fn matrices_are_checked_as_far_as_they_are_literal() {
    refuse(&job("    strategy: {matrix: {v: []}}"), 5, 28, "matrix", "empty list");
    refuse(&job("    strategy: {matrix: {v: x}}"), 5, 28, "matrix", "must be a list");
    refuse(&job("    strategy: {matrix: {v: [1], exclude: [{w: 1}]}}"), 5, 16, "matrix", "names `w`");
    refuse(&job("    strategy: {matrix: {}}"), 5, 16, "matrix", "makes no job");
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let list = numbers.join(",");
    refuse(
        &job(&format!("    strategy: {{matrix: {{a: [{list}], b: [{list}]}}}}")),
        5,
        16,
        "matrix",
        "more than 256",
    );
    for matrix in [
        "${{ fromJSON(needs.a.outputs.x) }}",
        "{v: '${{ fromJSON(vars.V) }}'}",
        "{v: [1, '${{ vars.V }}'], include: '${{ fromJSON(vars.I) }}'}",
    ] {
        assert_eq!(
            lint(
                "f",
                &job(&format!("    strategy: {{matrix: {matrix}}}")
                    .replace(": ${{", ": '${{")
                    .replace("}}}", "}}'}"))
            )
            .len()
            .min(1),
            0,
            "{matrix}"
        );
    }
}

#[test]
fn triggers_are_lenient_where_github_is() {
    let on = |on: &str| format!("on:\n{on}\njobs: {{a: {{runs-on: x, steps: [{{run: a}}]}}}}\n");
    // Real files: helm has tags for create; null inputs.
    assert_eq!(one(&on("  create: {tags: [v*]}\n  delete: {foo: 1}")).severity, Severity::Warning);
    assert!(lint("f", &on("  workflow_dispatch: {inputs: }")).is_empty());
    assert!(lint("f", &on("  schedule: [{cron: '0 0 * * *', timezone: Europe/Berlin}]\n  merge_group:\n  workflow_call: {inputs: {a: {type: string}}}")).is_empty());
    assert_eq!(
        one(&on("  pul_request:")).to_string(),
        "f.yml:2:3: there is no event `pul_request`; did you mean `pull_request`?"
    );
    refuse(
        &on("  push: {branches: [a], branches-ignore: [b]}"),
        2,
        3,
        "conflicting-keys",
        "both `branches` and `branches-ignore`",
    );
    refuse(&on("  push: {branches: ['[']}"), 2, 21, "filter", "without its `]`");
    let workflow = workflow(&on(
        "  workflow_dispatch:\n    inputs:\n      a: {type: choice, options: [x, y], required: true}\n      b: {type: boolean, default: true}\n      c:",
    ));
    let inputs = &workflow.triggers[0].inputs;
    assert_eq!(inputs[0].kind, InputType::Choice(vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(inputs[1].default.as_deref(), Some("true"));
    assert_eq!(inputs[2].kind, InputType::String);
    refuse(
        &on("  workflow_dispatch: {inputs: {a: {type: text}}}"),
        2,
        42,
        "wrong-value",
        "no input type `text`",
    );
}

#[test]
fn default_names_of_steps() {
    assert_eq!(default_step_name(Some("\n  echo one \necho two"), ""), "Run echo one");
    assert_eq!(default_step_name(None, "actions/checkout@v4"), "Run actions/checkout@v4");
}

#[test]
fn unknown_inputs_of_checkout_are_a_warning() {
    let found = one(&step("{uses: actions/checkout@v4, with: {fetch_depth: 0}}"));
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.to_string().contains("did you mean `fetch-depth`?"));
}

/// The warnings of a file, each as `line:column code message`.
pub(super) fn warnings(source: &str) -> Vec<String> {
    let found = parse_with_advice("w.yml", source).unwrap().warnings;
    found
        .iter()
        .map(|found| format!("{}:{} {} {}", found.line, found.column, found.code, found.message))
        .collect()
}

#[test]
fn what_cannot_come_true_is_warned_of() {
    let source = "on: push\njobs:\n  a:\n    runs-on: x\n    outputs:\n      o: ${{ steps.one.outputs.x }}\n    steps:\n      \
                  - run: echo ${{ steps.one.outputs.x }}\n      - id: one\n        if: ${{ false }}\n        run: x\n      \
                  - if: steps.oen.outcome == 'success' && always()\n        run: echo ${{ steps['one'].outputs.y }}\n  \
                  b:\n    needs: a\n    if: needs.c.result == 'success'\n    runs-on: x\n    steps:\n      \
                  - run: echo ${{ needs.a.outputs.o }} ${{ needs.*.result }}\n";
    let found: Vec<String> =
        lint("w.yml", source).iter().map(|found| format!("{} {found}", found.code)).collect();
    assert_eq!(
        found,
        [
            "unknown-step w.yml:8:23: no earlier step of this job has the id `one`; its value is always empty",
            "never-runs w.yml:10:13: this step never runs: its `if` is never true; remove it, or the condition",
            "unknown-step w.yml:12:13: no earlier step of this job has the id `oen`; did you mean `one`?",
            "unknown-need w.yml:16:9: this job does not need `c`; its value is always empty",
        ]
    );
}

#[test]
fn text_from_outside_in_a_script_is_warned_of() {
    let found = warnings(&step("run: |\n          true\n          echo \"${{ github.event.issue.TITLE }}\""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("8:21 untrusted-input anyone can choose `github.event.issue.title`"),
        "{found:?}"
    );
    for harmless in [
        "run: echo ${{ github.event.issue.number }} ${{ github.event.issue.title == 'x' && 1 }}x",
        "{run: 'echo \"$T\"', env: {T: '${{ github.event.issue.title }}'}}",
    ] {
        let found = warnings(&step(harmless));
        assert_eq!(found.len(), usize::from(harmless.contains("&&")), "{harmless}: {found:?}");
    }
    for dangerous in [
        "run: echo ${{ github['head_ref'] }}",
        "run: echo ${{ github.event.commits[0].message }}",
        "run: echo ${{ join(github.event.commits.*.message) }}",
        "run: echo ${{ github.event.pull_request.head[vars.X] }}",
    ] {
        assert_eq!(warnings(&step(dangerous)).len(), 1, "{dangerous}");
    }
}

#[test]
fn retired_commands_are_warned_of() {
    let found = warnings(&step("run: echo \"::set-output name=a::b\""));
    assert_eq!(found, ["6:20 retired-command the workflow command `set-output` is retired"]);
}

#[test]
fn services_and_environment_are_read() {
    let source = job(
        "    environment: {name: '${{ vars.E }}', url: 'https://${{ steps.s.outputs.host }}'}\n    cancel-timeout-minutes: 2\n    services:\n      redis: redis:7\n      db: {image: '${{ vars.DB }}', ports: ['5432:5432'], command: postgres -c x, options: --health-cmd true}\n      none: ${{ '' }}",
    );
    let workflow = parse("w.yml", &source).unwrap();
    let job = &workflow.jobs[0];
    assert!(job.environment.as_ref().unwrap().url.is_some());
    let names: Vec<&str> = job.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["redis", "db", "none"]);
    assert_eq!(job.services[1].command.as_ref().unwrap().text.text, "postgres -c x");
    refuse(&self::job("    services: {a: ''}"), 5, 19, "missing-value", "must not be empty");
    refuse(&self::job("    services: {a: {ports: [1]}}"), 5, 19, "missing-key", "needs an `image`");
    refuse(
        &self::job("    services: {a: {image: x, port: [1]}}"),
        5,
        30,
        "unknown-key",
        "did you mean `ports`?",
    );
    refuse(&self::job("    services: {a b: x}"), 5, 16, "invalid-id", "a b");
    refuse(&self::job("    environment: {url: x}"), 5, 18, "missing-key", "needs a `name`");
    refuse(&self::job("    environment: {name: a, urls: x}"), 5, 28, "unknown-key", "did you mean `url`?");
}

#[test]
fn activity_types_are_checked() {
    let on = |types: &str| {
        format!(
            "on: {{pull_request: {{types: {types}}}}}\njobs: {{a: {{runs-on: x, steps: [{{run: a}}]}}}}\n"
        )
    };
    assert!(parse("w.yml", &on("[opened, closed]")).is_ok());
    refuse(&on("[opend]"), 1, 29, "activity-type", "did you mean `opened`?");
    assert!(
        parse(
            "w.yml",
            "on: {repository_dispatch: {types: [mine]}}\njobs: {a: {runs-on: x, steps: [{run: a}]}}\n"
        )
        .is_ok()
    );
}

#[test]
fn concurrency_of_a_workflow() {
    let with = |concurrency: &str| {
        format!("on: push\nconcurrency: {concurrency}\njobs: {{a: {{runs-on: x, steps: [{{run: a}}]}}}}\n")
    };
    let short = workflow(&with("ci-${{ github.ref }}")).concurrency.unwrap();
    assert!(short.cancel_in_progress.is_none());
    let full = workflow(&with("{group: a, cancel-in-progress: '${{ github.ref != 1 }}', queue: max}"));
    assert_eq!(full.concurrency.unwrap().queue, super::Queueing::Max);
    refuse(&with("''"), 2, 14, "missing-value", "must not be empty");
    refuse(&with("{cancel-in-progress: true}"), 2, 14, "missing-key", "needs a `group`");
    refuse(&with("{group: a, queue: two}"), 2, 32, "wrong-value", "allowed: single, max");
    refuse(&with("{group: a, queue: max, cancel-in-progress: true}"), 2, 14, "conflicting-keys", "exclude");
    refuse(&with("{group: '${{ env.X }}'}"), 2, 27, "expression", "`env` is not available here");
    refuse(&with("{groupe: a, group: b}"), 2, 15, "unknown-key", "did you mean `group`?");
}
