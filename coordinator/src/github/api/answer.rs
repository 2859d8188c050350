//! An answer of GitHub's.

use axum::http::HeaderMap;
use serde_json::Value as Json;

use crate::forge::ForgeError;

/// What of an error's text is told, in bytes.
const TOLD_MAX_BYTES: usize = 300;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// `Null` where there is no body, or none that is JSON.
    pub(super) body: Json,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A number of the body.
    pub(super) fn number(&self, pointer: &str) -> Result<u64, ForgeError> {
        self.body.pointer(pointer).and_then(Json::as_u64).ok_or_else(|| without(pointer))
    }

    /// A text of the body.
    pub(super) fn text(&self, pointer: &str) -> Result<&str, ForgeError> {
        self.body.pointer(pointer).and_then(Json::as_str).ok_or_else(|| without(pointer))
    }

    /// What it says, after `what`, in one line.
    pub(super) fn told(&self, what: &str) -> String {
        let message = self.body.get("message").and_then(Json::as_str).unwrap_or_default();
        let message: String = message.chars().filter(|character| !character.is_control()).collect();
        let end = (0..=message.len().min(TOLD_MAX_BYTES)).rev().find(|at| message.is_char_boundary(*at));
        format!("{what} (HTTP {}) {}", self.status, &message[..end.unwrap_or_default()]).trim_end().to_owned()
    }

    /// Whether the text of an error says this.
    pub(super) fn says(&self, text: &str) -> bool {
        let message = self.body.get("message").and_then(Json::as_str);
        message.is_some_and(|message| message.to_ascii_lowercase().contains(text))
    }
}

/// The answer is not what GitHub describes: whether anything was done, nobody knows.
fn without(pointer: &str) -> ForgeError {
    ForgeError::Uncertain(format!("the answer has no `{}`", pointer.trim_start_matches('/')))
}
