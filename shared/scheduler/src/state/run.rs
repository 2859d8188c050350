//! One run and its jobs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::command::{Concurrency, RunMeta};
use crate::ids::{InstanceId, JobId, RunId};
use crate::outcome::{FleetCause, JobResult};
use crate::time::Timestamp;

use super::group;

/// One run. Read-only outside this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub(crate) id: RunId,
    pub(crate) meta: RunMeta,
    pub(crate) workflow: Digest,
    pub(crate) event: Digest,
    pub(crate) context: Digest,
    pub(crate) submitted_at: Timestamp,
    /// In file order.
    pub(crate) jobs: Vec<Job>,
    pub(crate) positions: BTreeMap<JobId, u32>,
    /// Jobs that are not finished.
    pub(crate) open: u32,
    pub(crate) cancelled: Option<Cancelled>,
    pub(crate) end: Option<RunEnd>,
    #[serde(default)]
    pub(crate) concurrency: Option<Concurrency>,
    /// Its place among those that wait for its group; `None`: it holds the group, or has none. A run that was cancelled
    /// while it waited keeps it.
    #[serde(default)]
    pub(crate) waits: Option<u64>,
}

/// Who cancelled a run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Its result.
    pub result: JobResult,
    /// What of the fleet failed, where that is why.
    pub cause: Option<FleetCause>,
    /// When.
    pub at: Timestamp,
}

/// One job of a run. Read-only outside this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub(crate) id: JobId,
    /// Positions of the jobs that it waits for.
    pub(crate) needs: Vec<u32>,
    /// Positions of the jobs that wait for it.
    pub(crate) dependants: Vec<u32>,
    pub(crate) strict: bool,
    pub(crate) stage: Stage,
    pub(crate) lineage: Lineage,
    /// In the matrix' order.
    pub(crate) instances: Vec<InstanceId>,
    /// Instances that `max-parallel` holds back, by their place in `instances`.
    pub(crate) held: BTreeSet<u32>,
    /// Instances that are not finished.
    pub(crate) open: u32,
    /// Outputs in the order in which instances finished.
    pub(crate) outputs: Vec<Digest>,
    pub(crate) fail_fast: bool,
    pub(crate) max_parallel: Option<u32>,
    /// Why it was skipped or could not be evaluated.
    pub(crate) message: Option<String>,
    /// Whether an earlier attempt of the run did it.
    #[serde(default)]
    pub(crate) carried: bool,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Some of its needs are open.
    Waiting,
    /// Its needs are done, and it is being planned.
    Ready,
    /// It has instances, and some are open.
    Expanded,
    /// It is done.
    Finished {
        /// What `needs.<job>.result` says.
        result: JobResult,
        /// What people see.
        conclusion: JobResult,
        /// When.
        at: Timestamp,
    },
}

/// What became of a job's ancestors, near and far: what `success()`, `failure()` and `cancelled()` of a job's `if` ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Some ancestor failed.
    pub failed: bool,
    /// Some ancestor was cancelled.
    pub cancelled: bool,
    /// Some ancestor was skipped.
    pub skipped: bool,
}

impl Lineage {
    pub(crate) fn add(&mut self, result: JobResult, above: Self) {
        self.failed |= above.failed || result == JobResult::Failure;
        self.cancelled |= above.cancelled || result == JobResult::Cancelled;
        self.skipped |= above.skipped || result == JobResult::Skipped;
    }

    /// Whether all ancestors succeeded.
    #[must_use]
    pub const fn all_succeeded(self) -> bool {
        !self.failed && !self.cancelled && !self.skipped
    }
}

impl Run {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// What it is about.
    #[must_use]
    pub fn meta(&self) -> &RunMeta {
        &self.meta
    }

    /// The workflow file's blob.
    #[must_use]
    pub fn workflow(&self) -> Digest {
        self.workflow
    }

    /// The event payload's blob.
    #[must_use]
    pub fn event(&self) -> Digest {
        self.event
    }

    /// The blob of inputs, variables and source.
    #[must_use]
    pub fn context(&self) -> Digest {
        self.context
    }

    /// When it was accepted.
    #[must_use]
    pub fn submitted_at(&self) -> Timestamp {
        self.submitted_at
    }

    /// Its jobs in file order.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The job of this id.
    #[must_use]
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.positions.get(id).and_then(|&position| self.jobs.get(position as usize))
    }

    /// Who cancelled it, if somebody did.
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        self.cancelled.as_ref()
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// Its workflow's `concurrency`.
    #[must_use]
    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.concurrency.as_ref()
    }

    /// Whether it waits for its concurrency group.
    #[must_use]
    pub fn waits_for_group(&self) -> bool {
        self.waits.is_some() && self.end.is_none()
    }

    pub(crate) fn group_key(&self) -> Option<(String, String)> {
        let group = &self.concurrency.as_ref()?.group;
        Some(group::key(&self.meta.forge, &self.meta.repository, group))
    }

    /// The jobs whose needs are done and that nobody looked at yet.
    pub(crate) fn startable(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.stage == Stage::Waiting && self.needs(job).all(Job::is_finished))
    }

    /// The jobs that this one waits for, in the order of its `needs`.
    pub fn needs<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Job> {
        job.needs.iter().filter_map(|&position| self.jobs.get(position as usize))
    }
}

impl Job {
    /// Its id in the file.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Where it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What `needs.<job>.result` says, once it is finished.
    #[must_use]
    pub fn result(&self) -> Option<JobResult> {
        match self.stage {
            Stage::Finished { result, .. } => Some(result),
            _ => None,
        }
    }

    /// What people see, once it is finished.
    #[must_use]
    pub fn conclusion(&self) -> Option<JobResult> {
        match self.stage {
            Stage::Finished { conclusion, .. } => Some(conclusion),
            _ => None,
        }
    }

    /// Outputs of its instances in the order in which these finished: of equal keys the last non-empty one counts.
    #[must_use]
    pub fn outputs(&self) -> &[Digest] {
        &self.outputs
    }

    /// What became of its ancestors. Complete once it is ready.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Its instances in the matrix' order; empty until it has been planned.
    #[must_use]
    pub fn instances(&self) -> &[InstanceId] {
        &self.instances
    }

    /// Why it was skipped or could not be evaluated.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Whether an earlier attempt of the run did it: it has a result and outputs, and no instances.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.carried
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished { .. })
    }
}
