//! A step's keys, evaluated to what they must be.

use slipway_workflow::action::ActionInput;
use slipway_workflow::expression::availability::{
    ACTION_CONTAINER, ACTION_DEFAULT, COMPOSITE_STEP, JOB_DEFAULTS, JOB_ENV, JOB_RUNNER, STEP_CONDITION,
    STEP_KEY,
};
use slipway_workflow::expression::{Availability, Condition, ExpressionError, Template};
use slipway_workflow::job_spec::{Entry, INSERT, RunDefaults, StepAction, StepSpec, Text};
use slipway_workflow::value::Value;
use thiserror::Error;

use super::super::mask::Masks;
use super::super::state::JobState;
use super::super::values::{Names, Values};
use super::{Contexts, Scope, StepPlaces};

/// Milliseconds in a minute.
const MINUTE_MS: f64 = 60_000.0;

/// A key could not be evaluated; the text is for the step's log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("The template is not valid. {file} (Line: {line}, Col: {column}): {message}")]
pub struct EvaluationError {
    /// The workflow file.
    pub file: String,
    /// Line of the scalar, from 1.
    pub line: u32,
    /// Its column, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl Contexts {
    /// The job's environment: its blocks (workflow, job) one over the other.
    ///
    /// # Errors
    /// The first value that cannot be evaluated, or why the job's secrets cannot be told.
    pub fn job_env(&self, blocks: &[Vec<Entry>]) -> Result<Values, EvaluationError> {
        if let Some(error) = &self.secrets_error {
            return Err(error.clone());
        }
        let mut env = Values::default();
        for block in blocks {
            let state = JobState::new(env.clone());
            let scope = Scope::new(self, &state, &StepPlaces::default(), None);
            for entry in block {
                for (name, value) in scope.entry(entry, &JOB_ENV)? {
                    env.set(&name, &value);
                }
            }
        }
        Ok(env)
    }
}

impl Scope<'_> {
    /// A step's `env`. Its values see the job's environment and not each other.
    ///
    /// # Errors
    /// The first value that cannot be evaluated; the step has failed then.
    pub fn step_env(&self, entries: &[Entry]) -> Result<Values, EvaluationError> {
        self.entries(entries, Names::Exact)
    }

    /// A step's `with`; names ignore case, values are text.
    ///
    /// # Errors
    /// The first value that cannot be evaluated.
    pub fn inputs(&self, entries: &[Entry]) -> Result<Values, EvaluationError> {
        self.entries(entries, Names::IgnoreCase)
    }

    fn entries(&self, entries: &[Entry], names: Names) -> Result<Values, EvaluationError> {
        let mut values = Values::new(names);
        for entry in entries {
            for (name, value) in self.entry(entry, &STEP_KEY)? {
                values.set(&name, &value);
            }
        }
        Ok(values)
    }

    /// What an entry of a container's `env` gives: a name and a value, or several.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    pub fn container_env(&self, entry: &Entry) -> Result<Vec<(String, String)>, EvaluationError> {
        self.entry(entry, &STEP_KEY)
    }

    /// What an entry of a Docker action's `env` gives.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    pub fn action_container_env(&self, entry: &Entry) -> Result<Vec<(String, String)>, EvaluationError> {
        self.entry(entry, &ACTION_CONTAINER)
    }

    /// What an entry gives; see [`INSERT`].
    fn entry(
        &self,
        entry: &Entry,
        availability: &Availability<'_>,
    ) -> Result<Vec<(String, String)>, EvaluationError> {
        if entry.key != INSERT && entry.key.contains("${{") {
            let key = Text { text: entry.key.clone(), line: entry.value.line, column: entry.value.column };
            let name = self.text(&key, availability)?;
            return Ok(vec![(name, self.text(&entry.value, availability)?)]);
        }
        if entry.key != INSERT {
            return Ok(vec![(entry.key.clone(), self.text(&entry.value, availability)?)]);
        }
        match self.value(&entry.value, availability)? {
            Value::Object(object) => {
                let members = object.iter().map(|(name, value)| match value {
                    Value::Array(_) | Value::Object(_) => Err(self.wrong(&entry.value, "text", value)),
                    scalar => Ok((name.to_string(), scalar.to_text().into_owned())),
                });
                members.collect()
            }
            Value::Null => Ok(Vec::new()),
            other => Err(self.wrong(&entry.value, "a mapping", &other)),
        }
    }

    /// What an action gets: what `with` gave, and the defaults of what it did not give.
    ///
    /// # Errors
    /// The first default that cannot be evaluated.
    pub fn action_inputs(&self, known: &[ActionInput], with: &Values) -> Result<Values, EvaluationError> {
        let mut values = with.clone();
        for input in known.iter().filter(|input| with.get(&input.name).is_none()) {
            let value = match &input.default {
                Some(default) => self.text(default, &ACTION_DEFAULT)?,
                None => String::new(),
            };
            values.set(&input.name, &value);
        }
        Ok(values)
    }

    /// A composite action's outputs.
    ///
    /// # Errors
    /// The first one that cannot be evaluated.
    pub fn action_outputs(&self, outputs: &[Entry]) -> Result<Values, EvaluationError> {
        let mut values = Values::new(Names::IgnoreCase);
        for output in outputs {
            values.set(&output.key, &self.text(&output.value, &COMPOSITE_STEP)?);
        }
        Ok(values)
    }

    /// `args` and values of `env` of a Docker action.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    pub fn action_container(&self, text: &Text) -> Result<String, EvaluationError> {
        self.text(text, &ACTION_CONTAINER)
    }

    /// Whether a step is to run: its `if`, or `success()`.
    ///
    /// # Errors
    /// When it cannot be evaluated; the step has failed then.
    pub fn condition(&self, condition: Option<&Text>) -> Result<bool, EvaluationError> {
        let Some(text) = condition else {
            return Condition::default().evaluate(self).map_err(|error| EvaluationError {
                file: self.file.clone(),
                line: 0,
                column: 0,
                message: error.to_string(),
            });
        };
        Condition::parse(&text.text, &STEP_CONDITION)
            .and_then(|condition| condition.evaluate(self))
            .map_err(|error| self.error(text, &error))
    }

    /// A step's key as text: `run`, `shell`, `working-directory`.
    ///
    /// # Errors
    /// When it cannot be evaluated, or gives an array or object.
    pub fn key(&self, text: &Text) -> Result<String, EvaluationError> {
        self.text(text, &STEP_KEY)
    }

    /// Shell and working directory of a `run` step: its own, or the job's defaults. `None`: neither is named.
    ///
    /// # Errors
    /// When one cannot be evaluated.
    pub fn run_options(
        &self,
        shell: Option<&Text>,
        working_directory: Option<&Text>,
        defaults: &RunDefaults,
    ) -> Result<(Option<String>, Option<String>), EvaluationError> {
        let either = |own: Option<&Text>, default: Option<&Text>| match own
            .map(|text| self.key(text))
            .transpose()?
            .filter(|text| !text.is_empty())
        {
            Some(text) => Ok(Some(text)),
            None => default
                .map(|text| self.text(text, &JOB_DEFAULTS))
                .transpose()
                .map(|text| text.filter(|text| !text.is_empty())),
        };
        Ok((
            either(shell, defaults.shell.as_ref())?,
            either(working_directory, defaults.working_directory.as_ref())?,
        ))
    }

    /// A step's `continue-on-error`; asked for only when it has failed.
    ///
    /// # Errors
    /// When it is no boolean; the step stays failed then, and its log also says that "the step failed and an error
    /// occurred when attempting to determine whether to continue on error".
    pub fn continue_on_error(&self, value: Option<&Text>) -> Result<bool, EvaluationError> {
        let Some(text) = value else { return Ok(false) };
        match (self.value(text, &STEP_KEY)?, text.text.trim()) {
            (Value::Bool(flag), _) => Ok(flag),
            (Value::String(_), "true" | "True" | "TRUE") => Ok(true),
            (Value::String(_), "false" | "False" | "FALSE") => Ok(false),
            (other, _) => Err(self.wrong(text, "a boolean", &other)),
        }
    }

    /// A step's `timeout-minutes` in milliseconds; `None`: it has none (0 and less count as none).
    ///
    /// # Errors
    /// When it is no number; the step goes on without a time limit of its own then.
    pub fn timeout_ms(&self, value: Option<&Text>) -> Result<Option<u64>, EvaluationError> {
        let Some(text) = value else { return Ok(None) };
        let minutes = match (self.value(text, &STEP_KEY)?, text.text.contains("${{")) {
            (Value::Number(minutes), _) => minutes,
            (Value::String(literal), false) => literal.trim().parse().unwrap_or(f64::NAN),
            (other, _) => return Err(self.wrong(text, "a number", &other)),
        };
        if !minutes.is_finite() {
            return Err(self.wrong(text, "a number", &Value::from(text.text.as_str())));
        }
        // A conversion from float saturates, so that even an absurd limit is only a long one.
        let limit_ms = (minutes * MINUTE_MS) as u64;
        Ok((limit_ms > 0).then_some(limit_ms))
    }

    /// What people see as the step's name: `name`, or `Run` and what is run; one line, masked. It is evaluated as far
    /// as it can be: a template that cannot be evaluated (yet) is shown as it is written.
    pub fn display_name(&self, step: &StepSpec, masks: &Masks) -> String {
        let (prefix, text) = match (&step.name, &step.action) {
            (Some(name), _) => ("", Ok(name)),
            (None, StepAction::Run { script, .. }) => ("Run ", Ok(script)),
            (None, StepAction::Uses { uses, .. }) => ("Run ", Err(uses.as_str())),
            (None, StepAction::Wait { default_name, .. } | StepAction::Cancel { default_name, .. }) => {
                ("", Err(default_name.as_str()))
            }
        };
        let name = match text {
            Ok(text) => self.key(text).unwrap_or_else(|_| text.text.clone()),
            Err("") => "actions/checkout".to_owned(),
            Err(uses) => uses.to_owned(),
        };
        let name = first_line(&name);
        let shown = if name.is_empty() { step.id.as_str() } else { name };
        masks.mask_str(&format!("{prefix}{shown}"))
    }

    /// The job's outputs. Empty ones are left out, and so is one that may hold a secret, about which GitHub's warning
    /// is returned.
    ///
    /// # Errors
    /// The first one that cannot be evaluated: `Fail to evaluate job outputs`, and the job has failed.
    pub fn job_outputs(
        &self,
        outputs: &[Entry],
        masks: &Masks,
    ) -> Result<(Values, Vec<String>), EvaluationError> {
        let mut values = Values::new(Names::IgnoreCase);
        let mut warnings = Vec::new();
        for entry in outputs {
            for (name, value) in self.entry(entry, &JOB_RUNNER)? {
                if masks.contains_secret(value.as_bytes()) {
                    warnings.push(format!("Skip output '{name}' since it may contain secret."));
                } else if !value.is_empty() {
                    values.set(&name, &value);
                }
            }
        }
        Ok((values, warnings))
    }

    fn text(&self, text: &Text, availability: &Availability<'_>) -> Result<String, EvaluationError> {
        Template::parse(&text.text, availability)
            .and_then(|template| template.evaluate_to_string(self))
            .map_err(|error| self.error(text, &error))
    }

    fn value(&self, text: &Text, availability: &Availability<'_>) -> Result<Value, EvaluationError> {
        Template::parse(&text.text, availability)
            .and_then(|template| template.evaluate(self))
            .map_err(|error| self.error(text, &error))
    }

    fn error(&self, text: &Text, error: &ExpressionError) -> EvaluationError {
        self.located(text, error.to_string())
    }

    fn wrong(&self, text: &Text, expected: &str, found: &Value) -> EvaluationError {
        let found = if found.is_primitive() { found.to_text().into_owned() } else { found.kind().to_owned() };
        self.located(text, format!("{expected} belongs here, and not '{found}'"))
    }

    fn located(&self, text: &Text, message: String) -> EvaluationError {
        EvaluationError { file: self.file.clone(), line: text.line, column: text.column, message }
    }
}

/// The first line of a text, after blanks and line ends.
pub(in super::super) fn first_line(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
    text.split(['\r', '\n']).next().unwrap_or_default()
}
