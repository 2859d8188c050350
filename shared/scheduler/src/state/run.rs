//! One run and its jobs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::command::{CallDefinition, CarriedJob, Concurrency, RunMeta, Standing};
use crate::ids::{InstanceId, JobId, RunId};
use crate::outcome::{FleetCause, JobResult};
use crate::time::Timestamp;

use super::call::{Call, Parent};
use super::group;
use crate::limits::CALL_LEVELS_MAX;

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
    /// Whether it is not in its group yet: somebody has to let it in. It waits meanwhile, at no place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
    /// Jobs of calls that an earlier attempt did, until their callers become calls.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) carried_calls: BTreeMap<JobId, CarriedJob>,
    #[serde(default, skip_serializing_if = "Standing::is_default")]
    pub(crate) standing: Standing,
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
    /// The calls that it became, in the matrix' order; a job has instances or calls, never both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) calls: Vec<Call>,
    /// The call that it belongs to; `None`: it is a job of the run's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Parent>,
    /// Instances or calls that `max-parallel` holds back, by their place in `instances` or `calls`.
    pub(crate) held: BTreeSet<u32>,
    /// Instances or calls that are not finished.
    pub(crate) open: u32,
    /// Outputs in the order in which instances or calls finished.
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
    /// It has instances or calls, and some are open.
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

    /// Where it stands beside other runs.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
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

    /// Whether it is not in its concurrency group yet: whoever held it has to let it in.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held && self.end.is_none()
    }

    pub(crate) fn group_key(&self) -> Option<group::Key> {
        Some(self.key_of(self.concurrency.as_ref()?))
    }

    /// The key of a group of this run's repository.
    pub(crate) fn key_of(&self, concurrency: &Concurrency) -> group::Key {
        self.key(group::Kind::Concurrency, &concurrency.group)
    }

    /// The key of the turns at an environment of this run's repository.
    pub(crate) fn turn_key(&self, environment: &str) -> group::Key {
        self.key(group::Kind::Turns, environment)
    }

    fn key(&self, kind: group::Kind, name: &str) -> group::Key {
        group::Key::of(kind, &self.meta.forge, &self.meta.repository, name)
    }

    /// The call that a job belongs to.
    #[must_use]
    pub fn call_of(&self, job: &Job) -> Option<&Call> {
        let parent = job.parent?;
        self.jobs.get(parent.job as usize)?.calls.get(parent.call as usize)
    }

    /// The job that called the file that a job stands in.
    #[must_use]
    pub fn caller_of(&self, job: &Job) -> Option<&Job> {
        self.jobs.get(job.parent?.job as usize)
    }

    /// The calls that a job belongs to, innermost first.
    pub fn calls_above<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Call> {
        let above = std::iter::successors(Some(job), |job| self.caller_of(job));
        above.filter_map(|job| self.call_of(job)).take(CALL_LEVELS_MAX)
    }

    /// Whether a job is planned as one of a cancelled run: the run is, or a call that the job belongs to.
    #[must_use]
    pub fn is_cancelled_for(&self, job: &Job) -> bool {
        self.cancelled.is_some() || self.calls_above(job).any(|call| call.cancelled)
    }

    /// The jobs of a call, in its file's order.
    pub fn jobs_of<'a>(&'a self, call: &'a Call) -> impl Iterator<Item = &'a Job> {
        call.jobs.iter().filter_map(|&position| self.jobs.get(position as usize))
    }

    /// Its jobs, each followed by those of its calls.
    #[must_use]
    pub fn jobs_in_order(&self) -> Vec<&Job> {
        let mut ordered = Vec::with_capacity(self.jobs.len());
        // What is still to be shown, the next one last.
        let mut open: Vec<&Job> = self.jobs.iter().filter(|job| job.parent.is_none()).rev().collect();
        while let Some(job) = open.pop() {
            ordered.push(job);
            let below: Vec<&Job> = job.calls.iter().flat_map(|call| self.jobs_of(call)).collect();
            open.extend(below.into_iter().rev());
        }
        ordered
    }

    /// Which jobs of a call an earlier attempt did, by their place: they and all that they need were carried over from an
    /// equal call.
    pub(crate) fn carried_in(&self, call: &CallDefinition) -> BTreeMap<usize, &CarriedJob> {
        let mut carried: BTreeMap<usize, &CarriedJob> = BTreeMap::new();
        if self.carried_calls.is_empty() {
            return carried;
        }
        let places: BTreeMap<&str, usize> =
            call.jobs.iter().enumerate().map(|(at, job)| (job.id.as_str(), at)).collect();
        loop {
            let before = carried.len();
            for (at, job) in
                call.jobs.iter().enumerate().filter(|(at, _)| !carried.contains_key(at)).collect::<Vec<_>>()
            {
                let found = self.carried_calls.get(&job.id.below(&call.id));
                let Some(found) = found.filter(|found| found.call == Some(call.context)) else { continue };
                let done =
                    |need: &JobId| places.get(need.as_str()).is_some_and(|at| carried.contains_key(at));
                if job.needs.iter().all(done) {
                    carried.insert(at, found);
                }
            }
            if carried.len() == before {
                return carried;
            }
        }
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

    /// The calls that it became, in the matrix' order; empty unless it calls a reusable workflow and was planned.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
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
