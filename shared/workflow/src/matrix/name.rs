//! The names of a job's instances (the runner's `JobNameBuilder`).

use crate::value::Value;

/// Longest name, in UTF-16 code units as GitHub counts; longer ones end in `...`.
pub const MAX_NAME_UTF16: usize = 100;

/// A job's name with the texts of its combination behind it: `test (linux, 20)`.
pub fn job_name(name: &str, segments: &[String]) -> String {
    if segments.is_empty() {
        return truncate(name);
    }
    truncate(&format!("{name} ({})", segments.join(", ")))
}

/// Cuts a name that is too long.
pub fn truncate(name: &str) -> String {
    if name.len() <= MAX_NAME_UTF16 || name.encode_utf16().count() <= MAX_NAME_UTF16 {
        return name.to_owned();
    }
    let mut room = MAX_NAME_UTF16 - 3;
    let kept = name.chars().take_while(|c| {
        let fits = c.len_utf16() <= room;
        room = room.saturating_sub(c.len_utf16());
        fits
    });
    kept.chain("...".chars()).collect()
}

/// The scalars in a value that show in a name, in order; empty ones and null do not.
pub(super) fn segments(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(array) => array.items.iter().flat_map(segments).collect(),
        Value::Object(object) => object.values().flat_map(segments).collect(),
        scalar => Some(scalar.to_text().into_owned()).filter(|text| !text.is_empty()).into_iter().collect(),
    }
}
