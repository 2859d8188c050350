//! `slipway run --failed`: which run is repeated, and which of its jobs are not run again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use slipway_kit::clock::{Clock, SystemClock};
use slipway_workflow::syntax::Workflow;

use super::kept::{KEPT_FOR, Kept, KeptJob, KeptRuns};
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::output::{self, escape, style};
use crate::workflow_file;

/// What to do where there is nothing to go on from.
const RUN_ALL: &str = "run it without --failed";

/// The last run of the named workflow, else of the checkout.
///
/// # Errors
/// Nothing is kept, it is too old, or nothing of it is left to repeat.
pub fn recall(checkout: &Checkout, workflow: Option<&str>) -> Result<Kept, Failure> {
    let runs = KeptRuns::of_user();
    let runs = runs.ok_or_else(|| {
        Failure::usage(
            "--failed: there is no home directory in which runs are kept: set HOME or XDG_STATE_HOME",
        )
    })?;
    let (kept, what) = match workflow {
        Some(name) => {
            let file = workflow_file::named(checkout, name)?;
            (runs.find(checkout, &file.in_repository)?, escape::name(&file.shown))
        }
        None => (runs.newest(checkout), format!("any workflow of {}", checkout.root.display())),
    };
    let kept = kept.ok_or_else(|| {
        Failure::usage(format!("--failed: no run of {what} on a private fleet is kept; {RUN_ALL} first"))
    })?;
    check(kept, SystemClock.unix_ms())
}

/// Whether there is something to repeat.
pub(super) fn check(kept: Kept, now_ms: u64) -> Result<Kept, Failure> {
    let file = escape::name(&kept.workflow_file);
    let ago = style::ago(kept.begun_ms, now_ms);
    let refuse = |why: String| Err(Failure::usage(format!("--failed: the last run of {file} ({ago}) {why}")));
    if Duration::from_millis(now_ms.saturating_sub(kept.begun_ms)) > KEPT_FOR {
        let days = KEPT_FOR.as_secs() / (24 * 3600);
        return refuse(format!("is too old, runs are kept for {days} days; {RUN_ALL}"));
    }
    match kept.result.as_deref() {
        Some("success") => refuse(
            "succeeded, nothing is left to repeat; leave --failed out to run everything again".to_owned(),
        ),
        _ if kept.too_long => refuse(format!("had outputs that were too long to keep; {RUN_ALL}")),
        None if kept.carried.is_empty() => {
            refuse(format!("was cut off before its end, so that nothing of it is kept; {RUN_ALL}"))
        }
        _ => Ok(kept),
    }
}

/// The job of the workflow that a job belongs to: itself, or its outermost caller.
pub(super) fn top(id: &str) -> &str {
    id.split(['/', '#']).next().unwrap_or(id)
}

/// The jobs that do not run again: those that succeeded, whose definition is the same, and whose needs do not run again.
/// Those that do although they succeeded are told.
///
/// # Errors
/// None of the `wanted` jobs would run.
pub(super) fn carried(
    last: &Kept,
    workflow: &Workflow,
    definitions: &BTreeMap<String, String>,
    wanted: &[String],
) -> Result<Vec<KeptJob>, Failure> {
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let succeeded: Vec<&KeptJob> =
        last.carried.iter().filter(|kept| wanted.contains(top(&kept.job.id))).collect();
    let changed: BTreeSet<&str> = succeeded
        .iter()
        .filter(|kept| definitions.get(top(&kept.job.id)) != Some(&kept.definition))
        .map(|kept| top(&kept.job.id))
        .collect();
    let mut carried: Vec<&KeptJob> =
        succeeded.iter().copied().filter(|kept| !changed.contains(top(&kept.job.id))).collect();
    let mut held_up: BTreeMap<&str, &str> = BTreeMap::new();
    loop {
        let done: BTreeSet<&str> = carried.iter().map(|kept| kept.job.id.as_str()).collect();
        let before = carried.len();
        carried.retain(|kept| {
            let needs = workflow.job(top(&kept.job.id)).map_or(&[][..], |job| &job.needs);
            let open = needs.iter().find(|need| !done.contains(need.id.as_str()));
            if let Some(open) = open {
                held_up.insert(top(&kept.job.id), open.id.as_str());
            }
            open.is_none()
        });
        if carried.len() == before {
            break;
        }
    }
    let whole = |job: &&str| carried.iter().any(|kept| kept.job.id == **job);
    if wanted.iter().all(whole) {
        return Err(Failure::usage(format!(
            "--failed: every job that is to run succeeded in the last run of {}; leave --failed out to run them again",
            escape::name(&last.workflow_file)
        )));
    }
    for job in changed {
        output::note(&format!("note: job `{job}` runs again: its definition changed since it succeeded"));
    }
    for (job, need) in held_up {
        output::note(&format!("note: job `{job}` runs again: it needs `{need}`, which does"));
    }
    Ok(carried.into_iter().cloned().collect())
}
