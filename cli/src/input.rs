//! Reading what people name on the command line: bounded, and with one clear message when it cannot be read.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// Longest workflow file (GitHub's limit is the same).
pub const WORKFLOW_LIMIT_BYTES: u64 = 1024 * 1024;

/// Longest event payload; GitHub caps webhook payloads at 25 MB (its "Webhook events and payloads" page).
pub const EVENT_LIMIT_BYTES: u64 = 25 * 1000 * 1000;

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read or is longer.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let explain = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(explain)?;
    if file.metadata().map_err(explain)?.is_dir() {
        return Err(Failure::usage(format!("cannot read {}: it is a directory", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(explain)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::usage(format!("{} is longer than the limit of {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads a UTF-8 file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], or it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        Failure::usage(format!("{} is not UTF-8 (byte {good})", path.display()))
    })
}

/// Reads a file that must hold one JSON object.
///
/// # Errors
/// As [`read`], or it holds something else; the message has line and column.
pub fn read_json_object(path: &Path, limit: u64) -> Result<Map<String, Json>, Failure> {
    let bytes = read(path, limit)?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::usage(format!("{}: expected a JSON object", path.display()))),
        Err(error) => Err(Failure::usage(format!("{}: not valid JSON: {error}", path.display()))),
    }
}
/// A time such as `45s`, `30m`, `1h` or `7d`, of at least a second.
///
/// # Errors
/// It is something else, or longer; the message says what to write.
pub fn time_span(text: &str, most_days: u64) -> Result<Duration, String> {
    let wrong = || format!("write a time such as 30m, 1h or 7d, at most {most_days}d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text.get(..text.len() - 1).and_then(|count| count.parse().ok()).ok_or_else(wrong)?;
    let seconds = count.checked_mul(seconds).filter(|seconds| (1..=most_days * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}
