//! What one step's expressions see.

use std::sync::Arc;

use slipway_workflow::expression::{Environment, StatusFunction};
use slipway_workflow::value::{Object, Value};

use super::super::env_files::EnvFile;
use super::super::hash_files::{Workspace, hash_files};
use super::super::outcome::JobStatus;
use super::super::state::JobState;
use super::super::values::Values;
use super::Contexts;

/// What is particular to a step in the `github` context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPlaces {
    /// `github.action`: the step's id.
    pub action: String,
    /// Paths of the environment files, as the step sees them.
    pub files: Vec<(EnvFile, String)>,
    /// `github.action_repository` and `github.action_ref`, for `uses:` steps and those of a composite action.
    pub repository: Option<(String, String)>,
    /// `github.action_path`: the composite action's folder.
    pub action_path: Option<String>,
}

/// Contexts, job's state and a step's own values: an expression is evaluated in it.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    pub(super) contexts: &'a Contexts,
    status: JobStatus,
    /// Within a composite action: how it stands.
    action_status: Option<JobStatus>,
    inputs: Value,
    /// The file that texts come from, for messages.
    pub(super) file: String,
    env: Values,
    env_value: Value,
    steps: Value,
    github: Value,
    workspace: Option<Workspace>,
}

impl<'a> Scope<'a> {
    /// A scope before the step's own `env` ([`Scope::with_env`]). Without a workspace, `hashFiles` is an error.
    pub fn new(
        contexts: &'a Contexts,
        state: &JobState,
        places: &StepPlaces,
        workspace: Option<&Workspace>,
    ) -> Self {
        let mut github = contexts.github.clone();
        github.insert("action".into(), Value::from(places.action.as_str()));
        for (file, path) in &places.files {
            github.insert(file.context_name().into(), Value::from(path.as_str()));
        }
        if let Some((repository, git_ref)) = &places.repository {
            github.insert("action_repository".into(), Value::from(repository.as_str()));
            github.insert("action_ref".into(), Value::from(git_ref.as_str()));
        }
        if let Some(path) = &places.action_path {
            github.insert("action_path".into(), Value::from(path.as_str()));
        }
        if let Some(status) = state.action_status() {
            github.insert("action_status".into(), Value::from(status.name()));
        }
        let env = state.env().clone();
        Self {
            contexts,
            status: state.status(),
            action_status: state.action_status(),
            inputs: contexts.inputs.clone(),
            file: contexts.workflow_file.clone(),
            env_value: env_context(&env),
            env,
            steps: steps_context(state),
            github: Value::Object(Arc::new(github)),
            workspace: workspace.cloned(),
        }
    }

    /// The scope with the step's `env` (from [`Scope::step_env`]) over the job's.
    #[must_use]
    pub fn with_env(mut self, step: &Values) -> Self {
        for (name, value) in step.iter() {
            self.env.set(name, value);
        }
        self.env_value = env_context(&self.env);
        self
    }

    /// The scope as if the job's status were another: to ask a running step's condition again when the job is
    /// cancelled.
    #[must_use]
    pub fn with_status(mut self, status: JobStatus) -> Self {
        self.status = status;
        self.action_status = self.action_status.map(|_| status);
        self
    }

    /// The scope within an action of these inputs.
    #[must_use]
    pub fn with_inputs(mut self, inputs: &Values) -> Self {
        self.inputs = Value::object(inputs.iter().map(|(name, value)| (name, Value::from(value))));
        self
    }

    /// The scope for texts of another file than the workflow's: an action's.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// The `env` context: what a step's process gets of the workflow's own variables.
    pub fn env(&self) -> &Values {
        &self.env
    }

    /// The `github` context, for [`super::super::environment`].
    pub fn github(&self) -> &Value {
        &self.github
    }

    fn job(&self) -> Value {
        Value::object([
            ("status", Value::from(self.status.name())),
            ("container", self.contexts.container.clone()),
            ("services", self.contexts.services.clone()),
        ])
    }
}

impl Environment for Scope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        let contexts = self.contexts;
        let value = match name {
            "github" => &self.github,
            "env" => &self.env_value,
            "steps" => &self.steps,
            "job" => return Some(self.job()),
            "runner" => &contexts.runner,
            "secrets" => &contexts.secrets,
            "inputs" => &self.inputs,
            "vars" => &contexts.vars,
            "needs" => &contexts.needs,
            "strategy" => &contexts.strategy,
            "matrix" => &contexts.matrix,
            _ => return None,
        };
        Some(value.clone())
    }

    /// A step's status functions look at the job's status and take no arguments; within a composite action `success` and
    /// `failure` look at the action's.
    fn status(&self, function: StatusFunction, _arguments: &[Value]) -> Result<bool, String> {
        let status = self.action_status.unwrap_or(self.status);
        Ok(match function {
            StatusFunction::Always => true,
            StatusFunction::Success => status == JobStatus::Success,
            StatusFunction::Failure => status == JobStatus::Failure,
            StatusFunction::Cancelled => self.status == JobStatus::Cancelled,
        })
    }

    /// Reads files: evaluate where blocking is allowed.
    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        let workspace = self
            .workspace
            .as_ref()
            .ok_or_else(|| "hashFiles is not available before the job has a workspace".to_owned())?;
        hash_files(workspace, patterns).map_err(|error| {
            format!("hashFiles('{}') failed. {error}", patterns.join(", ").replace('\'', "''"))
        })
    }
}

fn env_context(env: &Values) -> Value {
    let mut object = Object::case_sensitive();
    for (name, value) in env.iter() {
        object.insert(name.into(), Value::from(value));
    }
    Value::Object(Arc::new(object))
}

/// Generated ids (`__run`) are not shown; a running step is there once it has an output.
fn steps_context(state: &JobState) -> Value {
    let mut steps = Object::new();
    for step in state.steps() {
        if step.id.starts_with("__") || (step.outputs.is_empty() && step.outcome.is_none()) {
            continue;
        }
        let outputs = step.outputs.iter().map(|(name, value)| (name, Value::from(value)));
        let mut members = vec![("outputs", Value::object(outputs))];
        if let Some(outcome) = step.outcome {
            members.push(("outcome", Value::from(outcome.name())));
        }
        if let Some(conclusion) = step.conclusion {
            members.push(("conclusion", Value::from(conclusion.name())));
        }
        steps.insert(step.id.as_str().into(), Value::object(members));
    }
    Value::Object(Arc::new(steps))
}
