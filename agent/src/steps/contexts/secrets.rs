//! The secrets that a job sees: those of its run, as the calls of reusable workflows hand them down.
//!
//! Each call hands down all (`inherit`) or what its `secrets` map says, evaluated in the calling job's contexts; the token
//! goes down always (GitHub docs, "Reuse workflows", "Passing inputs and secrets to a reusable workflow").

use serde_json::Value as Json;
use slipway_workflow::expression::availability::JOB_ENV;
use slipway_workflow::expression::{Environment, StatusFunction, Template};
use slipway_workflow::job_spec::{Entry, JobSpec, SecretScope, SpecContexts};
use slipway_workflow::value::Value;

use super::EvaluationError;

const TOKEN: &str = "GITHUB_TOKEN";

/// The job's secrets, from those of its run.
///
/// # Errors
/// The first value of a map that cannot be evaluated.
pub fn scoped_secrets(
    spec: &JobSpec,
    secrets: &[(String, String)],
) -> Result<Vec<(String, String)>, EvaluationError> {
    let mut current = secrets.to_vec();
    for scope in &spec.secret_scopes {
        let SecretScope::Map { entries, contexts } = scope else { continue };
        let caller = Caller { spec, contexts, secrets: context(&current) };
        let mut next: Vec<(String, String)> =
            current.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(TOKEN)).collect();
        for entry in entries.iter().filter(|entry| !entry.key.eq_ignore_ascii_case(TOKEN)) {
            next.push((entry.key.clone(), caller.value(entry)?));
        }
        current = next;
    }
    Ok(current)
}

/// Secrets as an expression sees them.
pub(super) fn context(secrets: &[(String, String)]) -> Value {
    Value::object(secrets.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str()))))
}

/// What the values of a call's map see.
struct Caller<'a> {
    spec: &'a JobSpec,
    contexts: &'a SpecContexts,
    secrets: Value,
}

impl Caller<'_> {
    fn value(&self, entry: &Entry) -> Result<String, EvaluationError> {
        let text =
            Template::parse(&entry.value.text, &JOB_ENV).and_then(|value| value.evaluate_to_string(self));
        text.map_err(|error| EvaluationError {
            file: self.spec.workflow_file.clone(),
            line: entry.value.line,
            column: entry.value.column,
            message: format!("the secret `{}` of the call: {error}", entry.key),
        })
    }
}

impl Environment for Caller<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        let (own, job) = (self.contexts, &self.spec.contexts);
        // What is the same for the whole run stands in the job's contexts only.
        let or = |own: &Json, job: &Json| Value::from(if own.is_null() { job } else { own });
        Some(match name {
            "github" => or(&own.github, &job.github),
            "vars" => or(&own.vars, &job.vars),
            "inputs" => Value::from(&own.inputs),
            "needs" => Value::from(&own.needs),
            "strategy" => Value::from(&own.strategy),
            "matrix" => Value::from(&own.matrix),
            "secrets" => self.secrets.clone(),
            _ => return None,
        })
    }

    fn status(&self, _function: StatusFunction, _arguments: &[Value]) -> Result<bool, String> {
        Err("status functions have no meaning here".to_owned())
    }
}
