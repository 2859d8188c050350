//! The contexts and status functions of a job's keys.

use serde_json::Value as Json;

use crate::expression::{Environment, StatusFunction};
use crate::value::{Value, eq_ignore_case};

use super::resolve::{Ancestors, JobResult};

/// What a job's expressions see.
#[derive(Debug, Clone)]
pub(super) struct PlanEnvironment {
    github: Value,
    inputs: Value,
    vars: Value,
    pub(super) needs: Value,
    pub(super) strategy: Value,
    pub(super) matrix: Value,
    /// The callee's jobs, for the outputs of a call.
    pub(super) jobs: Value,
    /// Id and result of the direct needs.
    pub(super) results: Vec<(String, JobResult)>,
    pub(super) ancestors: Ancestors,
    pub(super) cancelled: bool,
}

impl PlanEnvironment {
    pub(super) fn new(github: impl Into<Value>, inputs: &Json, vars: &Json) -> Self {
        Self {
            github: github.into(),
            inputs: Value::from(inputs),
            vars: Value::from(vars),
            needs: Value::Null,
            strategy: Value::Null,
            matrix: Value::Null,
            jobs: Value::Null,
            results: Vec::new(),
            ancestors: Ancestors::default(),
            cancelled: false,
        }
    }

    /// The results of the jobs a status function names.
    fn named(&self, arguments: &[Value]) -> Result<Vec<JobResult>, String> {
        arguments
            .iter()
            .map(|argument| {
                let id = argument.to_text();
                self.results
                    .iter()
                    .find(|(known, _)| eq_ignore_case(known, &id))
                    .map(|(_, result)| *result)
                    .ok_or_else(|| format!("`{id}` is not among the job's `needs`"))
            })
            .collect()
    }
}

impl Environment for PlanEnvironment {
    fn context(&self, name: &str) -> Option<Value> {
        let value = match name {
            "github" => &self.github,
            "inputs" => &self.inputs,
            "vars" => &self.vars,
            "needs" => &self.needs,
            "strategy" => &self.strategy,
            "matrix" => &self.matrix,
            "jobs" => &self.jobs,
            _ => return None,
        };
        Some(value.clone())
    }

    fn status(&self, function: StatusFunction, arguments: &[Value]) -> Result<bool, String> {
        match function {
            StatusFunction::Always => Ok(true),
            StatusFunction::Cancelled => Ok(self.cancelled),
            StatusFunction::Success if arguments.is_empty() => {
                Ok(!self.cancelled && self.ancestors.all_succeeded())
            }
            StatusFunction::Success => {
                let results = self.named(arguments)?;
                Ok(!self.cancelled && results.iter().all(|result| *result == JobResult::Success))
            }
            StatusFunction::Failure if arguments.is_empty() => Ok(self.ancestors.failed),
            StatusFunction::Failure => Ok(self.named(arguments)?.contains(&JobResult::Failure)),
        }
    }
}
