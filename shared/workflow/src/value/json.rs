//! Values from and to JSON.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::{Object, Value, format_json_number};

/// Numbers up to this size are written without a fraction part when they have none (JavaScript's safe integers).
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => Value::Number(n.as_f64().unwrap_or(f64::NAN)),
            Json::String(s) => Value::String(s.as_str().into()),
            Json::Array(items) => Value::array(items.iter().map(Value::from).collect()),
            Json::Object(map) => {
                Value::object(map.iter().map(|(key, value)| (key.as_str(), Value::from(value))))
            }
        }
    }
}

impl Value {
    /// As JSON; what JSON has no number for (NaN, infinities) becomes null, as JavaScript does.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => number_to_json(*n),
            Value::String(s) => Json::String(s.to_string()),
            Value::Array(array) => Json::Array(array.items.iter().map(Value::to_json).collect()),
            Value::Object(object) => {
                Json::Object(object.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect())
            }
        }
    }

    /// `toJSON`'s text: indented by two spaces, empty collections on one line.
    pub(crate) fn write_pretty(
        &self,
        out: &mut String,
        limit_bytes: usize,
        depth: usize,
    ) -> Result<(), fmt::Error> {
        if out.len() > limit_bytes {
            return Err(fmt::Error);
        }
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Number(n) => out.push_str(&format_json_number(*n)),
            Value::String(s) => push_quoted(out, s),
            Value::Array(array) if array.items.is_empty() => out.push_str("[]"),
            Value::Object(object) if object.is_empty() => out.push_str("{}"),
            Value::Array(array) => {
                let mut separator = '[';
                for item in &array.items {
                    push_line(out, separator, depth + 1);
                    item.write_pretty(out, limit_bytes, depth + 1)?;
                    separator = ',';
                }
                push_line_end(out, depth, ']');
            }
            Value::Object(object) => {
                let mut separator = '{';
                for (key, value) in object.iter() {
                    push_line(out, separator, depth + 1);
                    push_quoted(out, key);
                    out.push_str(": ");
                    value.write_pretty(out, limit_bytes, depth + 1)?;
                    separator = ',';
                }
                push_line_end(out, depth, '}');
            }
        }
        Ok(())
    }
}

fn number_to_json(n: f64) -> Json {
    if n.fract() == 0.0 && n.abs() <= MAX_SAFE_INTEGER {
        // Exact: the value is a whole number well inside i64.
        #[allow(clippy::cast_possible_truncation)]
        return Json::from(n as i64);
    }
    serde_json::Number::from_f64(n).map_or(Json::Null, Json::Number)
}

fn push_line(out: &mut String, separator: char, depth: usize) {
    out.push(separator);
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn push_line_end(out: &mut String, depth: usize, close: char) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
    out.push(close);
}

fn push_quoted(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        // Serialising a str cannot fail; an empty string keeps the text valid if it ever did.
        Err(_) => out.push_str("\"\""),
    }
}

/// Reads JSON straight into values, without a tree between.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[allow(clippy::cast_precision_loss)] // Numbers are doubles in this language.
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        // The same key twice: the last value counts. Keys that differ in case only: the first key counts.
        let mut object = Object::case_sensitive();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            object.insert(key.into(), value);
        }
        Ok(Value::Object(Arc::new(object.iter().map(|(key, value)| (key.clone(), value.clone())).collect())))
    }
}
