//! The functions that need nothing but their arguments.

use super::format::format;
use super::{ExpressionError, evaluate::Budget};
use crate::value::{Value, fold, loose_equals};

/// Most arguments of `format` and `hashFiles`, as on GitHub.
pub(super) const MAX_ARGUMENTS: usize = 255;

/// A built-in function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Contains,
    StartsWith,
    EndsWith,
    Format,
    Join,
    ToJson,
    FromJson,
    /// Evaluated lazily, so not by [`call`].
    Case,
}

const FUNCTIONS: [Function; 8] = [
    Function::Contains,
    Function::StartsWith,
    Function::EndsWith,
    Function::Format,
    Function::Join,
    Function::ToJson,
    Function::FromJson,
    Function::Case,
];

impl Function {
    /// The function of that name; case does not matter.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        FUNCTIONS.into_iter().find(|function| name.eq_ignore_ascii_case(function.name()))
    }

    /// Its name as documented.
    pub(super) fn name(self) -> &'static str {
        match self {
            Function::Contains => "contains",
            Function::StartsWith => "startsWith",
            Function::EndsWith => "endsWith",
            Function::Format => "format",
            Function::Join => "join",
            Function::ToJson => "toJSON",
            Function::FromJson => "fromJSON",
            Function::Case => "case",
        }
    }

    /// Fewest and most arguments.
    pub(super) fn arity(self) -> (usize, usize) {
        match self {
            Function::Contains | Function::StartsWith | Function::EndsWith => (2, 2),
            Function::Format => (1, MAX_ARGUMENTS),
            Function::Join => (1, 2),
            Function::ToJson | Function::FromJson => (1, 1),
            Function::Case => (3, usize::MAX),
        }
    }
}

/// Calls a function whose arguments are evaluated. The parser has checked their number.
pub(super) fn call(
    function: Function,
    arguments: &[Value],
    budget: &Budget,
) -> Result<Value, ExpressionError> {
    let argument = |at: usize| arguments.get(at).unwrap_or(&Value::Null);
    match function {
        Function::Contains => Ok(Value::Bool(contains(argument(0), argument(1)))),
        Function::StartsWith => {
            Ok(Value::Bool(ends(argument(0), argument(1), |text, part| text.starts_with(part))))
        }
        Function::EndsWith => {
            Ok(Value::Bool(ends(argument(0), argument(1), |text, part| text.ends_with(part))))
        }
        Function::Format => format(&argument(0).to_text(), arguments.get(1..).unwrap_or_default(), budget),
        Function::Join => join(argument(0), arguments.get(1), budget),
        Function::ToJson => to_json(argument(0), budget),
        Function::FromJson => from_json(argument(0), budget),
        Function::Case => Err(ExpressionError::evaluation("`case` is evaluated lazily")),
    }
}

/// Text in text without case, or an item of a list by `==`.
fn contains(search: &Value, item: &Value) -> bool {
    match search {
        Value::Array(array) => array.items.iter().any(|candidate| loose_equals(item, candidate)),
        Value::Object(_) => false,
        _ => item.is_primitive() && fold(&search.to_text()).contains(&fold(&item.to_text())),
    }
}

fn ends(text: &Value, part: &Value, test: fn(&str, &str) -> bool) -> bool {
    text.is_primitive() && part.is_primitive() && test(&fold(&text.to_text()), &fold(&part.to_text()))
}

/// A scalar comes back as text; a list is joined; an object gives the empty text.
fn join(list: &Value, separator: Option<&Value>, budget: &Budget) -> Result<Value, ExpressionError> {
    match list {
        Value::Array(array) => {
            let separator = match separator {
                Some(separator) if separator.is_primitive() => separator.to_text(),
                _ => ",".into(),
            };
            let mut out = String::new();
            for (at, item) in array.items.iter().enumerate() {
                if at > 0 {
                    out.push_str(&separator);
                }
                out.push_str(&item.to_text());
                budget.check(out.len())?;
            }
            budget.spend(out.len())?;
            Ok(Value::from(out))
        }
        Value::Object(_) => Ok(Value::from("")),
        _ => Ok(Value::string(list.to_text())),
    }
}

fn to_json(value: &Value, budget: &Budget) -> Result<Value, ExpressionError> {
    let mut out = String::new();
    if value.write_pretty(&mut out, budget.left(), 0).is_err() {
        return Err(budget.exceeded());
    }
    budget.spend(out.len())?;
    Ok(Value::from(out))
}

fn from_json(value: &Value, budget: &Budget) -> Result<Value, ExpressionError> {
    let text = value.to_text();
    if text.trim().is_empty() {
        return Err(ExpressionError::evaluation("fromJSON was given empty text"));
    }
    // A value takes more room than its text; the factor is GitHub's order of magnitude, not an exact count.
    budget.spend(text.len().saturating_mul(2))?;
    serde_json::from_str(&text).map_err(|error| {
        ExpressionError::evaluation(format!("fromJSON was given text that is not JSON: {error}"))
    })
}
