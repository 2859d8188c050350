//! What a job's token may do (GitHub docs, "Workflow syntax", `permissions`).

use crate::syntax::{Job, Permissions, Workflow};

/// Scopes and levels (`read`, `write`) of a job: its own `permissions`, else the workflow's, else GitHub's restricted
/// default. What is not named is `none`; the scope `*` stands for all.
pub(super) fn effective(workflow: &Workflow, job: &Job) -> Vec<(String, String)> {
    let scope = |name: &str, level: &str| (name.to_owned(), level.to_owned());
    match job.permissions.as_ref().or(workflow.permissions.as_ref()) {
        None => vec![scope("contents", "read"), scope("packages", "read")],
        Some(Permissions::ReadAll) => vec![scope("*", "read")],
        Some(Permissions::WriteAll) => vec![scope("*", "write")],
        Some(Permissions::Scopes(scopes)) => {
            scopes.iter().filter(|(_, level)| level != "none").cloned().collect()
        }
    }
}
