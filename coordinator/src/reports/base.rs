//! The run that a run's reports are compared with: the newest one of the same workflow on its base branch that had ended by then
//! and has reports.
//!
//! It is looked for in the state and read from records, not in the history's tables: those may lag, and decide nothing.

use serde_json::Value as Json;
use slipway_cas::Digest;
use slipway_scheduler::RunId;
use slipway_scheduler::state::Run;

use super::gathered::Reports;
use crate::driver::{DriverError, View};
use crate::services::Services;

/// Runs that are looked at for it, newest first.
const RUNS_LOOKED_AT: usize = 10_000;

/// Runs of the base branch whose records are read for it: the newest ones may have been cancelled before they had reports.
pub(super) const BASES_MAX: usize = 5;

/// Events whose runs show how a branch is: the others may run somebody's proposal.
const EVENTS: [&str; 3] = ["push", "schedule", "workflow_dispatch"];

/// What is to be known of a run to find its base and its gates.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) run: RunId,
    pub(super) repository: String,
    pub(super) forge: String,
    pub(super) event_name: String,
    pub(super) sha: String,
    pub(super) event: Json,
    workflow_file: String,
    git_ref: String,
}

struct Known {
    about: About,
    event: Digest,
}

/// Looks at a run; none: it is not known.
pub(super) async fn about(services: &Services, run: RunId) -> Result<Option<About>, DriverError> {
    let look = move |view: View<'_>| {
        let found = view.state.run(run)?;
        let meta = found.meta();
        let about = About {
            run,
            repository: meta.repository.clone(),
            forge: meta.forge.clone(),
            event_name: meta.event_name.clone(),
            sha: meta.sha.clone(),
            event: Json::Null,
            workflow_file: meta.workflow_file.clone(),
            git_ref: meta.git_ref.clone(),
        };
        Some(Known { about, event: found.event() })
    };
    let Some(known) = services.driver.query(look).await? else { return Ok(None) };
    let mut about = known.about;
    // One that is gone names no base; then the run's own ref is it.
    if let Ok(event) = services.store.get(known.event).await
        && let Ok(event) = serde_json::from_slice(&event)
    {
        about.event = event;
    }
    Ok(Some(about))
}

impl About {
    /// The full ref of its base branch: where a pull request or a merge group goes to, or else the default branch.
    pub(super) fn base_ref(&self) -> String {
        let text = |pointer: &str| self.event.pointer(pointer).and_then(Json::as_str);
        if let Some(base) = text("/merge_group/base_ref") {
            return base.to_owned();
        }
        match text("/pull_request/base/ref").or_else(|| text("/repository/default_branch")) {
            Some(branch) => format!("refs/heads/{branch}"),
            None => self.git_ref.clone(),
        }
    }

    /// The commit whose gates count: of a pull request its base, so that nobody can propose to be judged by less.
    pub(super) fn gates_sha(&self) -> &str {
        let base = self.event.pointer("/pull_request/base/sha").and_then(Json::as_str);
        base.filter(|_| self.event_name.starts_with("pull_request")).unwrap_or(&self.sha)
    }
}

/// The runs that may be the base, the best first. `by_ms`: they had ended by then.
pub(super) async fn candidates(
    services: &Services,
    about: &About,
    by_ms: u64,
) -> Result<Vec<RunId>, DriverError> {
    let (about, base_ref) = (about.clone(), about.base_ref());
    let look = move |view: View<'_>| {
        let fits = |run: &&Run| {
            let meta = run.meta();
            run.id() != about.run
                && meta.repository == about.repository
                && meta.forge == about.forge
                && meta.workflow_file == about.workflow_file
                && meta.git_ref == base_ref
                && EVENTS.contains(&meta.event_name.as_str())
                && run.end().is_some_and(|end| end.at.0 <= by_ms)
        };
        let newest = view.state.runs().rev().take(RUNS_LOOKED_AT).filter(fits);
        newest.take(BASES_MAX).map(Run::id).collect()
    };
    services.driver.query(look).await
}

/// A base that was found.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) run: RunId,
    pub(super) reports: Reports,
}
