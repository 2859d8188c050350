//! What can be wrong with an expression.

use std::fmt;

/// In which stage an error was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The text has a part that is no token.
    Lexing,
    /// The tokens make no expression, or name what isn't there.
    Parsing,
    /// The expression is fine but its values are not.
    Evaluation,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Lexing => "lexing",
            ErrorKind::Parsing => "parsing",
            ErrorKind::Evaluation => "evaluation",
        })
    }
}

/// An error in an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// The stage.
    pub kind: ErrorKind,
    /// For people, one line.
    pub message: String,
    /// Byte offset into the source where it was noticed; `None` for evaluation errors.
    pub offset: Option<usize>,
}

impl ExpressionError {
    pub(super) fn lexing(message: impl Into<String>, offset: usize) -> Self {
        Self { kind: ErrorKind::Lexing, message: message.into(), offset: Some(offset) }
    }

    pub(super) fn parsing(message: impl Into<String>, offset: usize) -> Self {
        Self { kind: ErrorKind::Parsing, message: message.into(), offset: Some(offset) }
    }

    pub(crate) fn evaluation(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Evaluation, message: message.into(), offset: None }
    }

    /// The same error in a source that starts `by` bytes earlier.
    pub(super) fn shifted(mut self, by: usize) -> Self {
        self.offset = self.offset.map(|offset| offset + by);
        self
    }

    /// Column from 1 in characters within `source`, for one-line sources.
    pub fn column(&self, source: &str) -> Option<usize> {
        let offset = self.offset?.min(source.len());
        Some(source.char_indices().take_while(|(at, _)| *at < offset).count() + 1)
    }
}
