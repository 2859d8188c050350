//! What follows when an instance ends: its siblings stop or move up, its job finishes, other jobs become ready, the run
//! finishes.
//!
//! One decision may end many instances and jobs before any of it is applied, so this keeps the ends decided so far beside
//! the state, and each question is asked of both.

use std::collections::BTreeMap;

use slipway_cas::Digest;

use crate::decide::group::Heir;
use crate::event::Event;
use crate::ids::InstanceId;
use crate::outcome::{CancelReason, FleetCause, JobResult};
use crate::policy;
use crate::state::{Instance, Job, Phase, Run, Stage, State};
use crate::time::Timestamp;

pub(super) struct Cascade<'s> {
    state: &'s State,
    run: &'s Run,
    now: Timestamp,
    pub(super) events: Vec<Event>,
    /// Instances that this decision ended, with what of the fleet failed.
    ended: BTreeMap<InstanceId, (JobResult, Option<FleetCause>)>,
    /// How many of each job.
    ended_of: BTreeMap<u32, u32>,
    /// Jobs that this decision finished, by position, with what they count as.
    finished: BTreeMap<u32, JobResult>,
    cancelled: bool,
    /// Who gets the run's concurrency group, where that is not who waits for it first.
    pub(super) heir: Option<Heir>,
}

impl<'s> Cascade<'s> {
    pub(super) fn new(state: &'s State, run: &'s Run, now: Timestamp) -> Self {
        Self {
            state,
            run,
            now,
            events: Vec::new(),
            ended: BTreeMap::new(),
            ended_of: BTreeMap::new(),
            finished: BTreeMap::new(),
            cancelled: run.cancelled.is_some(),
            heir: None,
        }
    }

    /// An instance has its result.
    pub(super) fn finish_instance(
        &mut self,
        instance: &Instance,
        result: JobResult,
        outputs: Option<Digest>,
        cause: Option<FleetCause>,
    ) {
        self.end_instance(instance, result, outputs, cause);
        let Some(job) = self.run.jobs.get(instance.job as usize) else { return };
        let failed = policy::effective(result, instance.definition.continue_on_error) == JobResult::Failure;
        if job.fail_fast && failed {
            self.stop_instances(job, &CancelReason::FailFast { by: instance.id() });
        } else if let Some(next) = job.held.first().and_then(|&at| job.instances.get(at as usize)) {
            self.events.push(Event::InstanceQueued { instance: *next, at: self.now });
        }
        self.settle_job(instance.job, job);
    }

    /// Somebody cancelled the run: whatever waits ends, whatever is leased is asked to stop, what is being planned is
    /// planned again (once: then the planner knows).
    pub(super) fn cancel_run(&mut self) {
        let first = !std::mem::replace(&mut self.cancelled, true);
        let run = self.run;
        for (position, job) in (0..).zip(&run.jobs) {
            match job.stage {
                Stage::Expanded => {
                    self.stop_instances(job, &CancelReason::Run);
                    self.settle_job(position, job);
                }
                Stage::Ready if first => {
                    self.events.push(Event::JobReady { run: run.id, job: job.id.clone() })
                }
                Stage::Waiting | Stage::Ready | Stage::Finished { .. } => {}
            }
        }
    }

    /// A job is done; so may be the run.
    pub(super) fn finish_job(
        &mut self,
        position: u32,
        job: &'s Job,
        result: JobResult,
        conclusion: JobResult,
    ) {
        self.finished.insert(position, result);
        let (run, at) = (self.run, self.now);
        self.events.push(Event::JobFinished { run: run.id, job: job.id.clone(), result, conclusion, at });
        for dependant in job.dependants.iter().filter_map(|&at| run.jobs.get(at as usize)) {
            if dependant.needs.iter().all(|&need| self.is_finished(need)) {
                self.events.push(Event::JobReady { run: run.id, job: dependant.id.clone() });
            }
        }
        if run.open as usize == self.finished.len() {
            self.finish_run();
        }
    }

    fn finish_run(&mut self) {
        let run = self.run;
        let results =
            (0..).zip(&run.jobs).filter_map(|(at, job)| self.finished.get(&at).copied().or(job.result()));
        let result = policy::run_result(results, self.cancelled);
        let cause = (result == JobResult::Failure).then(|| self.first_cause()).flatten();
        self.events.push(Event::RunFinished { run: run.id, result, cause, at: self.now });
        if let Some(heir) = self.heir.take().or_else(|| Heir::of(self.state, run)) {
            self.events.extend(heir.events(self.now));
        }
    }

    /// What of the fleet failed first, in the jobs' order, where it counts.
    fn first_cause(&self) -> Option<FleetCause> {
        let instances = self.run.jobs.iter().flat_map(|job| self.state.instances_of(job));
        instances.filter(|instance| !instance.definition.continue_on_error).find_map(|instance| {
            self.ended.get(&instance.id()).map_or_else(|| instance.cause(), |(_, cause)| *cause)
        })
    }

    fn end_instance(
        &mut self,
        instance: &Instance,
        result: JobResult,
        outputs: Option<Digest>,
        cause: Option<FleetCause>,
    ) {
        self.ended.insert(instance.id(), (result, cause));
        *self.ended_of.entry(instance.job).or_default() += 1;
        let instance = instance.id();
        self.events.push(Event::InstanceFinished { instance, result, outputs, cause, at: self.now });
    }

    fn stop_instances(&mut self, job: &Job, reason: &CancelReason) {
        for instance in self.state.instances_of(job) {
            if self.ended.contains_key(&instance.id()) {
                continue;
            }
            match instance.phase {
                Phase::Held | Phase::Waiting { .. } => {
                    self.end_instance(instance, JobResult::Cancelled, None, None);
                }
                Phase::Leased { .. } if instance.cancel.is_none() => {
                    if let Some((lease, _)) = instance.lease() {
                        let reason = reason.clone();
                        self.events.push(Event::CancelRequested { lease, reason, at: self.now });
                    }
                }
                Phase::Leased { .. } | Phase::Settling | Phase::Finished { .. } => {}
            }
        }
    }

    /// Finishes a job when all its instances have ended.
    fn settle_job(&mut self, position: u32, job: &'s Job) {
        if job.open != self.ended_of.get(&position).copied().unwrap_or_default() {
            return;
        }
        let results: Vec<_> = self
            .state
            .instances_of(job)
            .filter_map(|instance| {
                let ended = self.ended.get(&instance.id()).map(|(result, _)| *result);
                ended.or(instance.result()).map(|result| (result, instance.definition.continue_on_error))
            })
            .collect();
        let conclusion = policy::merge(results.iter().map(|(result, _)| *result));
        let result =
            policy::merge(results.iter().map(|&(result, ignored)| policy::effective(result, ignored)));
        self.finish_job(position, job, result, conclusion);
    }

    fn is_finished(&self, position: u32) -> bool {
        self.finished.contains_key(&position)
            || self.run.jobs.get(position as usize).is_some_and(Job::is_finished)
    }
}
