//! What is wrong with a workflow file, where, and what to do; and how that is shown.
//!
//! Deliberately absent: finding anything wrong ([`crate::syntax`] and [`crate::plan`] do that) and printing.

mod locate;
mod render;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use locate::locate;
pub use render::{render_github, render_sarif, render_text};

/// Most errors reported for one file; GitHub stops at 10, which is little for a first try.
pub const MAX_DIAGNOSTICS: usize = 50;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The workflow can't run.
    Error,
    /// It runs, but probably not as meant.
    Warning,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

/// One finding. Serialises as an element of `lint --format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Path of the file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the rule, such as `unknown-key`.
    pub code: Cow<'static, str>,
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Longest message, in characters: one may quote what a file has in a key's or value's place.
const MAX_MESSAGE_CHARS: usize = 500;

/// A message without line breaks and other control characters, cut to its limit.
fn one_line(message: String) -> String {
    if message.len() <= MAX_MESSAGE_CHARS && !message.contains(char::is_control) {
        return message;
    }
    let mut out = String::with_capacity(MAX_MESSAGE_CHARS);
    for (count, c) in message.chars().enumerate() {
        if count == MAX_MESSAGE_CHARS {
            out.push_str("...");
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Collects the findings of one file.
#[derive(Debug)]
pub struct Reporter<'a> {
    file: &'a str,
    source: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Reporter<'a> {
    /// For a file and its text.
    pub fn new(file: &'a str, source: &'a str) -> Self {
        Self { file, source, found: Vec::new() }
    }

    /// The file's path.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// The file's text.
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// Records an error.
    pub fn error(&mut self, at: Position, code: &'static str, message: impl Into<String>) {
        self.push(at, Severity::Error, code, message.into(), None);
    }

    /// Records an error with advice.
    pub fn error_hint(
        &mut self,
        at: Position,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(at, Severity::Error, code, message.into(), Some(hint.into()));
    }

    /// Records a warning with advice.
    pub fn warning(
        &mut self,
        at: Position,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(at, Severity::Warning, code, message.into(), Some(hint.into()));
    }

    fn push(
        &mut self,
        at: Position,
        severity: Severity,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        // One more than is shown tells that there were more.
        if self.is_full() {
            return;
        }
        let message = one_line(message);
        self.found.push(Diagnostic {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            severity,
            code: Cow::Borrowed(code),
            message,
            hint,
        });
    }

    /// Whether nothing more will be recorded, so that looking for advice is wasted.
    pub fn is_full(&self) -> bool {
        self.found.len() > MAX_DIAGNOSTICS
    }

    /// Whether any error was recorded.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Everything that was recorded, in the order of the file, at most [`MAX_DIAGNOSTICS`].
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.truncate(MAX_DIAGNOSTICS);
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.found
    }
}
