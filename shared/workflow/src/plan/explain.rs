//! What would run, told beforehand: `slipway plan`.
//!
//! Needed jobs are assumed to succeed, and the run not to be cancelled. What depends on a needed job's result or
//! outputs only the run can tell: it is null.

use serde::Serialize;
use serde_json::Value as Json;

use crate::calls::{FileName, Files, LEVELS_MAX, call_inputs};
use crate::diagnostics::Diagnostic;
use crate::expression::Expression;
use crate::filter::{Event, triggered};
use crate::syntax::{Call, Job, Strategy, Workflow};
use crate::value::Value;

use super::call::arguments;
use super::environment::PlanEnvironment;
use super::fate::{Fate, fates};
use super::instance;
use super::steps::{self, SkippedStep};

/// What a plan is made with.
#[derive(Debug, Clone)]
pub struct ExplainInput<'a> {
    /// The event and what changed.
    pub event: Event<'a>,
    /// The `github` context.
    pub github: &'a Value,
    /// The `inputs` context.
    pub inputs: &'a Json,
    /// The `vars` context.
    pub vars: &'a Json,
    /// The called files, as far as they are known.
    pub files: &'a Files,
}

/// The answer; serialises as `slipway plan --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Whether the event starts the workflow.
    pub triggered: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The jobs after matrix and `if`; empty when not triggered.
    pub jobs: Vec<PlannedJob>,
}

/// One instance of a job, or a job whose instances are not known yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedJob {
    /// The job's id in the file.
    pub id: String,
    /// What people will see.
    pub name: Option<String>,
    /// Jobs that come first.
    pub needs: Vec<String>,
    /// Labels.
    pub runs_on: Option<Vec<String>>,
    /// The `matrix` context; empty where there is none.
    pub matrix: Option<Json>,
    /// Whether it is skipped.
    pub skipped: Option<bool>,
    /// Why it is skipped, or what only the run can tell.
    pub reason: Option<String>,
    /// The reusable workflow that it calls; the callee's jobs follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<String>,
    /// Its steps that are skipped as long as all goes well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_steps: Vec<SkippedStep>,
    /// The file that it stands in, and its id there.
    #[serde(skip)]
    pub place: (String, String),
}

/// Tells what would run.
///
/// # Errors
/// What can't be evaluated.
pub fn explain(workflow: &Workflow, input: &ExplainInput<'_>) -> Result<Plan, Vec<Diagnostic>> {
    let decision = triggered(workflow, &input.event);
    if !decision.triggered {
        return Ok(Plan { triggered: false, reason: Some(decision.reason), jobs: Vec::new() });
    }
    let mut found = Found { files: input.files, jobs: Vec::new(), errors: Vec::new() };
    found.file(&Level {
        workflow,
        name: FileName::local(&workflow.file),
        base: PlanEnvironment::new(input.github.clone(), input.inputs, input.vars),
        vars: input.vars,
        github: input.github,
        inputs_open: false,
        above: None,
        depth: 1,
    });
    let Found { jobs, errors, .. } = found;
    if errors.is_empty() { Ok(Plan { triggered: true, reason: None, jobs }) } else { Err(errors) }
}

/// A file, as it is called.
struct Level<'a> {
    workflow: &'a Workflow,
    name: FileName,
    base: PlanEnvironment,
    github: &'a Value,
    vars: &'a Json,
    /// Whether its inputs depend on what jobs put out.
    inputs_open: bool,
    /// The calling job's instance.
    above: Option<&'a PlannedJob>,
    depth: usize,
}

impl Level<'_> {
    /// Whether only the run can tell an expression's value.
    fn open(&self, expression: &Expression) -> bool {
        expression.uses_context("needs") || (self.inputs_open && expression.uses_context("inputs"))
    }
}

struct Found<'a> {
    files: &'a Files,
    jobs: Vec<PlannedJob>,
    errors: Vec<Diagnostic>,
}

impl Found<'_> {
    fn file(&mut self, level: &Level<'_>) {
        let fates = match fates(level.workflow, &level.base, level.inputs_open) {
            Ok(fates) => fates,
            Err(error) => return self.errors.push(error),
        };
        for (job, fate) in level.workflow.jobs.iter().zip(fates) {
            let rows = match planned(level, job, fate.unwrap_or(Fate::Runs)) {
                Ok(rows) => rows,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            };
            for (row, environment) in rows {
                let may_run = row.skipped != Some(true);
                self.jobs.push(below(level, row));
                if let (Some(call), Some(environment)) = (&job.call, environment)
                    && may_run
                    && let Some(row) = self.jobs.last().cloned()
                    && let Err(error) = self.called(level, call, &row, &environment)
                {
                    self.errors.push(error);
                }
            }
        }
    }

    /// The jobs of the file that a job calls.
    fn called(
        &mut self,
        level: &Level<'_>,
        call: &Call,
        row: &PlannedJob,
        environment: &PlanEnvironment,
    ) -> Result<(), Diagnostic> {
        let files = self.files;
        let name = level.name.called(&call.uses.text).ok().filter(|_| level.depth < LEVELS_MAX);
        let Some((name, callee)) =
            name.and_then(|name| Some((files.get(&name.to_string())?, name))).map(|(f, n)| (n, f))
        else {
            if let Some(last) = self.jobs.last_mut() {
                last.reason
                    .get_or_insert_with(|| "its jobs stand in a file that only the run gets".to_owned());
            }
            return Ok(());
        };
        let inputs_open =
            call.with.iter().any(|argument| argument.value.any_expression(&|found| level.open(found)));
        let inputs = if inputs_open {
            Json::Null
        } else {
            let given = arguments(level.workflow, call, environment)?;
            call_inputs(level.workflow, callee, &given, &level.base)?
        };
        self.file(&Level {
            workflow: callee,
            name,
            base: PlanEnvironment::new(level.github.clone(), &inputs, level.vars),
            github: level.github,
            vars: level.vars,
            inputs_open,
            above: Some(row),
            depth: level.depth + 1,
        });
        Ok(())
    }
}

/// A job's row, as one of its caller's: `caller/job`, `caller / job`.
fn below(level: &Level<'_>, mut row: PlannedJob) -> PlannedJob {
    let Some(above) = level.above else { return row };
    row.id = format!("{}/{}", above.id, row.id);
    row.name = above.name.as_ref().zip(row.name).map(|(above, name)| format!("{above} / {name}"));
    for need in &mut row.needs {
        *need = format!("{}/{need}", above.id);
    }
    if row.skipped == Some(false) && above.skipped.is_none() {
        row.skipped = None;
        row.reason = Some("it is not known whether its caller runs".to_owned());
    }
    row
}

/// A job's rows; those of instances with what their expressions see.
fn planned(
    level: &Level<'_>,
    job: &Job,
    fate: Fate,
) -> Result<Vec<(PlannedJob, Option<PlanEnvironment>)>, Diagnostic> {
    let (workflow, base) = (level.workflow, &level.base);
    let open = |expression: &Expression| level.open(expression);
    let place = (workflow.file.clone(), job.id.clone());
    let uses = job.call.as_ref().map(|call| call.uses.text.clone());
    let strategy_open = job.strategy.as_ref().is_some_and(|strategy| {
        strategy.matrix.as_ref().is_some_and(|matrix| matrix.value.any_expression(&open))
            || [&strategy.whole, &strategy.fail_fast, &strategy.max_parallel]
                .into_iter()
                .flatten()
                .any(|templated| templated.template.expressions().any(open))
    });
    let (skipped, reason) = match fate {
        Fate::Runs => (Some(false), None),
        Fate::Skipped(reason) => (Some(true), Some(reason)),
        Fate::Unknown(reason) => (None, Some(reason)),
    };
    let needs: Vec<String> = job.needs.iter().map(|need| need.id.clone()).collect();
    if skipped == Some(true) || strategy_open {
        // GitHub expands no matrix of a job that is skipped.
        let reason = reason.or_else(|| Some("its matrix depends on the jobs it needs".to_owned()));
        let depends = |expression: &Expression| {
            open(expression) || ["matrix", "strategy"].iter().any(|context| expression.uses_context(context))
        };
        let runs_on = if uses.is_some() {
            Some(Vec::new())
        } else if job.runs_on.labels.any_expression(&depends) {
            None
        } else {
            Some(instance::labels(workflow, job, base)?)
        };
        let name = match &job.name {
            _ if strategy_open && skipped != Some(true) => None,
            None => Some(job.id.clone()),
            Some(name) => name.template.as_literal().map(str::to_owned),
        };
        let row = PlannedJob {
            id: job.id.clone(),
            name,
            needs,
            runs_on,
            matrix: None,
            skipped,
            reason,
            uses,
            skipped_steps: Vec::new(),
            place,
        };
        return Ok(vec![(row, None)]);
    }
    let instances = instance::instances(workflow, job, base)?;
    let mut conditions = steps::Conditions::of(&job.steps, level.inputs_open);
    let mut planned = Vec::with_capacity(instances.list.len());
    // Calls are jobs of their own, so each has an id of its own.
    let numbered = uses.is_some() && job.strategy.as_ref().is_some_and(Strategy::has_matrix);
    for (number, instance) in (1..).zip(instances.list) {
        let mut environment = base.clone();
        environment.strategy = instance.strategy.clone();
        environment.matrix = instance.matrix.clone();
        let name_open = job.name.as_ref().is_some_and(|name| name.template.expressions().any(open));
        let name =
            if name_open { None } else { Some(instance::name(workflow, job, &instance, &environment)?) };
        let runs_on = if uses.is_some() {
            Some(Vec::new())
        } else if job.runs_on.labels.any_expression(&open) {
            None
        } else {
            Some(instance::labels(workflow, job, &environment)?)
        };
        let matrix = match instance.matrix.to_json() {
            Json::Null => Json::Object(serde_json::Map::new()),
            matrix => matrix,
        };
        let row = PlannedJob {
            id: if numbered { format!("{}#{number}", job.id) } else { job.id.clone() },
            name,
            needs: needs.clone(),
            runs_on,
            matrix: Some(matrix),
            skipped,
            reason: reason.clone(),
            uses: uses.clone(),
            skipped_steps: conditions.skipped(&environment),
            place: place.clone(),
        };
        planned.push((row, Some(environment)));
    }
    Ok(planned)
}
