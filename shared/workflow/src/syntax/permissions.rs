//! `permissions`.

use crate::yaml::{Node, NodeKind};

use super::model::Permissions;
use super::reader::{Keys, Reader};

/// All scopes there are.
pub(crate) const SCOPE_NAMES: &[&str] = &[
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "code-quality",
    "contents",
    "copilot-requests",
    "deployments",
    "discussions",
    "drives",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
    "vulnerability-alerts",
];

const SCOPES: Keys = Keys { of: "`permissions`", known: SCOPE_NAMES };

impl Reader<'_, '_> {
    /// `read-all`, `write-all`, or scopes and levels.
    pub(super) fn permissions(&mut self, node: &Node) -> Option<Permissions> {
        if let NodeKind::Mapping(entries) = &node.kind {
            let mut scopes = Vec::with_capacity(entries.len());
            for (key, value) in entries.iter() {
                if !SCOPES.known.contains(&&*key.text) {
                    self.unknown_key(key, &SCOPES);
                    continue;
                }
                let level = self.scalar(value, &key.text)?;
                let allowed: &[&str] = match &*key.text {
                    "id-token" | "copilot-requests" => &["write", "none"],
                    "models" => &["read", "none"],
                    _ => &["read", "write", "none"],
                };
                if allowed.contains(&&*level) {
                    scopes.push((key.text.to_string(), level.to_string()));
                } else {
                    let message = format!("`{}` can't be `{level}`", key.text);
                    let hint = format!("allowed: {}", allowed.join(", "));
                    self.report.error_hint(value.position, "wrong-value", message, hint);
                }
            }
            return Some(Permissions::Scopes(scopes));
        }
        match node.scalar_text().as_deref() {
            Some("read-all") => Some(Permissions::ReadAll),
            Some("write-all") => Some(Permissions::WriteAll),
            _ => {
                self.report.error_hint(
                    node.position,
                    "wrong-value",
                    "`permissions` is not understood",
                    "write `read-all`, `write-all`, or a mapping of scopes to read, write or none",
                );
                None
            }
        }
    }
}
