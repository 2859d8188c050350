//! Text that may hold `${{ }}`.

use std::sync::Arc;

use super::evaluate_limit;
use super::{Availability, Environment, Expression, ExpressionError, MAX_EXPRESSION_LENGTH};
use crate::value::Value;

const OPEN: &str = "${{";

/// One piece of a [`Template`].
#[derive(Debug, Clone)]
enum Part {
    Literal(Arc<str>),
    Expression(Expression),
}

/// A parsed scalar: literal text, one expression, or a mix of both.
///
/// One that is wholly one `${{ }}` keeps the value's type; a mix gives text, as GitHub's own rewriting into
/// `format('…', …)` does.
#[derive(Debug, Clone, Default)]
pub struct Template {
    parts: Vec<Part>,
}

/// Whether a text holds an expression at all.
pub fn has_expression(text: &str) -> bool {
    text.contains(OPEN)
}

impl Template {
    /// Parses a scalar.
    ///
    /// # Errors
    /// An expression that is not closed, is empty, or does not parse. Offsets count from the start of `text`.
    pub fn parse(text: &str, availability: &Availability<'_>) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut sizes = Sizes::default();
        while let Some(open) = text[from..].find(OPEN).map(|length| from + length) {
            push_literal(&mut parts, &mut sizes, &text[from..open]);
            let body = open + OPEN.len();
            let close = find_close(text, body).ok_or_else(|| {
                ExpressionError::parsing("`${{` is not closed: there is no `}}` after it", open)
            })?;
            parts.push(Part::Expression(parse_inner(text, body, close, availability)?));
            sizes.expressions += 1;
            sizes.length += text[body..close].trim().encode_utf16().count() + ", {0}".len();
            from = close + 2;
        }
        push_literal(&mut parts, &mut sizes, &text[from..]);
        if sizes.expressions > 0 && parts.len() > 1 && sizes.length > MAX_EXPRESSION_LENGTH {
            return Err(ExpressionError::lexing(
                format!(
                    "text with `${{{{ }}}}` counts as one expression, and may not be longer than {MAX_EXPRESSION_LENGTH} \
                     characters; pass values through `env` instead"
                ),
                0,
            ));
        }
        Ok(Self { parts })
    }

    /// A template without any expression.
    pub fn literal(text: &str) -> Self {
        let mut parts = Vec::new();
        push_literal(&mut parts, &mut Sizes::default(), text);
        Self { parts }
    }

    /// Whether there is no expression in it.
    pub fn is_literal(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Expression(_)))
    }

    /// The text, when there is no expression in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression, when it is wholly one `${{ }}`.
    pub fn as_expression(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Expression(expression)] => Some(expression),
            _ => None,
        }
    }

    /// Its expressions, in order.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Literal(_) => None,
        })
    }

    /// Its value: typed when it is wholly one expression, else text.
    ///
    /// # Errors
    /// Evaluation errors.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<Value, ExpressionError> {
        match self.parts.as_slice() {
            [] => Ok(Value::from("")),
            [Part::Expression(expression)] => expression.evaluate(environment),
            [Part::Literal(text)] => Ok(Value::String(text.clone())),
            parts => {
                let mut out = String::new();
                for part in parts {
                    match part {
                        Part::Literal(text) => out.push_str(text),
                        Part::Expression(expression) => {
                            out.push_str(&expression.evaluate(environment)?.to_text())
                        }
                    }
                    evaluate_limit(out.len())?;
                }
                Ok(Value::from(out))
            }
        }
    }

    /// Its value as text.
    ///
    /// # Errors
    /// Evaluation errors; an array or object where text belongs.
    pub fn evaluate_to_string(&self, environment: &dyn Environment) -> Result<String, ExpressionError> {
        if let Some(text) = self.as_literal() {
            return Ok(text.to_owned());
        }
        let value = self.evaluate(environment)?;
        if !value.is_primitive() {
            return Err(ExpressionError::evaluation(format!(
                "text belongs here, but the expression gave an {}; use toJSON() to print it",
                value.kind().to_ascii_lowercase()
            )));
        }
        Ok(value.to_text().into_owned())
    }
}

/// The length of the one `format(…)` expression GitHub makes of a mixed scalar.
#[derive(Default)]
struct Sizes {
    length: usize,
    expressions: usize,
}

fn push_literal(parts: &mut Vec<Part>, sizes: &mut Sizes, text: &str) {
    if text.is_empty() {
        return;
    }
    let doubled = text.bytes().filter(|b| matches!(b, b'\'' | b'{' | b'}')).count();
    sizes.length += doubled + if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
    parts.push(Part::Literal(text.into()));
}

/// Where the `}}` stands that closes an expression; quotes protect it.
fn find_close(text: &str, body: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut in_string = false;
    let mut at = body;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\'' => in_string = !in_string,
            b'}' if !in_string && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn parse_inner(
    text: &str,
    body: usize,
    close: usize,
    availability: &Availability<'_>,
) -> Result<Expression, ExpressionError> {
    let inner = &text[body..close];
    let trimmed = inner.trim();
    if trimmed.is_empty() {
        return Err(ExpressionError::parsing("an expression is missing between `${{` and `}}`", body));
    }
    if trimmed == "insert" {
        return Err(ExpressionError::parsing(
            "`${{ insert }}` stands in the place of a key: `${{ insert }}: ${{ … }}`",
            body,
        ));
    }
    if availability.contexts.is_empty() {
        return Err(ExpressionError::parsing(
            "`${{ }}` is not allowed here",
            body.saturating_sub(OPEN.len()),
        ));
    }
    let start = body + (inner.len() - inner.trim_start().len());
    Expression::parse(trimmed, availability).map_err(|error| error.shifted(start))
}
