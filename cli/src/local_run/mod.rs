//! What a private fleet's run leaves for the next one of the same checkout: its number, and the jobs that succeeded.
//!
//! [`Kept`] is the file, [`definition`] tells whether a job still says what it said, [`again`] decides what is carried
//! over, and [`LocalRun`] is the run that is under way.

mod again;
mod definition;
mod kept;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use slipway_kit::clock::{Clock, SystemClock};

use crate::checkout::Checkout;
use crate::client::Client;
use crate::client::types::CarriedJob;
use crate::failure::Failure;
use crate::occasion::Occasion;
use crate::output;
use crate::output::style;

pub use again::recall;
use kept::KeptJob;
pub(crate) use kept::hash;
pub use kept::{Flags, KEPT_FOR, Kept, KeptRuns};

/// A run on a private fleet.
pub struct LocalRun {
    /// `None`: there is no home to keep anything in.
    runs: Option<KeptRuns>,
    kept: Kept,
    carried: Vec<KeptJob>,
    definitions: BTreeMap<String, String>,
    wanted: Vec<String>,
}

impl LocalRun {
    /// The next run of this workflow; with `last`, the next attempt of that one, of which `wanted` jobs run that are not
    /// carried over.
    ///
    /// # Errors
    /// A file cannot be read, or nothing is left to repeat.
    pub fn of(
        occasion: &Occasion,
        flags: Flags,
        secret_names: Vec<String>,
        last: Option<Kept>,
        wanted: &[String],
    ) -> Result<Self, Failure> {
        let definitions = definition::of_jobs(&occasion.file.text, &occasion.called()?);
        let runs = KeptRuns::of_user();
        let before = || runs.as_ref()?.find(&occasion.checkout, &occasion.file.in_repository).ok().flatten();
        let carried = match &last {
            Some(last) => again::carried(last, &occasion.workflow, &definitions, wanted)?,
            None => Vec::new(),
        };
        let (run_number, run_attempt) = match &last {
            Some(last) => (last.run_number, last.run_attempt + 1),
            None => (before().map_or(1, |before| before.run_number + 1), 1),
        };
        let kept = Kept {
            workflow_file: occasion.file.in_repository.clone(),
            run_number,
            run_attempt,
            begun_ms: SystemClock.unix_ms(),
            flags,
            secret_names,
            // An attempt that is cut off takes nothing away from what was done before it.
            carried: last.map_or_else(Vec::new, |last| last.carried),
            ..Kept::default()
        };
        Ok(LocalRun { runs, kept, carried, definitions, wanted: wanted.to_vec() })
    }

    /// `github.run_number` and `github.run_attempt`.
    pub fn number(&self) -> (u64, u64) {
        (self.kept.run_number, self.kept.run_attempt)
    }

    /// The jobs that do not run again, as the coordinator takes them.
    pub fn carried(&self) -> Vec<CarriedJob> {
        self.carried.iter().map(|job| job.job.clone()).collect()
    }

    /// Whether this job does not run again.
    pub fn carries(&self, job: &str) -> bool {
        self.carried.iter().any(|carried| carried.job.id == job)
    }

    /// What to say of each of them.
    pub fn remarks(&self) -> BTreeMap<String, String> {
        let now_ms = SystemClock.unix_ms();
        let remark =
            |job: &KeptJob| format!("carried over from the run begun {}", style::ago(job.since_ms, now_ms));
        self.carried.iter().map(|job| (job.job.id.clone(), remark(job))).collect()
    }

    /// The runs of this checkout that may still be repeated, this one among them, as path of the workflow and number.
    pub fn repeatable(&self, checkout: &Checkout) -> Vec<(String, u64)> {
        let all = self.runs.as_ref().map_or_else(Vec::new, |runs| runs.all(checkout));
        let others = all.into_iter().filter(|kept| kept.workflow_file != self.kept.workflow_file);
        let own = (self.kept.workflow_file.clone(), self.kept.run_number);
        others.map(|kept| (kept.workflow_file, kept.run_number)).chain([own]).collect()
    }

    /// Notes that the run begins, and whether its artifacts will be there afterwards; its number is never given again.
    pub fn begin(&mut self, checkout: &Checkout, artifacts: bool) {
        self.kept.artifacts = artifacts;
        self.write(checkout);
    }

    /// Keeps what succeeded, once the run has this result; whether `--failed` can go on from it.
    pub async fn end(&mut self, checkout: &Checkout, client: &Client, run: &str, result: &str) -> bool {
        if self.runs.is_none() {
            return false;
        }
        let carried = match client.carried(run).await {
            Ok(carried) => carried,
            Err(failure) => {
                output::note(&format!("note: what succeeded is not kept for --failed: {failure}"));
                return false;
            }
        };
        self.kept.result = Some(result.to_owned());
        self.kept.carried = self.merge(carried);
        self.write(checkout)
    }

    /// What succeeded now, and what succeeded before and was not asked for now (`--job`).
    fn merge(&self, carried: Vec<CarriedJob>) -> Vec<KeptJob> {
        let before = |id: &str| self.kept.carried.iter().find(|kept| kept.job.id == id);
        let definition = |id: &str| self.definitions.get(again::top(id)).cloned().unwrap_or_default();
        let mut merged: Vec<KeptJob> = carried
            .into_iter()
            .map(|job| KeptJob {
                since_ms: match before(&job.id) {
                    Some(kept) if self.carries(&job.id) => kept.since_ms,
                    _ => self.kept.begun_ms,
                },
                definition: definition(&job.id),
                job,
            })
            .collect();
        let asked = |id: &str| self.wanted.iter().any(|wanted| wanted == again::top(id));
        merged.extend(self.kept.carried.iter().filter(|kept| !asked(&kept.job.id)).cloned());
        merged
    }

    fn write(&mut self, checkout: &Checkout) -> bool {
        let Some(runs) = &self.runs else { return false };
        match runs.write(checkout, &mut self.kept) {
            Ok(()) => true,
            Err(error) => {
                let folder = runs.folder().display();
                output::note(&format!("note: this run is not kept for --failed: {folder}: {error}"));
                false
            }
        }
    }
}
