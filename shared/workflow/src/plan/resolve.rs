//! One job, once its needs are done: skipped, or these instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::calls::CallContext;
use crate::diagnostics::Diagnostic;
use crate::job_spec::{JobSpec, Source};
use crate::syntax::{Job, Workflow};
use crate::value::Value;

use super::call::{self, CallPlan};
use super::concurrency::{RunConcurrency, group};
use super::environment::PlanEnvironment;
use super::instance::{self, diagnostic};
use super::spec;

/// How a job ended, as other jobs see it: one with `continue-on-error` counts as a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    /// All went well.
    Success,
    /// Something failed.
    Failure,
    /// It was cancelled.
    Cancelled,
    /// Its `if` did not hold, or nothing was left of its matrix.
    Skipped,
}

impl JobResult {
    /// As `needs.<id>.result` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            JobResult::Success => "success",
            JobResult::Failure => "failure",
            JobResult::Cancelled => "cancelled",
            JobResult::Skipped => "skipped",
        }
    }
}

/// A job that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededJob {
    /// Its id in the file.
    pub id: String,
    /// How it ended.
    pub result: JobResult,
    /// Its outputs, without those that hold secrets.
    pub outputs: Vec<(String, String)>,
}

/// What happened to the jobs a job needs, and to those that they need, and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ancestors {
    /// Any of them failed.
    pub failed: bool,
    /// Any of them was cancelled.
    pub cancelled: bool,
    /// Any of them was skipped.
    pub skipped: bool,
}

impl Ancestors {
    /// What one more ancestor's result adds.
    pub fn add(&mut self, result: JobResult) {
        match result {
            JobResult::Success => {}
            JobResult::Failure => self.failed = true,
            JobResult::Cancelled => self.cancelled = true,
            JobResult::Skipped => self.skipped = true,
        }
    }

    /// Whether `success()` holds.
    pub fn all_succeeded(self) -> bool {
        !(self.failed || self.cancelled || self.skipped)
    }
}

/// What a job is resolved with.
#[derive(Debug, Clone)]
pub struct ResolveInput {
    /// The `github` context, by [`super::github_context`].
    pub github: Json,
    /// The `inputs` context; null where there is none.
    pub inputs: Json,
    /// The `vars` context.
    pub vars: Json,
    /// The direct needs.
    pub needs: Vec<NeededJob>,
    /// All ancestors, the direct needs among them.
    pub ancestors: Ancestors,
    /// Whether the run is being cancelled.
    pub cancelled: bool,
    /// Where the code comes from.
    pub source: Source,
    /// The call that the job's file was called by; its inputs are those above.
    pub call: Option<CallContext>,
    /// The file that the job calls, where it calls one.
    pub callee: Option<Arc<Workflow>>,
    /// The commits that the lock file names, by [`crate::action::lock::pin_key`].
    pub action_pins: BTreeMap<String, String>,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// It does not run.
    Skip {
        /// One line for people.
        reason: String,
    },
    /// These run.
    Instances(Vec<InstancePlan>),
    /// It calls a reusable workflow, so often; at least once.
    Calls(Vec<CallPlan>),
}

/// One instance of a job, ready to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct InstancePlan {
    /// What people see.
    pub name: String,
    /// Labels an agent must all have.
    pub labels: Vec<String>,
    /// The job's time limit in milliseconds.
    pub timeout_ms: u64,
    /// Whether its failure counts as success for the run.
    pub continue_on_error: bool,
    /// Whether its failure cancels the other instances of the job.
    pub fail_fast: bool,
    /// How many instances of the job may run at once; `None`: all.
    pub max_parallel: Option<u32>,
    /// Its number among the job's instances, from 0.
    pub index: usize,
    /// How many instances the job has.
    pub total: usize,
    /// The job's `concurrency`.
    pub concurrency: Option<RunConcurrency>,
    /// What the agent needs.
    pub spec: JobSpec,
}

/// Decides about one job whose needs are done.
///
/// # Errors
/// What can't be evaluated, each at its place. On GitHub such a job fails; so should the caller let it.
pub fn resolve_job(
    workflow: &Workflow,
    job_id: &str,
    input: &ResolveInput,
) -> Result<Resolution, Vec<Diagnostic>> {
    let Some(job) = workflow.job(job_id) else {
        let message = format!("the workflow has no job `{job_id}`");
        return Err(vec![diagnostic(workflow, Default::default(), "unknown-job", message)]);
    };
    let mut environment = PlanEnvironment::new(&input.github, &input.inputs, &input.vars);
    environment.needs = needs_context(&input.needs);
    environment.results = input.needs.iter().map(|need| (need.id.clone(), need.result)).collect();
    environment.ancestors = input.ancestors;
    environment.cancelled = input.cancelled;
    resolve(workflow, job, input, environment).map_err(|error| vec![error])
}

fn resolve(
    workflow: &Workflow,
    job: &Job,
    input: &ResolveInput,
    mut environment: PlanEnvironment,
) -> Result<Resolution, Diagnostic> {
    let holds = job
        .condition
        .evaluate(&environment)
        .map_err(|error| instance::expression_diagnostic(workflow, job.condition_position, "if", &error))?;
    if !holds {
        return Ok(Resolution::Skip { reason: skip_reason(job, &environment) });
    }
    let instances = instance::instances(workflow, job, &environment)?;
    let total = instances.list.len();
    if total == 0 {
        return Ok(Resolution::Skip { reason: "`exclude` leaves nothing of the matrix".to_owned() });
    }
    if let Some(call) = &job.call {
        return call::calls(workflow, job, call, input, instances, environment).map(Resolution::Calls);
    }
    let mut plans = Vec::with_capacity(total);
    for (index, instance) in instances.list.into_iter().enumerate() {
        environment.strategy = instance.strategy.clone();
        environment.matrix = instance.matrix.clone();
        let name = call::full_name(input, instance::name(workflow, job, &instance, &environment)?);
        let labels = instance::labels(workflow, job, &environment)?;
        let timeout_ms = instance::timeout_ms(workflow, job, &environment)?;
        let continue_on_error = match &job.continue_on_error {
            Some(templated) => instance::boolean(workflow, templated, "continue-on-error", &environment)?,
            None => false,
        };
        let spec = spec::job_spec(workflow, job, &name, &labels, timeout_ms, input, &environment)?;
        plans.push(InstancePlan {
            name,
            labels,
            timeout_ms,
            continue_on_error,
            fail_fast: instances.fail_fast,
            max_parallel: instances.max_parallel,
            index,
            total,
            concurrency: match &job.concurrency {
                Some(written) => Some(group(workflow, written, &environment)?),
                None => None,
            },
            spec,
        });
    }
    Ok(Resolution::Instances(plans))
}

/// Its own `if` is why a job is skipped.
pub(super) const IF_FALSE: &str = "its `if` is false";

/// Another job is.
pub(super) const NEED_SKIPPED: &str = "a job it needs was skipped";

/// Why an `if` did not hold.
pub(super) fn skip_reason(job: &Job, environment: &PlanEnvironment) -> String {
    let ancestors = environment.ancestors;
    if !job.condition.needs_success() {
        return IF_FALSE.to_owned();
    }
    if environment.cancelled {
        "the run was cancelled".to_owned()
    } else if ancestors.failed {
        "a job it needs failed".to_owned()
    } else if ancestors.cancelled {
        "a job it needs was cancelled".to_owned()
    } else if ancestors.skipped {
        NEED_SKIPPED.to_owned()
    } else {
        IF_FALSE.to_owned()
    }
}

pub(super) fn needs_context(needs: &[NeededJob]) -> Value {
    Value::object(needs.iter().map(|need| {
        let outputs = need.outputs.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str())));
        let job = Value::object([
            ("result", Value::from(need.result.as_str())),
            ("outputs", Value::object(outputs)),
        ]);
        (need.id.as_str(), job)
    }))
}
