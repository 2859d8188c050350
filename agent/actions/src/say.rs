//! Lines of the log: plain ones, and GitHub's workflow commands. A log that nobody reads any more is no reason to end.

use std::io::Write as _;

fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// As it is.
pub fn info(message: &str) {
    line(message);
}

/// An annotation.
pub fn warning(message: &str) {
    line(&format!("::warning::{}", escaped(message)));
}

/// An annotation.
pub fn error(message: &str) {
    line(&format!("::error::{}", escaped(message)));
}

/// Shown when the run is debugged.
pub fn debug(message: &str) {
    line(&format!("::debug::{}", escaped(message)));
}

fn escaped(message: &str) -> String {
    message.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
