#![allow(clippy::unwrap_used)]

use serde_json::json;
use slipway_workflow::expression::Environment as _;
use slipway_workflow::job_spec::{Entry, RunDefaults, StepAction, StepSpec, Text};

use super::super::commands::Effect;
use super::super::env_files::EnvFile;
use super::super::mask::Masks;
use super::super::outcome::{Ended, JobStatus, StepEnd};
use super::super::state::JobState;
use super::super::values::Values;
use super::*;

fn text(text: &str) -> Text {
    Text { text: text.to_owned(), line: 7, column: 9 }
}

fn entry(key: &str, value: &str) -> Entry {
    Entry { key: key.to_owned(), value: text(value) }
}

fn contexts() -> Contexts {
    let spec: JobSpec = serde_json::from_value(json!({
        "version": 1, "workflow_file": ".github/workflows/ci.yml", "job": "build", "name": "Build",
        "contexts": {
            "github": {"sha": "abc", "event": {"n": 1}}, "inputs": {"flag": true}, "vars": {"V": "v"},
            "needs": {}, "strategy": null, "matrix": {"os": "linux"},
        },
        "env": [], "defaults": {"shell": null, "working_directory": null}, "container": null, "outputs": [],
        "steps": [], "timeout_ms": 1000, "source": {"kind": "none"},
    }))
    .unwrap();
    let runner = RunnerFacts {
        name: "a1".into(),
        arch: "X64".into(),
        temp: "/t".into(),
        tool_cache: "/tools".into(),
        workspace: "/w".into(),
        github_workspace: "/w/r".into(),
        event_path: "/t/event.json".into(),
        debug: false,
    };
    Contexts::new(
        &spec,
        &runner,
        &[("GITHUB_TOKEN".into(), "tok".into()), ("Key".into(), "s3cret".into())],
        &[],
    )
}

fn state() -> JobState {
    let mut state = JobState::new([("A", "job"), ("B", "b")].into_iter().collect());
    state.begin_step("first");
    state.apply(&Effect::SetOutput { name: "Out".into(), value: "1".into() }).unwrap();
    state.end_step(StepEnd::new(Ended::Exited(1), false, true));
    state.begin_step("__run");
    state.apply(&Effect::SetOutput { name: "x".into(), value: "1".into() }).unwrap();
    state.end_step(StepEnd::new(Ended::Exited(0), false, false));
    state.begin_step("second");
    state
}

fn places() -> StepPlaces {
    StepPlaces {
        action: "second".into(),
        files: vec![(EnvFile::Output, "/t/out".into())],
        repository: Some(("actions/checkout".into(), "v4".into())),
        action_path: None,
    }
}

#[test]
fn every_context_is_seen() {
    let (contexts, state) = (contexts(), state());
    let scope = Scope::new(&contexts, &state, &places(), None)
        .with_env(&[("A", "step"), ("a", "low")].into_iter().collect());
    for (expression, expected) in [
        ("github.sha github.workspace", "abc /w/r"),
        ("github.output github.action github.action_ref", "/t/out second v4"),
        ("github.token secrets.KEY secrets.none", "tok s3cret "),
        ("github.job github.event.n github.event_path", "build 1 /t/event.json"),
        ("env.A env.a env.B env.b", "step low b "),
        ("job.status runner.os runner.ARCH runner.debug", "success Linux X64 "),
        ("runner.environment runner.temp runner.tool_cache", "self-hosted /t /tools"),
        ("steps.first.outputs.OUT steps.first.outcome steps.first.conclusion", "1 failure success"),
        ("steps.__run.outcome steps.second.outcome", " "),
        ("inputs.flag vars.V matrix.os strategy.job-index", "true v linux "),
        ("job.container.id job.services.x.id", " "),
    ] {
        let template =
            expression.split(' ').map(|name| format!("${{{{ {name} }}}}")).collect::<Vec<_>>().join(" ");
        assert_eq!(scope.key(&text(&template)).unwrap(), expected, "{expression}");
    }
    assert!(scope.context("nonsense").is_none());
}

#[test]
fn conditions_follow_the_jobs_status() {
    let contexts = contexts();
    let holds = |state: &JobState, condition: Option<&str>| {
        let text = condition.map(text);
        Scope::new(&contexts, state, &places(), None).condition(text.as_ref()).unwrap()
    };
    let well = state();
    let mut failed = state();
    failed.fail();
    let mut cancelled = state();
    cancelled.cancel();
    for (condition, expected) in [
        (None, [true, false, false]),
        (Some("success()"), [true, false, false]),
        (Some("failure()"), [false, true, false]),
        (Some("cancelled()"), [false, false, true]),
        (Some("always()"), [true, true, true]),
        (Some("!cancelled()"), [true, true, false]),
        (Some("${{ env.A == 'JOB' }}"), [true, false, false]),
        (Some("failure() && steps.first.outcome == 'failure'"), [false, true, false]),
    ] {
        let found = [&well, &failed, &cancelled].map(|state| holds(state, condition));
        assert_eq!(found, expected, "{condition:?}");
    }
    let scope = Scope::new(&contexts, &well, &places(), None).with_status(JobStatus::Cancelled);
    assert!(!scope.condition(None).unwrap());
    let error = scope.condition(Some(&text("secrets.KEY == 'x'"))).unwrap_err();
    assert!(error.to_string().contains(".github/workflows/ci.yml (Line: 7, Col: 9): "), "{error}");
}

#[test]
fn environments_layer_and_see_the_outer_ones() {
    let contexts = contexts();
    let blocks =
        [vec![entry("A", "${{ secrets.Key }}"), entry("B", "w")], vec![entry("B", "${{ matrix.os }}")]];
    let env = contexts.job_env(&blocks).unwrap();
    assert_eq!(env.iter().collect::<Vec<_>>(), [("A", "s3cret"), ("B", "linux")]);
    let state = JobState::new(env);
    let scope = Scope::new(&contexts, &state, &places(), None);
    let step =
        scope.step_env(&[entry("B", "own"), entry("C", "${{ env.B }}"), entry("N", "${{ null }}")]).unwrap();
    assert_eq!(step.iter().collect::<Vec<_>>(), [("B", "own"), ("C", "linux"), ("N", "")]);
    assert!(scope.step_env(&[entry("X", "${{ github }}")]).is_err());
    let whole = entry(slipway_workflow::job_spec::INSERT, r#"${{ fromJSON('{"P": 1, "B": true}') }}"#);
    let merged = scope.step_env(&[whole, entry("B", "own")]).unwrap();
    assert_eq!(merged.iter().collect::<Vec<_>>(), [("P", "1"), ("B", "own")]);
    let named = scope.step_env(&[entry("OF_${{ matrix.os }}", "own")]).unwrap();
    assert_eq!(named.iter().collect::<Vec<_>>(), [("OF_linux", "own")]);
    let wrong = scope.step_env(&[entry(slipway_workflow::job_spec::INSERT, "${{ 'x' }}")]).unwrap_err();
    assert!(wrong.to_string().contains("a mapping belongs here"), "{wrong}");
}

#[test]
fn typed_keys() {
    let (contexts, state) = (contexts(), state());
    let scope = Scope::new(&contexts, &state, &places(), None);
    for (value, expected) in [
        (None, Some(false)),
        (Some("true"), Some(true)),
        (Some("${{ inputs.flag }}"), Some(true)),
        (Some("${{ 'true' }}"), None),
        (Some("yes"), None),
    ] {
        assert_eq!(scope.continue_on_error(value.map(text).as_ref()).ok(), expected, "{value:?}");
    }
    for (value, expected) in [
        (None, Some(None)),
        (Some("10"), Some(Some(600_000))),
        (Some("0.5"), Some(Some(30_000))),
        (Some("${{ 2 }}"), Some(Some(120_000))),
        (Some("${{ fromJSON('3') }}"), Some(Some(180_000))),
        (Some("0"), Some(None)),
        (Some("-1"), Some(None)),
        (Some("${{ '5' }}"), None),
        (Some("soon"), None),
        (Some("${{ github }}"), None),
    ] {
        assert_eq!(scope.timeout_ms(value.map(text).as_ref()).ok(), expected, "{value:?}");
    }
}

#[test]
fn run_options_fall_back_to_the_defaults() {
    let (contexts, state) = (contexts(), state());
    let scope = Scope::new(&contexts, &state, &places(), None);
    let defaults = RunDefaults { shell: Some(text("sh")), working_directory: Some(text("${{ matrix.os }}")) };
    let options = |shell: Option<&str>, folder: Option<&str>, defaults: &RunDefaults| {
        scope.run_options(shell.map(text).as_ref(), folder.map(text).as_ref(), defaults).unwrap()
    };
    assert_eq!(options(None, None, &defaults), (Some("sh".into()), Some("linux".into())));
    assert_eq!(options(Some("bash"), Some("src"), &defaults), (Some("bash".into()), Some("src".into())));
    assert_eq!(options(Some("${{ '' }}"), None, &RunDefaults::default()), (None, None));
}

#[test]
fn names_and_outputs_hide_secrets() {
    let (contexts, state) = (contexts(), state());
    let scope = Scope::new(&contexts, &state, &places(), None);
    let masks = Masks::new(["s3cret"]);
    let step = |name: Option<&str>, action| StepSpec {
        id: "__run".into(),
        id_written: false,
        name: name.map(text),
        condition: None,
        action,
        background: false,
        env: Vec::new(),
        continue_on_error: None,
        timeout_minutes: None,
        line: 1,
    };
    let uses = |uses: &str| StepAction::Uses {
        uses: uses.into(),
        action: slipway_workflow::action::ActionReference::parse(uses).unwrap(),
        with: Vec::new(),
    };
    let run = |script: &str| StepAction::Run { script: text(script), shell: None, working_directory: None };
    let checkout = uses("actions/checkout@v4");
    for (step, expected) in [
        (step(None, run("\n  echo ${{ matrix.os }}\nmore")), "Run echo linux"),
        (step(Some("N ${{ secrets.Key }}\nx"), run("y")), "N ***"),
        (step(Some("N ${{ nonsense }}"), run("y")), "N ${{ nonsense }}"),
        (step(None, checkout), "Run actions/checkout@v4"),
    ] {
        assert_eq!(scope.display_name(&step, &masks), expected);
    }
    let outputs = [
        entry("a", "${{ steps.first.outputs.out }}"),
        entry("b", "x ${{ secrets.Key }}"),
        entry("c", "${{ steps.none.outputs.x }}"),
    ];
    let (values, warnings): (Values, _) = scope.job_outputs(&outputs, &masks).unwrap();
    assert_eq!(values.iter().collect::<Vec<_>>(), [("a", "1")]);
    assert_eq!(warnings, ["Skip output 'b' since it may contain secret."]);
}
