//! The values that expressions compute with, and GitHub's conversions between them.
//!
//! Invariant: cloning a value is cheap (shared storage), and arrays and objects keep their identity when cloned,
//! because the language compares them by identity. Values are immutable.
//!
//! Deliberately absent: evaluation ([`crate::expression`]) and YAML ([`crate::yaml`]).

mod compare;
mod json;
mod number;
mod object;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

pub use compare::{eq_ignore_case, fold, greater_than, less_than, loose_equals};
pub use number::{format_g15, format_json_number, parse_number};
pub use object::Object;

/// A value of the expression language.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Every number is a double.
    Number(f64),
    /// Text.
    String(Arc<str>),
    /// A list.
    Array(Arc<Array>),
    /// A mapping that keeps its order.
    Object(Arc<Object>),
}

/// The items of a [`Value::Array`].
#[derive(Debug, Clone, Default)]
pub struct Array {
    /// The items in order.
    pub items: Vec<Value>,
    /// Made by `.*`: a further `.name` or `[i]` then looks into every item and skips those that lack it.
    pub filtered: bool,
}

impl Value {
    /// Text.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Value::String(text.into())
    }

    /// A plain list.
    pub fn array(items: Vec<Value>) -> Self {
        Value::Array(Arc::new(Array { items, filtered: false }))
    }

    /// A mapping with case-insensitive keys, as every context but `env` has; of keys that differ only in case the
    /// first counts.
    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Value::Object(Arc::new(entries.into_iter().map(|(key, value)| (key.into(), value)).collect()))
    }

    /// The kind as GitHub prints it: `Null Boolean Number String Array Object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "Null",
            Value::Bool(_) => "Boolean",
            Value::Number(_) => "Number",
            Value::String(_) => "String",
            Value::Array(_) => "Array",
            Value::Object(_) => "Object",
        }
    }

    /// Whether it is neither an array nor an object.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Value::Array(_) | Value::Object(_))
    }

    /// Whether a condition holds: all but `null`, `false`, `0`, `-0`, `NaN` and `''`.
    pub fn truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(b) => *b,
            Value::Number(n) => !(*n == 0.0 || n.is_nan()),
            Value::String(s) => !s.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    /// The number it counts as: null 0, booleans 0 and 1, text as JavaScript's `Number()`, arrays and objects NaN.
    pub fn to_number(&self) -> f64 {
        match self {
            Value::Null => 0.0,
            Value::Bool(b) => f64::from(u8::from(*b)),
            Value::Number(n) => *n,
            Value::String(s) => parse_number(s),
            Value::Array(_) | Value::Object(_) => f64::NAN,
        }
    }

    /// The text it prints as: null is empty, numbers have at most 15 digits, arrays and objects print their kind.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Value::Null => Cow::Borrowed(""),
            Value::Bool(true) => Cow::Borrowed("true"),
            Value::Bool(false) => Cow::Borrowed("false"),
            Value::Number(n) => Cow::Owned(format_g15(*n)),
            Value::String(s) => Cow::Borrowed(s),
            Value::Array(_) | Value::Object(_) => Cow::Borrowed(self.kind()),
        }
    }

    /// The property of that name, if it is an object that has one.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Number(value)
    }
}
