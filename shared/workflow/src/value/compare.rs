//! Equality and order of values, as GitHub's expressions have them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Value;

/// One character's ordinal upper case: its simple mapping, so that lengths never change (`ß` stays), and the
/// dotless `ı` stays itself as in .NET's ordinal comparison.
fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    if c == 'ı' {
        return c;
    }
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

/// The text in ordinal upper case, for comparing without case.
pub fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// Whether two texts are equal but for case.
pub fn eq_ignore_case(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().map(fold_char).eq(b.chars().map(fold_char))
}

/// Order of two texts without case, by UTF-16 code units as .NET and JavaScript compare.
fn compare_ignore_case(a: &str, b: &str) -> Ordering {
    let mut buffers = ([0_u16; 2], [0_u16; 2]);
    let mut left = a.chars().map(fold_char);
    let mut right = b.chars().map(fold_char);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => {
                return x.encode_utf16(&mut buffers.0).cmp(&y.encode_utf16(&mut buffers.1));
            }
        }
    }
}

/// What is left of two values once they are brought to the same kind.
enum Pair<'a> {
    Numbers(f64, f64),
    Bools(bool, bool),
    Strings(&'a str, &'a str),
    Arrays(&'a Value, &'a Value),
    Objects(&'a Value, &'a Value),
    Nulls,
    Different,
}

/// Like JavaScript's abstract equality, but collections never become primitives.
fn coerce<'a>(a: &'a Value, b: &'a Value) -> Pair<'a> {
    match (a, b) {
        (Value::Null, Value::Null) => Pair::Nulls,
        (Value::Bool(x), Value::Bool(y)) => Pair::Bools(*x, *y),
        (Value::String(x), Value::String(y)) => Pair::Strings(x, y),
        (Value::Array(_), Value::Array(_)) => Pair::Arrays(a, b),
        (Value::Object(_), Value::Object(_)) => Pair::Objects(a, b),
        _ if a.is_primitive() && b.is_primitive() => Pair::Numbers(a.to_number(), b.to_number()),
        _ => Pair::Different,
    }
}

/// The `==` operator: text without case, different kinds as numbers, NaN never, collections by identity.
pub fn loose_equals(a: &Value, b: &Value) -> bool {
    match coerce(a, b) {
        Pair::Nulls => true,
        Pair::Numbers(x, y) => x == y,
        Pair::Bools(x, y) => x == y,
        Pair::Strings(x, y) => eq_ignore_case(x, y),
        Pair::Arrays(Value::Array(x), Value::Array(y)) => Arc::ptr_eq(x, y),
        Pair::Objects(Value::Object(x), Value::Object(y)) => Arc::ptr_eq(x, y),
        _ => false,
    }
}

/// The `>` operator.
pub fn greater_than(a: &Value, b: &Value) -> bool {
    match coerce(a, b) {
        Pair::Numbers(x, y) => x > y,
        Pair::Bools(x, y) => x & !y,
        Pair::Strings(x, y) => compare_ignore_case(x, y) == Ordering::Greater,
        _ => false,
    }
}

/// The `<` operator.
pub fn less_than(a: &Value, b: &Value) -> bool {
    match coerce(a, b) {
        Pair::Numbers(x, y) => x < y,
        Pair::Bools(x, y) => !x & y,
        Pair::Strings(x, y) => compare_ignore_case(x, y) == Ordering::Less,
        _ => false,
    }
}
