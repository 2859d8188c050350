//! All files of a run: its workflow and the reusable ones that it calls, near and far, gathered when it is submitted.
//!
//! Invariant: a run never reads a called file again; what it calls at a branch or tag is pinned to the commit that this had
//! at the submission. Number, depth and size are bounded, and what cannot be had is told once, at the caller's line.
//!
//! Deliberately absent: whether a call is right (inputs, secrets, cycles): that is the language's.

mod calls;
mod key;
mod lock;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_workflow::diagnostics::{Diagnostic, Severity};

use super::{MAX_WORKFLOW_BYTES, NewRun, SubmitError};
use crate::services::Services;
use calls::Call;
use key::Key;
pub(super) use lock::pins;
use source::Found;

/// The most files that a run calls, as on GitHub.
pub const CALLED_MAX: usize = 50;

/// The deepest nesting, the run's own workflow included, as on GitHub.
pub const LEVELS_MAX: usize = 10;

/// The most bytes of all files together.
pub const BUNDLE_MAX_BYTES: usize = 10 * MAX_WORKFLOW_BYTES;

/// A run's files, as a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Texts by name: a path of the run's repository, or `owner/repo/path@ref`.
    pub files: BTreeMap<String, String>,
    /// The commit of each `owner/repo@ref` that is named.
    #[serde(default)]
    pub commits: BTreeMap<String, String>,
}

impl Bundle {
    /// Gathers what a run calls; without calls only its own file is in there.
    ///
    /// # Errors
    /// A file cannot be had, or there is too much.
    pub async fn gather(services: &Services, new: &NewRun) -> Result<Self, SubmitError> {
        gather(services, new).await
    }
}

async fn gather(services: &Services, new: &NewRun) -> Result<Bundle, SubmitError> {
    let main = Key::Local { path: new.workflow_file.clone() };
    let mut bundle = Bundle::default();
    bundle.files.insert(main.to_string(), new.workflow.clone());
    let mut total_bytes = new.workflow.len();
    let mut level = vec![main];
    for depth in 1.. {
        let mut next = Vec::new();
        for caller in &level {
            let name = caller.to_string();
            let text = bundle.files.get(&name).cloned().unwrap_or_default();
            for call in calls::of(&text) {
                let refused = |message: String, hint: Option<&str>| refusal(&name, &call, message, hint);
                let called = match caller.called(&call.uses) {
                    Some(called) => called,
                    // What it is, the language says better.
                    None => continue,
                };
                if bundle.files.contains_key(&called.to_string()) {
                    continue;
                }
                if depth >= LEVELS_MAX {
                    return Err(refused(
                        format!("workflows call each other more than {LEVELS_MAX} deep"),
                        None,
                    ));
                }
                if bundle.files.len() > CALLED_MAX {
                    return Err(refused(format!("a run calls at most {CALLED_MAX} workflows"), None));
                }
                let Found { text, commit } = source::find(services, new, &called)
                    .await
                    .map_err(|missing| refused(missing.message, missing.hint))?;
                total_bytes = total_bytes.saturating_add(text.len());
                if total_bytes > BUNDLE_MAX_BYTES {
                    let message =
                        format!("all its workflows together are longer than {BUNDLE_MAX_BYTES} bytes");
                    return Err(refused(message, None));
                }
                bundle.commits.extend(commit);
                bundle.files.insert(called.to_string(), text);
                next.push(called);
            }
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    Ok(bundle)
}

fn refusal(file: &str, call: &Call, message: String, hint: Option<&str>) -> SubmitError {
    let diagnostic = Diagnostic {
        file: file.to_owned(),
        line: call.line,
        column: call.column,
        severity: Severity::Error,
        code: "called-workflow".into(),
        message: format!("`{}`: {message}", call.uses),
        hint: hint.map(str::to_owned),
    };
    SubmitError::Workflow { file: file.to_owned(), diagnostics: vec![diagnostic] }
}
