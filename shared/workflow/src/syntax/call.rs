//! A job that calls a reusable workflow: `uses`, `with`, `secrets` (GitHub docs, "Reuse workflows").
//!
//! Deliberately absent: whether the called file takes what it is given ([`crate::calls::check`]): one file is read here.

use crate::calls::FileName;
use crate::expression::availability::{JOB, JOB_ENV};
use crate::yaml::{Key, Node, NodeKind};

use super::model::{Argument, Call, CallSecrets, Job};
use super::reader::{Reader, place};

/// The keys that a job may have beside `uses`.
const CALLING_KEYS: [&str; 9] =
    ["name", "uses", "with", "secrets", "needs", "if", "permissions", "concurrency", "strategy"];

impl Reader<'_, '_> {
    /// A job that has `uses`. `None`: what it calls can't be told; that is recorded.
    pub(super) fn calling_job(&mut self, id: &Key, entries: &[(Key, Node)]) -> Option<Job> {
        let mut job = Job::empty(id);
        let (mut uses, mut with, mut secrets) = (None, Vec::new(), CallSecrets::Map(Vec::new()));
        let mut foreign: Vec<&Key> = Vec::new();
        for (key, value) in entries {
            match &*key.text {
                "uses" => uses = self.uses(value),
                "with" => with = self.arguments(value),
                "secrets" => secrets = self.call_secrets(value),
                "name" => job.name = self.templated(value, "name", &JOB),
                "needs" => job.needs = self.needs(value),
                "if" => {
                    job.condition_position = value.position;
                    job.condition = self.job_condition(value).unwrap_or_default();
                }
                "permissions" => job.permissions = self.permissions(value),
                "concurrency" => job.concurrency = self.concurrency(value, &JOB),
                "strategy" => job.strategy = self.strategy(value),
                _ => foreign.push(key),
            }
        }
        if let Some(first) = foreign.first() {
            let names: Vec<String> = foreign.iter().map(|key| format!("`{}`", key.text)).collect();
            self.report.error_hint(
                first.position,
                "unknown-key",
                format!("a job that `uses` a reusable workflow can't have {}", names.join(", ")),
                format!("it may have: {}", CALLING_KEYS.join(", ")),
            );
        }
        job.call = Some(Call { uses: uses?, with, secrets });
        Some(job)
    }

    fn uses(&mut self, node: &Node) -> Option<crate::job_spec::Text> {
        let uses = self.non_empty(node, "uses")?;
        if uses.contains("${{") {
            self.report.error(
                node.position,
                "expression",
                "`uses` can't hold an expression: what a run calls is fixed",
            );
            return None;
        }
        if let Err(problem) = FileName::local("").called(&uses) {
            let message = format!("`{uses}` names no reusable workflow: {problem}");
            self.report.error(node.position, "called-workflow", message);
            return None;
        }
        Some(place(&uses, node.position))
    }

    fn arguments(&mut self, node: &Node) -> Vec<Argument> {
        let entries = self.mapping(node, "with").unwrap_or_default();
        let mut arguments = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if key.text.is_empty() {
                self.report.error(key.position, "missing-value", "a name in `with` is empty");
            } else if key.text.contains("${{") {
                let message = "an expression can't name an input of a called workflow";
                self.report.error(key.position, "wrong-value", message);
            } else if self.scalar(value, &key.text).is_some()
                && let Some(value) = self.dynamic(value, &JOB)
            {
                arguments.push(Argument { name: key.text.to_string(), value });
            }
        }
        arguments
    }

    fn call_secrets(&mut self, node: &Node) -> CallSecrets {
        if node.scalar_text().as_deref() == Some("inherit") {
            return CallSecrets::Inherit;
        }
        if !matches!(node.kind, NodeKind::Mapping(_)) {
            self.report.error_hint(
                node.position,
                "wrong-value",
                "`secrets` is not understood",
                "write `inherit`, or a mapping of names to values",
            );
            return CallSecrets::Map(Vec::new());
        }
        CallSecrets::Map(self.entries(node, "secrets", &JOB_ENV))
    }
}
