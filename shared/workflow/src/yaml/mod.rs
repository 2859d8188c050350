//! YAML into a tree whose every node knows its line and column.
//!
//! YAML 1.2 core scalars; anchors and aliases, but no merge keys; no duplicate keys (keys ignore case, as GitHub's
//! reader does); one document. Size, depth and the size after aliases are bounded.
//!
//! The reader is our own: planning must read many files a second, a general scanner's queue of tokens took most of the
//! time, and errors should speak of what people wrote. The tests hold it against two other readers.
//!
//! Deliberately absent: any meaning of keys ([`crate::syntax`]).

mod block;
mod build;
mod cursor;
mod document;
mod flow;
mod literal;
mod properties;
mod scalar;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;
mod text;

use std::sync::Arc;

use crate::diagnostics::{Position, Reporter};
use crate::value::format_g15;

pub use document::parse;

/// Largest file, as on GitHub.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Deepest nesting, as on GitHub.
pub const MAX_DEPTH: usize = 50;
/// Largest tree once aliases are followed, as on GitHub: text plus [`NODE_BYTES`] a node.
pub const MAX_RESULT_BYTES: usize = 10 * 1024 * 1024;
/// What a node counts besides its text.
pub const NODE_BYTES: usize = 16;

/// A node. Cloning shares collections.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it starts (for an alias: where the anchored node does).
    pub position: Position,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// A plain boolean.
    Bool(bool),
    /// A plain number.
    Number(f64),
    /// Text.
    String(Arc<str>),
    /// A list.
    Sequence(Arc<[Node]>),
    /// Keys and values in order.
    Mapping(Arc<[(Key, Node)]>),
}

/// A mapping's key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where it stands.
    pub position: Position,
    /// Its text.
    pub text: Arc<str>,
}

impl Node {
    /// A scalar's text as GitHub converts it: numbers with at most 15 digits (`3.10` is `3.1`), null is empty.
    pub fn scalar_text(&self) -> Option<Arc<str>> {
        match &self.kind {
            NodeKind::Null => Some("".into()),
            NodeKind::Bool(true) => Some("true".into()),
            NodeKind::Bool(false) => Some("false".into()),
            NodeKind::Number(number) => Some(format_g15(*number).into()),
            NodeKind::String(text) => Some(text.clone()),
            NodeKind::Sequence(_) | NodeKind::Mapping(_) => None,
        }
    }

    /// What it is, for messages.
    pub fn description(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::String(_) => "text",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }
}

/// Parses text alone, for tests and small callers; errors are dropped.
pub fn parse_quietly(source: &str) -> Option<Node> {
    let mut reporter = Reporter::new("", source);
    parse(&mut reporter)
}
