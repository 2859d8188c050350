//! Inputs of `workflow_dispatch`: checked, typed, with defaults.

use serde_json::{Map, Value as Json, json};

use crate::syntax::{Input, InputType, Workflow};
use crate::value::{Value, eq_ignore_case};

/// The `inputs` context for a dispatch with these inputs, each given as text.
///
/// # Errors
/// One line for each input that is unknown, missing or of the wrong type; or that the workflow can't be dispatched.
pub fn dispatch_inputs(workflow: &Workflow, given: &[(String, String)]) -> Result<Json, Vec<String>> {
    let Some(trigger) = workflow.triggers.iter().find(|trigger| trigger.event == "workflow_dispatch") else {
        return Err(vec![format!("{} has no `workflow_dispatch` in `on`", workflow.file)]);
    };
    let mut problems = Vec::new();
    for (name, _) in given {
        if !trigger.inputs.iter().any(|input| eq_ignore_case(&input.name, name)) {
            let known: Vec<&str> = trigger.inputs.iter().map(|input| input.name.as_str()).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            problems.push(format!("the workflow has no input `{name}`; {known}"));
        }
    }
    let mut context = Map::new();
    for input in &trigger.inputs {
        let value = given
            .iter()
            .rev()
            .find(|(name, _)| eq_ignore_case(name, &input.name))
            .map(|(_, text)| text.as_str());
        match typed(input, value) {
            Ok(value) => {
                context.insert(input.name.clone(), value);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Json::Object(context)) } else { Err(problems) }
}

fn typed(input: &Input, given: Option<&str>) -> Result<Json, String> {
    let name = &input.name;
    if given.unwrap_or_default().is_empty() && input.required && input.default.is_none() {
        return Err(format!("the input `{name}` is required"));
    }
    let text = given.or(input.default.as_deref());
    match &input.kind {
        InputType::Boolean => match text.unwrap_or("false") {
            "true" => Ok(json!(true)),
            "false" | "" => Ok(json!(false)),
            other => Err(format!("the input `{name}` must be true or false, not `{other}`")),
        },
        InputType::Number => {
            let text = text.unwrap_or_default();
            let number = Value::from(text).to_number();
            if number.is_finite() {
                Ok(Value::Number(number).to_json())
            } else {
                Err(format!("the input `{name}` must be a number, not `{text}`"))
            }
        }
        InputType::Choice(options) => {
            // Without a value or default the first option is chosen, as GitHub's form does.
            let text = text.or(options.first().map(String::as_str)).unwrap_or_default();
            if options.iter().any(|option| option == text) {
                Ok(json!(text))
            } else {
                Err(format!("the input `{name}` must be one of {}, not `{text}`", options.join(", ")))
            }
        }
        InputType::String | InputType::Environment => Ok(json!(text.unwrap_or_default())),
    }
}
