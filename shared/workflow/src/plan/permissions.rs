//! What a job's token may do (GitHub docs, "Workflow syntax", `permissions`).

use crate::calls::Rights;
use crate::syntax::{Job, Workflow};

/// The rights of a job: its own `permissions`, else the workflow's, else those of its caller or GitHub's restricted default;
/// never more than the caller's.
pub(super) fn effective(workflow: &Workflow, job: &Job, caller: Option<&Rights>) -> Rights {
    match (Rights::asked(workflow, job), caller) {
        (Some(asked), Some(caller)) => asked.lowered(caller),
        (Some(asked), None) => asked,
        (None, Some(caller)) => caller.clone(),
        (None, None) => Rights::restricted(),
    }
}
