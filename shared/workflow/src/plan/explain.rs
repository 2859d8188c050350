//! What would run, told beforehand: `slipway plan`.
//!
//! Needed jobs are assumed to succeed, and the run not to be cancelled. What depends on a needed job's result or
//! outputs only the run can tell: it is null.

use serde::Serialize;
use serde_json::Value as Json;

use crate::diagnostics::Diagnostic;
use crate::expression::{Condition, Expression, StatusFunction};
use crate::filter::{Event, triggered};
use crate::syntax::{Job, Workflow};

use super::environment::PlanEnvironment;
use super::instance::{self, expression_diagnostic};
use super::resolve::{Ancestors, skip_reason};

/// What a plan is made with.
#[derive(Debug, Clone)]
pub struct ExplainInput<'a> {
    /// The event and what changed.
    pub event: Event<'a>,
    /// The `github` context.
    pub github: &'a Json,
    /// The `inputs` context.
    pub inputs: &'a Json,
    /// The `vars` context.
    pub vars: &'a Json,
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
}

/// Whether a job will run, as far as can be told.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Runs,
    Skipped(String),
    Unknown(String),
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
    let base = PlanEnvironment::new(input.github, input.inputs, input.vars);
    let fates = fates(workflow, &base).map_err(|error| vec![error])?;
    let mut jobs = Vec::new();
    let mut errors = Vec::new();
    for (job, fate) in workflow.jobs.iter().zip(fates) {
        match planned(workflow, job, fate.unwrap_or(Fate::Runs), &base) {
            Ok(planned) => jobs.extend(planned),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Plan { triggered: true, reason: None, jobs }) } else { Err(errors) }
}

/// The fate of every job, decided after those it needs. Jobs form no cycle, so every round decides at least one.
fn fates(workflow: &Workflow, base: &PlanEnvironment) -> Result<Vec<Option<Fate>>, Diagnostic> {
    let mut fates: Vec<Option<Fate>> = vec![None; workflow.jobs.len()];
    let mut ancestry: Vec<Ancestry> = vec![Ancestry::default(); workflow.jobs.len()];
    let index = |id: &str| workflow.jobs.iter().position(|job| job.id == id);
    let needs: Vec<Vec<usize>> = workflow
        .jobs
        .iter()
        .map(|job| job.needs.iter().filter_map(|need| index(&need.id)).collect())
        .collect();
    for _ in 0..workflow.jobs.len() {
        let mut changed = false;
        for (at, job) in workflow.jobs.iter().enumerate() {
            let direct = needs.get(at).map(Vec::as_slice).unwrap_or_default();
            let ready = direct.iter().all(|need| fates.get(*need).is_some_and(Option::is_some));
            if fates.get(at).is_some_and(Option::is_some) || !ready {
                continue;
            }
            let mut above = Ancestry::default();
            for need in direct {
                if let (Some(Some(fate)), Some(further)) = (fates.get(*need), ancestry.get(*need)) {
                    above.add(fate, *further);
                }
            }
            let fate = fate(workflow, job, above, base)?;
            if let (Some(slot), Some(line)) = (fates.get_mut(at), ancestry.get_mut(at)) {
                *slot = Some(fate);
                *line = above;
            }
            changed = true;
        }
        if !changed {
            break;
        }
    }
    Ok(fates)
}

/// What is known of a job's ancestors.
#[derive(Debug, Clone, Copy, Default)]
struct Ancestry {
    skipped: bool,
    unknown: bool,
    any: bool,
}

impl Ancestry {
    fn add(&mut self, fate: &Fate, further: Ancestry) {
        self.any = true;
        self.skipped |= further.skipped || matches!(fate, Fate::Skipped(_));
        self.unknown |= further.unknown || matches!(fate, Fate::Unknown(_));
    }
}

fn fate(workflow: &Workflow, job: &Job, above: Ancestry, base: &PlanEnvironment) -> Result<Fate, Diagnostic> {
    let condition = &job.condition;
    let mut environment = base.clone();
    environment.ancestors = Ancestors { skipped: above.skipped, ..Ancestors::default() };
    if condition.needs_success() && above.skipped {
        return Ok(Fate::Skipped(skip_reason(job, &environment)));
    }
    if condition.uses_context("needs") {
        return Ok(Fate::Unknown("its `if` depends on the jobs it needs".to_owned()));
    }
    let evaluate = |condition: &Condition, environment: &PlanEnvironment| {
        condition
            .evaluate(environment)
            .map_err(|error| expression_diagnostic(workflow, job.condition_position, "if", &error))
    };
    if condition.names_jobs() && above.any {
        return Ok(Fate::Unknown("its `if` depends on the jobs it needs".to_owned()));
    }
    let holds = evaluate(condition, &environment)?;
    let open = above.unknown && uses_success(condition);
    if open || (above.any && condition.calls_status(StatusFunction::Failure)) {
        // Would it be otherwise if a needed job failed or was skipped?
        let mut otherwise = environment.clone();
        otherwise.ancestors = Ancestors { failed: true, ..environment.ancestors };
        if evaluate(condition, &otherwise)? != holds {
            return Ok(Fate::Unknown("whether it runs depends on how the jobs it needs end".to_owned()));
        }
    }
    Ok(if holds { Fate::Runs } else { Fate::Skipped(skip_reason(job, &environment)) })
}

fn uses_success(condition: &Condition) -> bool {
    condition.needs_success() || condition.calls_status(StatusFunction::Success)
}

fn uses_needs(expression: &Expression) -> bool {
    expression.uses_context("needs")
}

fn planned(
    workflow: &Workflow,
    job: &Job,
    fate: Fate,
    base: &PlanEnvironment,
) -> Result<Vec<PlannedJob>, Diagnostic> {
    let strategy_open = job.strategy.as_ref().is_some_and(|strategy| {
        strategy.matrix.as_ref().is_some_and(|matrix| matrix.value.any_expression(&uses_needs))
            || [&strategy.fail_fast, &strategy.max_parallel]
                .into_iter()
                .flatten()
                .any(|templated| templated.template.expressions().any(uses_needs))
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
            ["needs", "matrix", "strategy"].iter().any(|context| expression.uses_context(context))
        };
        let runs_on = if job.runs_on.labels.any_expression(&depends) {
            None
        } else {
            Some(instance::labels(workflow, job, base)?)
        };
        let name = match &job.name {
            _ if strategy_open && skipped != Some(true) => None,
            None => Some(job.id.clone()),
            Some(name) => name.template.as_literal().map(str::to_owned),
        };
        return Ok(vec![PlannedJob {
            id: job.id.clone(),
            name,
            needs,
            runs_on,
            matrix: None,
            skipped,
            reason,
        }]);
    }
    let instances = instance::instances(workflow, job, base)?;
    let mut planned = Vec::with_capacity(instances.list.len());
    for instance in instances.list {
        let mut environment = base.clone();
        environment.strategy = instance.strategy.clone();
        environment.matrix = instance.matrix.clone();
        let name_open = job.name.as_ref().is_some_and(|name| name.template.expressions().any(uses_needs));
        let name =
            if name_open { None } else { Some(instance::name(workflow, job, &instance, &environment)?) };
        let runs_on = if job.runs_on.labels.any_expression(&uses_needs) {
            None
        } else {
            Some(instance::labels(workflow, job, &environment)?)
        };
        let matrix = match instance.matrix.to_json() {
            Json::Null => Json::Object(serde_json::Map::new()),
            matrix => matrix,
        };
        planned.push(PlannedJob {
            id: job.id.clone(),
            name,
            needs: needs.clone(),
            runs_on,
            matrix: Some(matrix),
            skipped,
            reason: reason.clone(),
        });
    }
    Ok(planned)
}
