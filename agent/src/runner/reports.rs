//! Reports at the end of a job.
//!
//! Invariant: what they say is committed together with the job's outcome, in one group of its journal. An agent that dies before
//! leaves neither, and the next one reads them again; so no case is missing and none comes twice.

use std::sync::PoisonError;

use slipway_workflow::job_spec::StepAction;

use super::attempt::Attempt;
use super::course::{Activity, Stage};
use crate::limits::{REPORTS_CHECKOUTS_MAX, REPORTS_TIME, REPORTS_TIME_GRACE, REPORTS_WARNINGS_MAX};
use crate::records::log::JobLog;
use crate::reports::records::{others, summaries};
use crate::reports::said::all;
use crate::reports::{Collected, OTHERS_VARIABLE, VARIABLE, Wanted, Warning, collect, cut};
use crate::steps::annotations::Level;
use crate::steps::commands::{Effect, LineOutcome};

const NS_PER_MS: u64 = 1_000_000;

impl Attempt {
    /// Reads the reports that the job's steps wrote and puts what they say in the log.
    pub(super) async fn read_reports(&self, log: &mut JobLog) {
        // Whoever cancels does not wait for more. Of a job that ran out of time one wants to know how far it came.
        if self.saved.cancelled_ms.is_some() && !self.saved.timed_out {
            return;
        }
        let wanted = Wanted {
            workspace: self.workspace_inside(),
            work: self.folder.work(),
            seen: self.layout(self.in_container()).workspace(),
            variable: self.saved.state.env().get(VARIABLE).map(str::to_owned),
            others: self.saved.state.env().get(OTHERS_VARIABLE).map(str::to_owned),
            since_ns: self.saved.started_ms.unwrap_or_default().saturating_mul(NS_PER_MS),
            checkouts: self.saved.checkouts.clone(),
        };
        let masks = log.shared_masks();
        let reading = tokio::task::spawn_blocking(move || {
            let clean = |text: &str, max_bytes| {
                let masked = masks.lock().unwrap_or_else(PoisonError::into_inner).mask_str(text);
                cut(masked, max_bytes)
            };
            collect(&wanted, &clean)
        });
        let collected = match tokio::time::timeout(REPORTS_TIME + REPORTS_TIME_GRACE, reading).await {
            Ok(Ok(collected)) => collected,
            Ok(Err(error)) => {
                tracing::error!(attempt = %self.saved.lease.attempt, %error, "reading reports failed");
                return;
            }
            Err(_) => {
                log.remark(Level::Warning, "No reports are read: the disk takes too long");
                return;
            }
        };
        tell(log, collected);
    }

    /// An activity has ended that began at this time, Unix milliseconds: of a checkout it is noted, so that what it brought does
    /// not count as the job's own.
    pub(super) fn note_checkout(&mut self, activity: &Activity, started_ms: u64) {
        let StepAction::Uses { action, .. } = &activity.step.action else { return };
        if activity.stage != Stage::Main || !action.is_at("actions/checkout", "") {
            return;
        }
        // What was written within the same millisecond before it is still somebody else's.
        let from_ns = (started_ms + 1).saturating_mul(NS_PER_MS);
        self.saved.note_checkout((from_ns, file_clock_ns()));
    }
}

impl super::saved::Saved {
    /// Remembers when a checkout went on.
    pub(super) fn note_checkout(&mut self, (from_ns, to_ns): (u64, u64)) {
        let full = self.checkouts.len() >= REPORTS_CHECKOUTS_MAX;
        match self.checkouts.last_mut() {
            Some(last) if full => last.1 = last.1.max(to_ns),
            _ => self.checkouts.push((from_ns, to_ns)),
        }
    }
}

/// The clock that files are stamped with: it lags up to a tick behind the one that programs read.
fn file_clock_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

fn tell(log: &mut JobLog, mut collected: Collected) {
    let more = collected.warnings.len().saturating_sub(REPORTS_WARNINGS_MAX);
    collected.warnings.truncate(REPORTS_WARNINGS_MAX);
    for Warning { file, place: (line, column), text } in collected.warnings.drain(..) {
        let mut outcome = LineOutcome::default();
        outcome.remark(Level::Warning, &text);
        if let Some(Effect::Annotate(annotation)) = outcome.effects.last_mut() {
            annotation.file = file;
            let [line, column] = [line, column].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
            (annotation.line, annotation.end_line) = (line, line);
            (annotation.column, annotation.end_column) = (column, column);
        }
        log.outcome(outcome);
    }
    if more > 0 {
        log.say(&format!("and {more} more warnings about reports"));
    }
    for line in all(&collected) {
        log.say(&line);
    }
    for summary in summaries(collected.reports) {
        log.report(summary);
    }
    for summary in others(collected.others) {
        log.report(summary);
    }
}
