//! The lines with which the log of a step begins that uses an action.

use slipway_workflow::job_spec::{StepAction, StepSpec};

use crate::steps::values::Values;

/// Lines as GitHub prints them, not masked yet.
pub(super) fn lines(step: &StepSpec, inputs: &Values, env: &Values) -> Vec<String> {
    let uses = match &step.action {
        StepAction::Uses { uses, .. } => uses.as_str(),
        StepAction::Run { .. } | StepAction::Wait { .. } | StepAction::Cancel { .. } => "",
    };
    let mut lines = vec![format!("##[group]Run {uses}")];
    let mut block = |title: &str, values: &Values| {
        let mut shown = values.iter().filter(|(_, value)| !value.is_empty()).peekable();
        if shown.peek().is_some() {
            lines.push(title.to_owned());
        }
        for (name, value) in shown {
            lines.extend(format!("  {name}: {value}").split('\n').map(str::to_owned));
        }
    };
    block("with:", inputs);
    block("env:", env);
    lines.push("##[endgroup]".to_owned());
    lines
}
