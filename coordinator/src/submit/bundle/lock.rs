//! The lock file of a run's repository, read when it is submitted.

use std::collections::BTreeMap;

use slipway_workflow::action::BUILT_IN;
use slipway_workflow::action::lock::{LOCK_FILE, read};
use slipway_workflow::diagnostics::{Diagnostic, Severity};
use slipway_workflow::job_spec::Source;

use super::NewRun;
use crate::mirror::MirrorError;
use crate::services::Services;
use crate::submit::SubmitError;

/// The commits of actions that the run is pinned to; none where its repository has no lock file.
///
/// # Errors
/// The file cannot be read, or is wrong: nothing runs with half its pins.
pub(in crate::submit) async fn pins(
    services: &Services,
    new: &NewRun,
) -> Result<BTreeMap<String, String>, SubmitError> {
    if let Some(pins) = &new.action_pins {
        return Ok(pins.clone());
    }
    let text = match (new.called.get(LOCK_FILE), &new.source) {
        (Some(text), _) => Some(text.clone()),
        (None, Source::Git { clone_url, sha, .. }) if uses_actions(&new.workflow) => {
            match services.mirrors.file(clone_url, sha, LOCK_FILE).await {
                Ok(file) => file.map(|file| file.text).transpose().map_err(unreadable)?,
                // No such commit or repository: there is nothing to check out either, which the job says.
                Err(MirrorError::Missing(_)) => None,
                Err(MirrorError::Failed(why)) => return Err(unreadable(why)),
            }
        }
        (None, _) => None,
    };
    match text {
        Some(text) => read(&text).map_err(refused),
        None => Ok(BTreeMap::new()),
    }
}

/// Whether a workflow may use anything that a lock file pins: more than built-in actions, or their originals.
fn uses_actions(workflow: &str) -> bool {
    let built_in = |value: &str| {
        let value = value.trim_start_matches([' ', '"', '\'']);
        // An artifact of another run is the original's to download.
        let mut names = BUILT_IN.iter().filter(|name| **name != "actions/download-artifact");
        names.any(|name| value.strip_prefix(name).is_some_and(|rest| rest.starts_with('@')))
    };
    if workflow.contains("SLIPWAY_ORIGINAL_ACTIONS") {
        return true;
    }
    workflow
        .split("uses")
        .skip(1)
        .filter_map(|rest| rest.trim_start_matches(['"', '\'', ' ']).strip_prefix(':'))
        .any(|value| !built_in(value))
}

fn refused(diagnostic: Diagnostic) -> SubmitError {
    SubmitError::Workflow { file: LOCK_FILE.to_owned(), diagnostics: vec![diagnostic] }
}

fn unreadable(why: String) -> SubmitError {
    refused(Diagnostic {
        file: LOCK_FILE.to_owned(),
        line: 1,
        column: 1,
        severity: Severity::Error,
        code: "lock-file".into(),
        message: format!("the lock file cannot be read: {why}"),
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::uses_actions;

    #[test]
    fn built_in_actions_need_no_lock_file() {
        for (workflow, wanted) in [
            ("steps:\n- run: make", false),
            ("- uses: actions/checkout@v5\n- \"uses\" : 'actions/checkout@v4'", false),
            ("- uses: actions/checkout@v5\n- uses: ./local", true),
            ("- uses: actions/cache/save@v5\n- uses: actions/upload-artifact@v7", false),
            ("- uses: actions/cachet@v5", true),
            ("- uses: actions/download-artifact@v8", true),
            ("env: {SLIPWAY_ORIGINAL_ACTIONS: true}\nsteps: [{uses: actions/cache@v5}]", true),
            ("{ uses: \"o/r@v1\" }", true),
            ("- uses:\n    o/r@v1", true),
        ] {
            assert_eq!(uses_actions(workflow), wanted, "{workflow}");
        }
    }
}
