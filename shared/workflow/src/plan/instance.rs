//! The instances of a job: its matrix expanded, and what each instance's keys evaluate to.

use std::sync::Arc;

use std::borrow::Cow;

use crate::diagnostics::{Diagnostic, Position, Severity};
use crate::expression::ExpressionError;
use crate::job_spec::DEFAULT_CANCEL_TIMEOUT_MS;
use crate::matrix::{self, job_name, truncate};
use crate::syntax::{DynamicError, Job, Templated, Workflow};
use crate::value::Value;

use super::environment::PlanEnvironment;
use super::{DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS};

/// Most labels of one job.
const MAX_LABELS: usize = 64;

/// One instance before its keys are evaluated.
pub(super) struct Instance {
    pub(super) strategy: Value,
    pub(super) matrix: Value,
    pub(super) segments: Vec<String>,
}

/// All instances of a job and how they run together.
pub(super) struct Instances {
    pub(super) list: Vec<Instance>,
    pub(super) fail_fast: bool,
    pub(super) max_parallel: Option<u32>,
}

/// An error of this file at a place.
pub(crate) fn diagnostic(
    workflow: &Workflow,
    at: Position,
    code: &'static str,
    message: impl Into<String>,
) -> Diagnostic {
    Diagnostic {
        file: workflow.file.clone(),
        line: at.line,
        column: at.column,
        severity: Severity::Error,
        code: Cow::Borrowed(code),
        message: message.into(),
        hint: None,
    }
}

pub(crate) fn expression_diagnostic(
    workflow: &Workflow,
    at: Position,
    key: &str,
    error: &ExpressionError,
) -> Diagnostic {
    diagnostic(workflow, at, "expression", format!("`{key}`: {error}"))
}

pub(crate) fn dynamic_diagnostic(workflow: &Workflow, key: &str, error: &DynamicError) -> Diagnostic {
    expression_diagnostic(workflow, error.position, key, &error.error)
}

/// Expands the matrix.
pub(super) fn instances(
    workflow: &Workflow,
    job: &Job,
    environment: &PlanEnvironment,
) -> Result<Instances, Diagnostic> {
    let strategy = job.strategy.as_ref();
    if let Some(whole) = strategy.and_then(|strategy| strategy.whole.as_ref()) {
        return from_value(workflow, whole, environment);
    }
    let fail_fast = match strategy.and_then(|strategy| strategy.fail_fast.as_ref()) {
        Some(templated) => boolean(workflow, templated, "fail-fast", environment)?,
        None => true,
    };
    let max_parallel = match strategy.and_then(|strategy| strategy.max_parallel.as_ref()) {
        Some(templated) => limit(at_least(workflow, templated, "max-parallel", 0.0, environment)?),
        None => None,
    };
    let combinations = match strategy.and_then(|strategy| strategy.matrix.as_ref()) {
        Some(matrix) => {
            let value = matrix
                .value
                .evaluate(environment)
                .map_err(|error| dynamic_diagnostic(workflow, "matrix", &error))?;
            expanded(workflow, matrix.position, &value)?
        }
        None => vec![(Value::Null, Vec::new())],
    };
    Ok(of_combinations(combinations, fail_fast, max_parallel))
}

/// A strategy that an expression gives whole.
fn from_value(
    workflow: &Workflow,
    whole: &Templated,
    environment: &PlanEnvironment,
) -> Result<Instances, Diagnostic> {
    let at = whole.position();
    let wrong = |problem: String| diagnostic(workflow, at, "wrong-value", problem);
    let value = whole
        .template
        .evaluate(environment)
        .map_err(|error| expression_diagnostic(workflow, at, "strategy", &error))?;
    let none = vec![(Value::Null, Vec::new())];
    let object = match &value {
        Value::Object(object) => object,
        // As an `if` that gives nothing: there is no strategy.
        Value::Null => return Ok(of_combinations(none, true, None)),
        other => {
            return Err(wrong(format!("`strategy` must be a mapping, but came out as {}", other.kind())));
        }
    };
    let (mut combinations, mut fail_fast, mut max_parallel) = (none, true, None);
    for (key, value) in object.iter() {
        match (&**key, value) {
            (_, Value::Null) => {}
            ("matrix", value) => combinations = expanded(workflow, at, value)?,
            ("fail-fast", Value::Bool(value)) => fail_fast = *value,
            ("max-parallel", Value::Number(number)) if *number >= 0.0 => max_parallel = limit(*number),
            ("fail-fast" | "max-parallel", value) => {
                return Err(wrong(format!(
                    "`strategy` came out with `{key}` as {}, which it can't have",
                    value.kind()
                )));
            }
            (key, _) => return Err(wrong(format!("`strategy` came out with the unknown key `{key}`"))),
        }
    }
    Ok(of_combinations(combinations, fail_fast, max_parallel))
}

type Combinations = Vec<(Value, Vec<String>)>;

fn expanded(workflow: &Workflow, at: Position, value: &Value) -> Result<Combinations, Diagnostic> {
    let combinations =
        matrix::expand(value).map_err(|error| diagnostic(workflow, at, "matrix", error.to_string()))?;
    Ok(combinations.into_iter().map(|combination| (combination.values, combination.segments)).collect())
}

/// `max-parallel`. None at all would be no matrix: 0 means no limit, as real files have it.
fn limit(number: f64) -> Option<u32> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturating.
    (number > 0.0).then_some((number as u32).max(1))
}

fn of_combinations(combinations: Combinations, fail_fast: bool, max_parallel: Option<u32>) -> Instances {
    let total = combinations.len();
    #[allow(clippy::cast_precision_loss)] // At most 256.
    let number = |n: usize| Value::Number(n as f64);
    let most = max_parallel.map_or_else(|| number(total), |most| Value::Number(f64::from(most)));
    // Names are shared: a matrix has many instances.
    let names: [Arc<str>; 4] = ["fail-fast", "job-index", "job-total", "max-parallel"].map(Arc::from);
    let strategy = |index: usize| {
        let values = [Value::Bool(fail_fast), number(index), number(total), most.clone()];
        Value::object(names.iter().map(Arc::clone).zip(values))
    };
    let list = combinations
        .into_iter()
        .enumerate()
        .map(|(index, (matrix, segments))| Instance { strategy: strategy(index), matrix, segments })
        .collect();
    Instances { list, fail_fast, max_parallel }
}

/// What people see: the name with the matrix's values behind it, unless the name holds an expression.
pub(super) fn name(
    workflow: &Workflow,
    job: &Job,
    instance: &Instance,
    environment: &PlanEnvironment,
) -> Result<String, Diagnostic> {
    let Some(templated) = &job.name else {
        return Ok(job_name(&job.id, &instance.segments));
    };
    let name = templated
        .template
        .evaluate_to_string(environment)
        .map_err(|error| expression_diagnostic(workflow, templated.position(), "name", &error))?;
    if name.is_empty() {
        return Ok(job_name(&job.id, &instance.segments));
    }
    Ok(if templated.template.is_literal() { job_name(&name, &instance.segments) } else { truncate(&name) })
}

/// The labels of `runs-on`.
pub(super) fn labels(
    workflow: &Workflow,
    job: &Job,
    environment: &PlanEnvironment,
) -> Result<Vec<String>, Diagnostic> {
    let value = job
        .runs_on
        .labels
        .evaluate(environment)
        .map_err(|error| dynamic_diagnostic(workflow, "runs-on", &error))?;
    labels_of(&value).map_err(|problem| diagnostic(workflow, job.runs_on.position, "wrong-value", problem))
}

/// The labels in a value of `runs-on`: text, a list of texts, or a mapping with `labels`, `group` or both. A group is a label
/// like others, which agents of it have; where it comes from (`organization/`, `enterprise/`) does not matter.
///
/// # Errors
/// What is wrong, for people.
pub fn labels_of(value: &Value) -> Result<Vec<String>, String> {
    let labels = match value {
        Value::Object(object) => {
            let known = |key: &str| ["labels", "group"].iter().any(|known| key.eq_ignore_ascii_case(known));
            if let Some((key, _)) = object.iter().find(|(key, _)| !known(key)) {
                return Err(format!("`runs-on` has no key `{key}`"));
            }
            let group = object.get("group").map(|group| group.to_text().trim().to_owned());
            let Some(group) = group.filter(|group| !group.is_empty()) else {
                return labels_of(object.get("labels").unwrap_or(&Value::Null));
            };
            let mut labels = match object.get("labels") {
                None | Some(Value::Null) => Vec::new(),
                Some(labels) => labels_of(labels)?,
            };
            labels.push(group.rsplit('/').next().unwrap_or(&group).to_owned());
            return Ok(labels);
        }
        Value::Array(array) => array
            .items
            .iter()
            .map(|item| match item {
                Value::Array(_) | Value::Object(_) => Err("a label of `runs-on` must be text".to_owned()),
                scalar => Ok(scalar.to_text().trim().to_owned()),
            })
            .collect::<Result<Vec<_>, _>>()?,
        scalar => vec![scalar.to_text().trim().to_owned()],
    };
    if labels.is_empty() || labels.iter().any(String::is_empty) {
        return Err("`runs-on` must name at least one label, and none may be empty".to_owned());
    }
    if labels.len() > MAX_LABELS {
        return Err(format!("`runs-on` names more than {MAX_LABELS} labels"));
    }
    Ok(labels)
}

/// A key that must be a boolean.
pub(super) fn boolean(
    workflow: &Workflow,
    templated: &Templated,
    key: &str,
    environment: &PlanEnvironment,
) -> Result<bool, Diagnostic> {
    let value = templated
        .template
        .evaluate(environment)
        .map_err(|error| expression_diagnostic(workflow, templated.position(), key, &error))?;
    match (&value, value.as_str()) {
        (Value::Bool(value), _) => Ok(*value),
        // A literal is kept as text.
        (_, Some("true")) => Ok(true),
        (_, Some("false")) => Ok(false),
        _ => Err(diagnostic(
            workflow,
            templated.position(),
            "wrong-type",
            format!("`{key}` must be true or false, but came out as `{}`", value.to_text()),
        )),
    }
}

/// A key that must be a number above zero.
pub(super) fn positive(
    workflow: &Workflow,
    templated: &Templated,
    key: &str,
    environment: &PlanEnvironment,
) -> Result<f64, Diagnostic> {
    at_least(workflow, templated, key, f64::MIN_POSITIVE, environment)
}

/// A key that must be a number of at least this.
fn at_least(
    workflow: &Workflow,
    templated: &Templated,
    key: &str,
    least: f64,
    environment: &PlanEnvironment,
) -> Result<f64, Diagnostic> {
    let value = templated
        .template
        .evaluate(environment)
        .map_err(|error| expression_diagnostic(workflow, templated.position(), key, &error))?;
    let number = value.to_number();
    if number.is_finite() && number >= least && !matches!(value, Value::Bool(_)) {
        return Ok(number);
    }
    Err(diagnostic(
        workflow,
        templated.position(),
        "wrong-type",
        format!(
            "`{key}` must be {}, but came out as `{}`",
            if least > 0.0 { "a number above 0" } else { "a number, 0 or more" },
            value.to_text()
        ),
    ))
}

/// `timeout-minutes` in milliseconds.
pub(super) fn timeout_ms(
    workflow: &Workflow,
    job: &Job,
    environment: &PlanEnvironment,
) -> Result<u64, Diagnostic> {
    match &job.timeout_minutes {
        Some(templated) => minutes_ms(workflow, templated, "timeout-minutes", environment),
        None => Ok(DEFAULT_TIMEOUT_MS),
    }
}

/// `cancel-timeout-minutes` in milliseconds.
pub(super) fn cancel_timeout_ms(
    workflow: &Workflow,
    job: &Job,
    environment: &PlanEnvironment,
) -> Result<u64, Diagnostic> {
    match &job.cancel_timeout_minutes {
        Some(templated) => minutes_ms(workflow, templated, "cancel-timeout-minutes", environment),
        None => Ok(DEFAULT_CANCEL_TIMEOUT_MS),
    }
}

fn minutes_ms(
    workflow: &Workflow,
    templated: &Templated,
    key: &str,
    environment: &PlanEnvironment,
) -> Result<u64, Diagnostic> {
    let minutes = positive(workflow, templated, key, environment)?;
    // Saturating, and bounded right after.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(((minutes * 60_000.0).ceil() as u64).clamp(1, MAX_TIMEOUT_MS))
}
