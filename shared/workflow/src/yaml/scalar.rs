//! Plain scalars of the YAML 1.2 core schema (YAML 1.2.2, section 10.3.2).

use super::NodeKind;
use crate::value::parse_number;

/// What a plain, untagged scalar is.
pub(super) fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| NodeKind::String(text.into()), NodeKind::Number)
}

/// The number a scalar stands for, if it does.
pub(super) fn number(text: &str) -> Option<f64> {
    let first = text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    // The rest is what expressions take too, but for their words, binary numbers and capital prefixes.
    let plain = text.strip_prefix(['-', '+']).unwrap_or(text);
    if plain.starts_with(['I', ' '])
        || text.starts_with("0X")
        || text.starts_with("0O")
        || text.starts_with("0b")
        || text.starts_with("0B")
    {
        return None;
    }
    let number = parse_number(text);
    (!number.is_nan()).then_some(number)
}
