//! Why something is skipped, for a person: not only that its `if` is false, but what it looked at.

use std::collections::BTreeSet;

use crate::expression::{Condition, Environment as _};
use crate::value::Value;

use super::environment::PlanEnvironment;

/// Most values that are told of one `if`.
const VALUES_TOLD: usize = 4;

/// Most characters of one.
const VALUE_CHARS: usize = 60;

/// A condition does not hold: with the values that it reads, as far as they are plain ones.
pub(super) fn is_false(condition: &Condition, environment: &PlanEnvironment) -> String {
    let mut seen = BTreeSet::new();
    let read = condition.references().into_iter().filter(|path| seen.insert(path.clone()));
    let told: Vec<String> = read.filter_map(|path| value(&path, environment)).take(VALUES_TOLD).collect();
    match told.is_empty() {
        true => "its `if` is false".to_owned(),
        false => format!("its `if` is false: {}", told.join(", ")),
    }
}

/// `` `github.ref` is 'refs/heads/main' ``
fn value(path: &str, environment: &PlanEnvironment) -> Option<String> {
    // What only the run can tell, or more than one value.
    if path.contains('*') || !path.contains('.') {
        return None;
    }
    let mut parts = path.split('.');
    let mut value = environment.context(parts.next()?)?;
    for part in parts {
        value = match &value {
            Value::Object(object) => object.get(part).cloned().unwrap_or_default(),
            Value::Array(_) => return None,
            _ => Value::Null,
        };
    }
    let shown = match &value {
        Value::Null => "empty".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_text().to_string(),
        Value::String(text) if text.chars().count() > VALUE_CHARS => {
            format!("'{}…'", text.chars().take(VALUE_CHARS).collect::<String>())
        }
        Value::String(text) => format!("'{text}'"),
        Value::Array(_) | Value::Object(_) => return None,
    };
    Some(format!("`{path}` is {shown}"))
}
