//! What passes between caller and callee: inputs down, outputs up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::diagnostics::{Diagnostic, Position};
use crate::expression::Environment;
use crate::job_spec::SecretScope;
use crate::plan::{diagnostic, dynamic_diagnostic, expression_diagnostic};
use crate::syntax::{CallInput, InputType, Workflow};
use crate::value::{Value, eq_ignore_case};

use super::Rights;

/// What the jobs of a called workflow are planned with. The coordinator keeps it as a blob, one for each call; equal calls
/// have equal ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallContext {
    /// The called file: [`super::FileName`]'s text.
    pub file: String,
    /// What people see of the call: the calling jobs' names, outermost first, joined by ` / `.
    pub name: String,
    /// The `inputs` context.
    pub inputs: Json,
    /// Where its jobs' secrets come from, outermost call first.
    pub secret_scopes: Vec<SecretScope>,
    /// What its jobs may do at most.
    pub rights: Rights,
}

/// The `inputs` context of a call. `given` are `with`'s values, evaluated, and where each stands in the caller's file.
///
/// # Errors
/// A value is not of the input's type, at the caller's line; a default can't be evaluated, at the callee's.
pub fn call_inputs(
    caller: &Workflow,
    callee: &Workflow,
    given: &[(String, Position, Value)],
    defaults: &dyn Environment,
) -> Result<Json, Diagnostic> {
    let mut context = Map::new();
    for input in callee.callable().map(|callable| callable.inputs.as_slice()).unwrap_or_default() {
        let (workflow, at, value) = match given.iter().find(|(name, ..)| eq_ignore_case(name, &input.name)) {
            Some((_, at, value)) => (caller, *at, value.clone()),
            None => match &input.default {
                Some(default) => {
                    let value = default
                        .evaluate(defaults)
                        .map_err(|error| dynamic_diagnostic(callee, "default", &error))?;
                    (callee, default.position, value)
                }
                None => (callee, Position::default(), Value::Null),
            },
        };
        let value = typed(input, &value).map_err(|wanted| {
            let message =
                format!("the input `{}` must be {wanted}, but came out as `{}`", input.name, value.to_text());
            diagnostic(workflow, at, "call-input", message)
        })?;
        context.insert(input.name.clone(), value.to_json());
    }
    Ok(Json::Object(context))
}

/// A value as its input's type wants it; nothing at all is `false`, 0 or empty text. Text that says `true` or a number is
/// taken as that: an expression over an event's inputs gives text.
fn typed(input: &CallInput, value: &Value) -> Result<Value, &'static str> {
    match (&input.kind, value) {
        (InputType::Boolean, Value::Null) => Ok(Value::Bool(false)),
        (InputType::Boolean, Value::Bool(_)) | (InputType::Number, Value::Number(_)) => Ok(value.clone()),
        (InputType::Boolean, value) => match value.as_str() {
            Some("true") => Ok(Value::Bool(true)),
            Some("false") => Ok(Value::Bool(false)),
            _ => Err("true or false"),
        },
        (InputType::Number, Value::Null) => Ok(Value::Number(0.0)),
        (InputType::Number, value) => match value.as_str().map(|_| value.to_number()) {
            Some(number) if number.is_finite() => Ok(Value::Number(number)),
            _ => Err("a number"),
        },
        (_, value) if value.is_primitive() => Ok(Value::from(&*value.to_text())),
        _ => Err("text"),
    }
}

/// A callee's outputs, over its `jobs` context.
///
/// # Errors
/// One can't be evaluated, at its place.
pub fn call_outputs(
    callee: &Workflow,
    environment: &dyn Environment,
) -> Result<BTreeMap<String, String>, Diagnostic> {
    let outputs = callee.callable().map(|callable| callable.outputs.as_slice()).unwrap_or_default();
    let value = |output: &crate::syntax::CallOutput| {
        output
            .value
            .template
            .evaluate_to_string(environment)
            .map_err(|error| expression_diagnostic(callee, output.value.position(), &output.name, &error))
    };
    outputs.iter().map(|output| Ok((output.name.clone(), value(output)?))).collect()
}
