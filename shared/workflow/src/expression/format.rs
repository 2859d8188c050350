//! `format('… {0} …', …)`.

use super::evaluate::Budget;
use super::{ExpressionError, lexer::shorten};
use crate::value::Value;

/// Fills `{N}` with the arguments; `{{` and `}}` are literal braces.
pub(super) fn format(template: &str, arguments: &[Value], budget: &Budget) -> Result<Value, ExpressionError> {
    let invalid =
        || ExpressionError::evaluation(format!("the format string is invalid: {}", shorten(template)));
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if from.starts_with("{{") || from.starts_with("}}") {
            out.push_str(&from[..1]);
            rest = &from[2..];
            continue;
        }
        let close = from.find('}').filter(|_| from.starts_with('{')).ok_or_else(invalid)?;
        let inner = &from[1..close];
        let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(invalid());
        }
        // A number too long for usize surely exceeds the arguments.
        let argument =
            inner[..digits].parse().ok().and_then(|index: usize| arguments.get(index)).ok_or_else(|| {
                ExpressionError::evaluation(format!(
                    "the format string names more arguments than it was given: {}",
                    shorten(template)
                ))
            })?;
        out.push_str(&argument.to_text());
        budget.check(out.len())?;
        rest = &from[close + 1..];
    }
    out.push_str(rest);
    budget.spend(out.len())?;
    Ok(Value::from(out))
}
