//! All files of a run: its workflow and the reusable ones that it calls, near and far, gathered when it is submitted.
//!
//! Invariant: a run never reads a called file again; what it calls at a branch or tag is pinned to the commit that this had
//! at the submission. Number, depth and size are bounded, and what cannot be had is told once, at the caller's line.
//!
//! Deliberately absent: whether a call is right (inputs, secrets, cycles): that is the language's to say
//! ([`slipway_workflow::calls::check`]); it is asked here once all files are there.

mod lock;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
pub use slipway_workflow::calls::{CALLED_MAX, LEVELS_MAX};
use slipway_workflow::calls::{FileName, Files, check};
use slipway_workflow::diagnostics::{Diagnostic, Severity};
use slipway_workflow::syntax::{self, Call, Workflow};

use super::{MAX_WORKFLOW_BYTES, NewRun, SubmitError};
use crate::services::Services;
pub(super) use lock::pins;
use source::Found;

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

/// A run's files, and its own one as the language reads it.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// All texts.
    pub bundle: Bundle,
    /// The run's own workflow.
    pub workflow: Arc<Workflow>,
}

/// Gathers what a run calls; without calls only its own file is in there.
///
/// # Errors
/// A file cannot be had or is not valid, a call is wrong, or there is too much.
pub async fn gather(services: &Services, new: &NewRun) -> Result<Gathered, SubmitError> {
    let main = FileName::local(&new.workflow_file);
    let mut bundle = Bundle::default();
    let mut files = Files::new();
    let workflow = Arc::new(parse(&main, &new.workflow, &new.workflow_file)?);
    bundle.files.insert(main.to_string(), new.workflow.clone());
    files.insert(main.to_string(), Arc::clone(&workflow));
    let mut total_bytes = new.workflow.len();
    let mut level = vec![(main.clone(), Arc::clone(&workflow))];
    for depth in 1.. {
        let mut next = Vec::new();
        for (caller, text) in &level {
            for call in text.jobs.iter().filter_map(|job| job.call.as_ref()) {
                let refused = |message: String, hint| refusal(&text.file, call, message, hint);
                let called =
                    caller.called(&call.uses.text).map_err(|problem| refused(problem.to_owned(), None))?;
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
                let parsed = Arc::new(parse(&called, &text, &new.workflow_file)?);
                bundle.commits.extend(commit);
                bundle.files.insert(called.to_string(), text);
                files.insert(called.to_string(), Arc::clone(&parsed));
                next.push((called, parsed));
            }
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    let wrong = check(&main, &files, &|_| true);
    if wrong.is_empty() {
        return Ok(Gathered { bundle, workflow });
    }
    Err(SubmitError::Workflow { file: new.workflow_file.clone(), diagnostics: wrong })
}

fn parse(name: &FileName, text: &str, run_file: &str) -> Result<Workflow, SubmitError> {
    syntax::parse(&name.to_string(), text)
        .map_err(|diagnostics| SubmitError::Workflow { file: run_file.to_owned(), diagnostics })
}

fn refusal(file: &str, call: &Call, message: String, hint: Option<&str>) -> SubmitError {
    let diagnostic = Diagnostic {
        file: file.to_owned(),
        line: call.uses.line,
        column: call.uses.column,
        severity: Severity::Error,
        code: "called-workflow".into(),
        message: format!("`{}`: {message}", call.uses.text),
        hint: hint.map(str::to_owned),
    };
    SubmitError::Workflow { file: file.to_owned(), diagnostics: vec![diagnostic] }
}
