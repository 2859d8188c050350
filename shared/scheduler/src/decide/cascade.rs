//! What follows when an instance ends: its siblings stop or move up, its job finishes, other jobs become ready, a call is
//! done, the run finishes, and who waits for a concurrency group gets it.
//!
//! One decision may end many instances, jobs, calls and runs before any of it is applied, so this keeps what was decided so far
//! beside the state, and each question is asked of both.

mod calls;
mod groups;

use std::collections::{BTreeMap, BTreeSet};

use slipway_cas::Digest;

use crate::event::Event;
use crate::ids::{InstanceId, JobId, RunId};
use crate::outcome::{CancelReason, FleetCause, JobResult};
use crate::policy;
use crate::state::group::{Group, Key, Member};
use crate::state::{Instance, Job, Parent, Phase, Run, Stage, State};
use crate::time::Timestamp;
use calls::Moved;

/// A job: its run, and its position there.
type At = (RunId, u32);

pub(super) struct Cascade<'s> {
    state: &'s State,
    now: Timestamp,
    pub(super) events: Vec<Event>,
    /// Instances that this decision ended, with what of the fleet failed.
    ended: BTreeMap<InstanceId, (JobResult, Option<FleetCause>)>,
    /// How many of each job.
    ended_of: BTreeMap<At, u32>,
    /// Instances that `max-parallel` holds back no more.
    queued: BTreeSet<InstanceId>,
    /// Instances that this decision asked to stop.
    stopping: BTreeSet<InstanceId>,
    /// Jobs that this decision finished, with what they count as.
    finished: BTreeMap<At, JobResult>,
    /// How many of each run.
    finished_of: BTreeMap<RunId, u32>,
    /// What this decision did with calls.
    calls: BTreeMap<(RunId, Parent), Moved>,
    cancelled_calls: BTreeSet<(RunId, Parent)>,
    /// Runs that this decision cancelled, and that it finished.
    cancelled: BTreeSet<RunId>,
    over: BTreeSet<RunId>,
    /// Groups as this decision changed them.
    groups: BTreeMap<Key, Group>,
    /// A run that is being submitted, and its jobs that are ready once it holds its group.
    newcomer: Option<(RunId, Vec<JobId>)>,
}

impl<'s> Cascade<'s> {
    pub(super) fn new(state: &'s State, now: Timestamp) -> Self {
        Self {
            state,
            now,
            events: Vec::new(),
            ended: BTreeMap::new(),
            ended_of: BTreeMap::new(),
            queued: BTreeSet::new(),
            stopping: BTreeSet::new(),
            finished: BTreeMap::new(),
            finished_of: BTreeMap::new(),
            calls: BTreeMap::new(),
            cancelled_calls: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            over: BTreeSet::new(),
            groups: BTreeMap::new(),
            newcomer: None,
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
        self.follow_end(instance, result);
    }

    /// What follows for the job of an instance that has its result.
    pub(super) fn follow_end(&mut self, instance: &Instance, result: JobResult) {
        let Some((run, job)) = self.job_of(instance) else { return };
        let failed = policy::effective(result, instance.definition.continue_on_error) == JobResult::Failure;
        if job.fail_fast && failed {
            self.stop_instances(job, &CancelReason::FailFast { by: instance.id() });
        } else {
            self.queue_next(job);
        }
        self.settle_job(run, instance.job, job);
    }

    /// The run and the job of an instance.
    fn job_of(&self, instance: &Instance) -> Option<(&'s Run, &'s Job)> {
        let run = self.state.run(instance.run)?;
        Some((run, run.jobs.get(instance.job as usize)?))
    }

    /// The next instance that `max-parallel` held back.
    fn queue_next(&mut self, job: &Job) {
        let held = job.held.iter().filter_map(|&at| job.instances.get(at as usize));
        let next = held.copied().find(|id| !self.ended.contains_key(id) && !self.queued.contains(id));
        if let Some(instance) = next {
            self.queued.insert(instance);
            self.events.push(Event::InstanceQueued { instance, at: self.now });
        }
    }

    /// Cancels a run: whatever waits ends, whatever is leased is asked to stop, what is being planned is planned again (once:
    /// then the planner knows).
    pub(super) fn cancel_run(&mut self, run: &'s Run) {
        let first = run.cancelled.is_none() && self.cancelled.insert(run.id);
        let top = (0..).zip(&run.jobs).filter(|(_, job)| job.parent.is_none()).map(|(at, _)| at);
        self.cancel_jobs(run, top, first, &CancelReason::Run);
    }

    /// The same for some jobs. `first`: those that are being planned do not know it yet.
    fn cancel_jobs(
        &mut self,
        run: &'s Run,
        positions: impl Iterator<Item = u32>,
        first: bool,
        reason: &CancelReason,
    ) {
        for position in positions {
            let Some(job) = run.jobs.get(position as usize) else { continue };
            if self.finished.contains_key(&(run.id, position)) {
                continue;
            }
            match job.stage {
                Stage::Expanded if job.calls.is_empty() => {
                    self.stop_instances(job, reason);
                    self.settle_job(run, position, job);
                }
                Stage::Expanded => self.cancel_calls(run, position, job, first, reason),
                Stage::Ready if first => {
                    self.events.push(Event::JobReady { run: run.id, job: job.id.clone() })
                }
                Stage::Waiting | Stage::Ready | Stage::Finished { .. } => {}
            }
        }
    }

    /// A job is done; so may be its call, or the run.
    pub(super) fn finish_job(
        &mut self,
        run: &'s Run,
        position: u32,
        job: &'s Job,
        result: JobResult,
        conclusion: JobResult,
    ) {
        self.note_finished(run, position, job, result, conclusion);
        for (dependant, at) in job.dependants.iter().filter_map(|&at| Some((run.jobs.get(at as usize)?, at)))
        {
            let waits = dependant.stage == Stage::Waiting && !self.finished.contains_key(&(run.id, at));
            if waits && dependant.needs.iter().all(|&need| self.is_finished(run, need)) {
                self.events.push(Event::JobReady { run: run.id, job: dependant.id.clone() });
            }
        }
        if let Some(parent) = job.parent {
            self.settle_call(run, parent);
        }
        self.settle_run(run);
    }

    fn note_finished(
        &mut self,
        run: &Run,
        position: u32,
        job: &Job,
        result: JobResult,
        conclusion: JobResult,
    ) {
        self.finished.insert((run.id, position), result);
        *self.finished_of.entry(run.id).or_default() += 1;
        let (run, job, at) = (run.id, job.id.clone(), self.now);
        self.events.push(Event::JobFinished { run, job, result, conclusion, at });
    }

    fn settle_run(&mut self, run: &'s Run) {
        let finished = self.finished_of.get(&run.id).copied().unwrap_or_default();
        if run.open != finished || !self.over.insert(run.id) {
            return;
        }
        // Jobs of calls count by their callers.
        let results = (0..).zip(&run.jobs).filter(|(_, job)| job.parent.is_none());
        let results =
            results.filter_map(|(at, job)| self.finished.get(&(run.id, at)).copied().or(job.result()));
        let result = policy::run_result(results, self.is_cancelled(run));
        let cause = (result == JobResult::Failure).then(|| self.first_cause(run)).flatten();
        self.events.push(Event::RunFinished { run: run.id, result, cause, at: self.now });
        if let Some(key) = run.group_key() {
            self.leave(&key, Member::Run(run.id));
        }
    }

    fn is_cancelled(&self, run: &Run) -> bool {
        run.cancelled.is_some() || self.cancelled.contains(&run.id)
    }

    /// What of the fleet failed first, in the jobs' order, where it counts.
    fn first_cause(&self, run: &Run) -> Option<FleetCause> {
        let instances = run.jobs.iter().flat_map(|job| self.state.instances_of(job));
        instances.filter(|instance| !instance.definition.continue_on_error).find_map(|instance| {
            self.ended.get(&instance.id()).map_or_else(|| instance.cause(), |(_, cause)| *cause)
        })
    }

    /// Gives an instance its result; [`Cascade::follow_end`] comes after.
    pub(super) fn end_instance(
        &mut self,
        instance: &Instance,
        result: JobResult,
        outputs: Option<Digest>,
        cause: Option<FleetCause>,
    ) {
        self.ended.insert(instance.id(), (result, cause));
        *self.ended_of.entry((instance.run, instance.job)).or_default() += 1;
        let id = instance.id();
        self.events.push(Event::InstanceFinished { instance: id, result, outputs, cause, at: self.now });
        let Some(run) = self.state.run(instance.run) else { return };
        let definition = &instance.definition;
        let group = definition.concurrency.as_ref().map(|group| run.key_of(group));
        let turn = definition.turn.as_ref().map(|environment| run.turn_key(environment));
        for key in group.iter().chain(&turn) {
            self.leave(key, Member::Instance(id));
        }
    }

    fn stop_instances(&mut self, job: &Job, reason: &CancelReason) {
        for instance in self.state.instances_of(job) {
            self.stop_instance(instance, reason);
        }
    }

    /// Ends an instance that nobody has, and asks whoever has it to stop.
    fn stop_instance(&mut self, instance: &Instance, reason: &CancelReason) {
        if self.ended.contains_key(&instance.id()) {
            return;
        }
        match instance.phase {
            Phase::Held
            | Phase::Gated { .. }
            | Phase::Blocked { .. }
            | Phase::Turn { .. }
            | Phase::Waiting { .. } => {
                self.end_instance(instance, JobResult::Cancelled, None, None);
            }
            Phase::Leased { .. } if instance.cancel.is_none() => {
                if let Some((lease, _)) = instance.lease()
                    && self.stopping.insert(instance.id())
                {
                    let reason = reason.clone();
                    self.events.push(Event::CancelRequested { lease, reason, at: self.now });
                }
            }
            Phase::Leased { .. } | Phase::Settling | Phase::Finished { .. } => {}
        }
    }

    /// Finishes a job when all its instances have ended.
    fn settle_job(&mut self, run: &'s Run, position: u32, job: &'s Job) {
        let at = (run.id, position);
        let ended = self.ended_of.get(&at).copied().unwrap_or_default();
        if job.open != ended || self.finished.contains_key(&at) {
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
        self.finish_job(run, position, job, result, conclusion);
    }

    fn is_finished(&self, run: &Run, position: u32) -> bool {
        self.finished.contains_key(&(run.id, position))
            || run.jobs.get(position as usize).is_some_and(Job::is_finished)
    }
}
