//! Scalars that must be a boolean or a number, unless an expression gives them.

use crate::expression::Availability;
use crate::value::Value;
use crate::yaml::{Node, NodeKind};

use super::model::Templated;
use super::reader::Reader;

impl Reader<'_, '_> {
    /// A boolean, or an expression.
    pub(super) fn boolean(
        &mut self,
        node: &Node,
        what: &str,
        availability: &Availability<'_>,
    ) -> Option<Templated> {
        let templated = self.templated(node, what, availability)?;
        // Quoted `"true"` is text for YAML, but GitHub refuses it too.
        if templated.template.is_literal() && !matches!(node.kind, NodeKind::Bool(_)) {
            self.report.error_hint(
                node.position,
                "wrong-type",
                format!("`{what}` must be true or false, not {}", node.description()),
                "write it without quotes",
            );
            return None;
        }
        Some(templated)
    }

    /// A number above zero, or an expression.
    pub(super) fn number(
        &mut self,
        node: &Node,
        what: &str,
        availability: &Availability<'_>,
    ) -> Option<Templated> {
        self.number_from(node, what, f64::MIN_POSITIVE, availability)
    }

    /// A number that is at least this, or an expression.
    pub(super) fn number_from(
        &mut self,
        node: &Node,
        what: &str,
        least: f64,
        availability: &Availability<'_>,
    ) -> Option<Templated> {
        let templated = self.templated(node, what, availability)?;
        if let Some(text) = templated.template.as_literal() {
            let number = Value::from(text).to_number();
            if text.is_empty() || !number.is_finite() || number < least {
                let bound = if least > 0.0 { "a number above 0" } else { "a number, 0 or more" };
                let message = format!("`{what}` must be {bound}, not `{text}`");
                self.report.error(node.position, "wrong-type", message);
                return None;
            }
        }
        Some(templated)
    }
}
