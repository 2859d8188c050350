//! `concurrency`.

use crate::expression::Availability;
use crate::yaml::{Node, NodeKind};

use super::model::{Concurrency, Queueing};
use super::reader::{Keys, Reader};

const CONCURRENCY: Keys = Keys { of: "`concurrency`", known: &["group", "cancel-in-progress", "queue"] };

impl Reader<'_, '_> {
    /// A group's name, or a mapping with `group`, `cancel-in-progress` and `queue`.
    pub(super) fn concurrency(
        &mut self,
        node: &Node,
        availability: &Availability<'_>,
    ) -> Option<Concurrency> {
        if !matches!(node.kind, NodeKind::Mapping(_)) {
            self.non_empty(node, "concurrency")?;
            let group = self.templated(node, "concurrency", availability)?;
            return Some(Concurrency { group, cancel_in_progress: None, queue: Queueing::Single });
        }
        let (mut group, mut named) = (None, false);
        let (mut cancel_in_progress, mut queue) = (None, Queueing::Single);
        for (key, value) in self.mapping(node, "concurrency")? {
            match &*key.text {
                "group" => {
                    named = true;
                    if self.non_empty(value, "group").is_some() {
                        group = self.templated(value, "group", availability);
                    }
                }
                "cancel-in-progress" => {
                    cancel_in_progress = self.boolean(value, "cancel-in-progress", availability);
                }
                "queue" => queue = self.queue(value)?,
                _ => self.unknown_key(key, &CONCURRENCY),
            }
        }
        if !named {
            self.report.error(node.position, "missing-key", "`concurrency` needs a `group`");
        }
        let always = cancel_in_progress.as_ref().is_some_and(|cancel| cancel.text.text == "true");
        if queue == Queueing::Max && always {
            let message = "`queue: max` and `cancel-in-progress: true` exclude each other";
            self.report.error(node.position, "conflicting-keys", message);
        }
        Some(Concurrency { group: group?, cancel_in_progress, queue })
    }

    fn queue(&mut self, node: &Node) -> Option<Queueing> {
        match &*self.scalar(node, "queue")? {
            "single" => Some(Queueing::Single),
            "max" => Some(Queueing::Max),
            other => {
                let message = format!("`queue` can't be `{other}`");
                self.report.error_hint(node.position, "wrong-value", message, "allowed: single, max");
                None
            }
        }
    }
}
