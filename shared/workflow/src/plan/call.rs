//! A job that calls a reusable workflow: what its callee's jobs are planned with, and what comes back.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::calls::{CallContext, FileName, call_inputs, call_outputs};
use crate::diagnostics::Diagnostic;
use crate::job_spec::{SecretScope, SpecContexts};
use crate::syntax::{Call, CallSecrets, Job, Strategy, Workflow};

use super::concurrency::{RunConcurrency, group, run_concurrency};
use super::environment::PlanEnvironment;
use super::instance::{self, Instances, diagnostic, dynamic_diagnostic};
use super::outline::{JobOutline, prepare};
use super::permissions;
use super::resolve::{NeededJob, ResolveInput, needs_context};

/// One call of a reusable workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct CallPlan {
    /// Its number among the calls of a job that has a matrix, from 1.
    pub number: Option<u32>,
    /// What people see.
    pub name: String,
    /// Whether its failure cancels the other calls of the job.
    pub fail_fast: bool,
    /// How many calls of the job may be at work at once; `None`: all.
    pub max_parallel: Option<u32>,
    /// What its jobs are planned with.
    pub context: CallContext,
    /// The callee's jobs, in file order.
    pub jobs: Vec<JobOutline>,
    /// Whether the callee has outputs.
    pub has_outputs: bool,
    /// The calling job's `concurrency`, else the called file's.
    pub concurrency: Option<RunConcurrency>,
}

/// A job's name behind those of its callers.
pub(super) fn full_name(input: &ResolveInput, name: String) -> String {
    match &input.call {
        Some(call) => format!("{} / {name}", call.name),
        None => name,
    }
}

/// The calls of a job, one for each combination of its matrix.
pub(super) fn calls(
    workflow: &Workflow,
    job: &Job,
    call: &Call,
    input: &ResolveInput,
    instances: Instances,
    mut environment: PlanEnvironment,
) -> Result<Vec<CallPlan>, Diagnostic> {
    let refused = |problem: &str| {
        diagnostic(workflow, call.position(), "called-workflow", format!("`{}`: {problem}", call.uses.text))
    };
    let above = input.call.as_ref();
    let from = above.map_or_else(|| FileName::local(&workflow.file), |call| FileName::from_text(&call.file));
    let file = from.called(&call.uses.text).map_err(&refused)?.to_string();
    let callee = input.callee.as_deref().ok_or_else(|| refused("the run has no such file"))?;
    let rights = permissions::effective(workflow, job, above.map(|call| &call.rights));
    let mut calls = Vec::with_capacity(instances.list.len());
    let numbered = job.strategy.as_ref().is_some_and(Strategy::has_matrix);
    for (number, instance) in (1..).zip(instances.list) {
        environment.strategy = instance.strategy.clone();
        environment.matrix = instance.matrix.clone();
        let name = full_name(input, instance::name(workflow, job, &instance, &environment)?);
        let given = arguments(workflow, call, &environment)?;
        let mut secret_scopes = above.map(|call| call.secret_scopes.clone()).unwrap_or_default();
        secret_scopes.push(scope(call, input, &environment));
        let inputs = call_inputs(workflow, callee, &given, &environment)?;
        let concurrency = match &job.concurrency {
            Some(written) => Some(group(workflow, written, &environment)?),
            None => run_concurrency(callee, &input.github, &inputs, &input.vars)?,
        };
        let context = CallContext {
            file: file.clone(),
            name: name.clone(),
            inputs,
            secret_scopes,
            rights: rights.clone(),
        };
        calls.push(CallPlan {
            number: numbered.then_some(number),
            name,
            fail_fast: instances.fail_fast,
            max_parallel: instances.max_parallel,
            context,
            jobs: prepare(callee),
            concurrency,
            has_outputs: callee.callable().is_some_and(|callable| !callable.outputs.is_empty()),
        });
    }
    Ok(calls)
}

/// The values of `with`, and where each stands.
pub(super) fn arguments(
    workflow: &Workflow,
    call: &Call,
    environment: &PlanEnvironment,
) -> Result<Vec<(String, crate::diagnostics::Position, crate::value::Value)>, Diagnostic> {
    let value = |argument: &crate::syntax::Argument| {
        let value = argument
            .value
            .evaluate(environment)
            .map_err(|error| dynamic_diagnostic(workflow, &argument.name, &error))?;
        Ok((argument.name.clone(), argument.value.position, value))
    };
    call.with.iter().map(value).collect()
}

fn scope(call: &Call, input: &ResolveInput, environment: &PlanEnvironment) -> SecretScope {
    match &call.secrets {
        CallSecrets::Inherit => SecretScope::Inherit,
        CallSecrets::Map(entries) => SecretScope::Map {
            entries: entries.clone(),
            contexts: Box::new(SpecContexts {
                // The same for the whole run, and large: the job has them.
                github: Json::Null,
                vars: Json::Null,
                inputs: input.inputs.clone(),
                needs: environment.needs.to_json(),
                strategy: environment.strategy.to_json(),
                matrix: environment.matrix.to_json(),
            }),
        },
    }
}

/// What the outputs of a call are evaluated with.
#[derive(Debug, Clone)]
pub struct CallOutputsInput {
    /// The `github` context.
    pub github: Json,
    /// The call's `inputs` context.
    pub inputs: Json,
    /// The `vars` context.
    pub vars: Json,
    /// The callee's jobs, all done.
    pub jobs: Vec<NeededJob>,
}

/// The outputs of a call whose jobs are done.
///
/// # Errors
/// What can't be evaluated, at its place. The call fails then.
pub fn outputs_of_call(
    callee: &Workflow,
    input: &CallOutputsInput,
) -> Result<BTreeMap<String, String>, Diagnostic> {
    let mut environment = PlanEnvironment::new(&input.github, &input.inputs, &input.vars);
    environment.jobs = needs_context(&input.jobs);
    call_outputs(callee, &environment)
}
