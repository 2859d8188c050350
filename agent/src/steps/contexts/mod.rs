//! The contexts that a step's expressions see.
//!
//! [`Contexts`] holds what stays the same for the whole job; a [`Scope`] adds what changes from step to step and is
//! what expressions are evaluated in. The coordinator made the larger part (`github` but for the paths, `inputs`,
//! `vars`, `needs`, `strategy`, `matrix`); secrets come from the lease and stay on the agent.
//!
//! Paths are those that the step sees, not the host's.

mod evaluate;
mod scope;
mod secrets;

use std::sync::Arc;

use serde_json::Value as Json;
use slipway_workflow::job_spec::JobSpec;
use slipway_workflow::value::{Object, Value};

pub use evaluate::EvaluationError;
pub(super) use evaluate::first_line;
pub use scope::{Scope, StepPlaces};
pub use secrets::scoped_secrets;

/// What the `runner` context says, and a few paths of the `github` context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerFacts {
    /// The agent's name.
    pub name: String,
    /// `X64` or `ARM64`: the architecture that the job sees.
    pub arch: String,
    /// `runner.temp`, `RUNNER_TEMP`
    pub temp: String,
    /// `runner.tool_cache`
    pub tool_cache: String,
    /// `runner.workspace`: the folder above the workspace.
    pub workspace: String,
    /// `github.workspace`: where the steps run.
    pub github_workspace: String,
    /// `github.event_path`: where the event's JSON lies.
    pub event_path: String,
    /// Debug logging is on: `runner.debug` is `1`.
    pub debug: bool,
}

/// The contexts of a job that no step changes.
#[derive(Debug, Clone)]
pub struct Contexts {
    workflow_file: String,
    github: Object,
    runner: Value,
    secrets: Value,
    /// Why the job's secrets could not be told; [`Contexts::job_env`] says it, before anything runs.
    secrets_error: Option<EvaluationError>,
    inputs: Value,
    vars: Value,
    needs: Value,
    strategy: Value,
    matrix: Value,
    container: Value,
    services: Value,
}

impl Contexts {
    /// Puts the contexts together. `secrets` are names and values of the run, of which the job sees what its callers hand
    /// down; `GITHUB_TOKEN` among them is also `github.token`. `environment` are those of the job's environment, which it sees
    /// whoever called it, before others of their names.
    pub fn new(
        spec: &JobSpec,
        runner: &RunnerFacts,
        secrets: &[(String, String)],
        environment: &[(String, String)],
    ) -> Self {
        let object = |json: &Json| match json {
            Json::Object(_) => Value::from(json),
            _ => Value::Object(Arc::new(Object::new())),
        };
        let mut github = match Value::from(&spec.contexts.github) {
            Value::Object(github) => (*github).clone(),
            _ => Object::new(),
        };
        let mut set = |name: &str, value: &str| github.insert(name.into(), Value::from(value));
        set("job", &spec.job);
        set("workspace", &runner.github_workspace);
        set("event_path", &runner.event_path);
        let token = secrets.iter().find(|(name, _)| name.eq_ignore_ascii_case("GITHUB_TOKEN"));
        set("token", token.map_or("", |(_, value)| value));
        let (mut scoped, secrets_error) = match scoped_secrets(spec, secrets) {
            Ok(scoped) => (scoped, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        scoped.retain(|(name, _)| !environment.iter().any(|(nearer, _)| nearer.eq_ignore_ascii_case(name)));
        scoped.extend_from_slice(environment);
        Self {
            workflow_file: spec.workflow_file.clone(),
            github,
            runner: runner_context(runner),
            secrets: secrets::context(&scoped),
            secrets_error,
            inputs: object(&spec.contexts.inputs),
            vars: object(&spec.contexts.vars),
            needs: object(&spec.contexts.needs),
            // Null outside a matrix, as on GitHub.
            strategy: Value::from(&spec.contexts.strategy),
            matrix: Value::from(&spec.contexts.matrix),
            container: Value::Object(Arc::new(Object::new())),
            services: Value::Object(Arc::new(Object::new())),
        }
    }

    /// Says which container the job runs in (`job.container.id`, `job.container.network`); for a job with
    /// `container:` only.
    pub fn set_container(&mut self, id: &str, network: &str) {
        self.container = Value::object([("id", Value::from(id)), ("network", Value::from(network))]);
    }

    /// Says which services the job has: name, container, network, and ports as `(in the service, for the job)`
    /// (`job.services.<name>.{id,network,ports}`).
    pub fn set_services<'a>(
        &mut self,
        services: impl IntoIterator<Item = (&'a str, &'a str, &'a str, &'a [(String, String)])>,
    ) {
        self.services = Value::object(services.into_iter().map(|(name, id, network, ports)| {
            let ports = Value::object(
                ports.iter().map(|(inner, outer)| (inner.as_str(), Value::from(outer.as_str()))),
            );
            let members = [("id", Value::from(id)), ("ports", ports), ("network", Value::from(network))];
            (name, Value::object(members))
        }));
    }

    /// The `runner` context.
    pub fn runner(&self) -> &Value {
        &self.runner
    }
}

fn runner_context(runner: &RunnerFacts) -> Value {
    let mut members = vec![
        ("os", "Linux"),
        ("arch", runner.arch.as_str()),
        ("name", runner.name.as_str()),
        ("environment", "self-hosted"),
        ("tool_cache", runner.tool_cache.as_str()),
        ("temp", runner.temp.as_str()),
        ("workspace", runner.workspace.as_str()),
    ];
    if runner.debug {
        members.push(("debug", "1"));
    }
    Value::object(members.into_iter().map(|(name, value)| (name, Value::from(value))))
}

#[cfg(test)]
mod tests;
