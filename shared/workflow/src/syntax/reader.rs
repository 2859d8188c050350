//! What all parts of the reader share: getting a node as what it should be, or recording why not.

use std::sync::Arc;

use crate::diagnostics::{Position, Reporter, locate};
use crate::expression::{Availability, ExpressionError, Template};
use crate::job_spec::{Entry, INSERT, Text};
use crate::yaml::{Key, Node, NodeKind};

use super::model::Templated;
use super::suggest::nearest;

/// Reads nodes and records what is wrong with them.
pub(super) struct Reader<'r, 's> {
    pub(super) report: &'r mut Reporter<'s>,
}

/// The keys of a mapping.
pub(super) struct Keys {
    /// What the mapping is, for messages: "a step".
    pub(super) of: &'static str,
    pub(super) known: &'static [&'static str],
}

impl Reader<'_, '_> {
    /// The entries of a mapping.
    pub(super) fn mapping<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.kind {
            NodeKind::Mapping(entries) => Some(entries),
            _ => {
                self.wrong_type(node, what, "a mapping");
                None
            }
        }
    }

    /// The items of a list.
    pub(super) fn sequence<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            NodeKind::Sequence(items) => Some(items),
            _ => {
                self.wrong_type(node, what, "a list");
                None
            }
        }
    }

    /// A scalar's text.
    pub(super) fn scalar(&mut self, node: &Node, what: &str) -> Option<Arc<str>> {
        let text = node.scalar_text();
        if text.is_none() {
            self.wrong_type(node, what, "text");
        }
        text
    }

    /// A scalar's text that is not empty.
    pub(super) fn non_empty(&mut self, node: &Node, what: &str) -> Option<Arc<str>> {
        let text = self.scalar(node, what)?;
        if text.is_empty() {
            self.report.error(node.position, "missing-value", format!("`{what}` must not be empty"));
            return None;
        }
        Some(text)
    }

    pub(super) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        self.report.error(
            node.position,
            "wrong-type",
            format!("`{what}` must be {wanted}, not {}", node.description()),
        );
    }

    /// Records a key that the mapping can't have.
    pub(super) fn unknown_key(&mut self, key: &Key, keys: &Keys) {
        let name = &*key.text;
        if self.report.is_full() {
            return;
        }
        if name.contains("${{") {
            let message = format!("an expression can't be a key of {}", keys.of);
            self.report.error(key.position, "unknown-key", message);
            return;
        }
        let message = format!("unknown key `{name}` in {}", keys.of);
        match nearest(name, keys.known.iter().copied()) {
            Some(known) => {
                self.report.error_hint(
                    key.position,
                    "unknown-key",
                    message,
                    format!("did you mean `{known}`?"),
                );
            }
            None => {
                let known = keys.known.join(", ");
                self.report.error_hint(key.position, "unknown-key", message, format!("known keys: {known}"));
            }
        }
    }

    /// Records an expression's error at its place inside the scalar.
    pub(super) fn expression_error(&mut self, at: Position, text: &str, error: &ExpressionError) {
        let place = match error.offset {
            Some(offset) => locate(self.report.source(), at, text, offset),
            None => at,
        };
        self.report.error(place, "expression", error.message.clone());
    }

    /// A scalar whose expressions may use what `availability` says.
    pub(super) fn templated(
        &mut self,
        node: &Node,
        what: &str,
        availability: &Availability<'_>,
    ) -> Option<Templated> {
        let text = self.scalar(node, what)?;
        match Template::parse(&text, availability) {
            Ok(template) => Some(Templated { text: place(&text, node.position), template }),
            Err(error) => {
                self.expression_error(node.position, &text, &error);
                None
            }
        }
    }

    /// As [`Self::templated`], when only the text is wanted later.
    pub(super) fn text(&mut self, node: &Node, what: &str, availability: &Availability<'_>) -> Option<Text> {
        let text = self.scalar(node, what)?;
        if text.contains("${{")
            && let Err(error) = Template::parse(&text, availability)
        {
            self.expression_error(node.position, &text, &error);
            return None;
        }
        Some(place(&text, node.position))
    }

    /// A mapping of names to templates, such as `env`. Nothing at all is refused, as on GitHub.
    pub(super) fn entries(&mut self, node: &Node, what: &str, availability: &Availability<'_>) -> Vec<Entry> {
        if let NodeKind::String(text) = &node.kind
            && text.contains("${{")
        {
            let value = self.text(node, what, availability);
            return value.map(|value| Entry { key: INSERT.to_owned(), value }).into_iter().collect();
        }
        let Some(pairs) = self.mapping(node, what) else {
            return Vec::new();
        };
        let mut entries = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            if key.text.is_empty() {
                self.report.error(key.position, "missing-value", format!("a name in `{what}` is empty"));
            } else if is_insert(&key.text) {
                let value = self.text(value, "insert", availability);
                entries.extend(value.map(|value| Entry { key: INSERT.to_owned(), value }));
            } else if key.text.contains("${{")
                && let Err(error) = Template::parse(&key.text, availability)
            {
                self.expression_error(key.position, &key.text, &error);
            } else if let Some(value) = self.text(value, &key.text, availability) {
                entries.push(Entry { key: key.text.to_string(), value });
            }
        }
        entries
    }

    /// One text or a list of texts.
    pub(super) fn strings(&mut self, node: &Node, what: &str) -> Vec<(Arc<str>, Position)> {
        match &node.kind {
            NodeKind::Sequence(items) => {
                items.iter().filter_map(|item| Some((self.non_empty(item, what)?, item.position))).collect()
            }
            _ => self.non_empty(node, what).map(|text| (text, node.position)).into_iter().collect(),
        }
    }
}

/// `${{ insert }}`, in any spacing.
pub(super) fn is_insert(key: &str) -> bool {
    let inner = key.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim() == "insert")
}

/// A text with its place.
pub(super) fn place(text: &str, at: Position) -> Text {
    Text { text: text.to_owned(), line: at.line, column: at.column }
}
