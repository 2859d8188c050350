//! Events of a run and its jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{CarriedJob, InstanceDefinition, JobDefinition};
use crate::event::Event;
use crate::ids::{JobId, RunId};
use crate::label::LabelSet;
use crate::limits::IDEMPOTENCY_KEYS_MAX;
use crate::state::{Cancelled, Instance, Job, Line, Lineage, Phase, Run, RunEnd, Stage, State};
use crate::time::Timestamp;

impl State {
    pub(super) fn apply_run(&mut self, event: &Event) {
        match event {
            Event::RunSubmitted {
                run,
                at,
                meta,
                workflow,
                event,
                context,
                jobs,
                idempotency_key,
                carried,
                concurrency,
                waits,
                held,
                standing,
            } => {
                let (mut jobs, positions) = jobs_of(jobs);
                let mut carried_calls = BTreeMap::new();
                for done in carried {
                    let position = positions.get(&done.id).copied().unwrap_or(u32::MAX);
                    match jobs.get_mut(position as usize) {
                        Some(job) => job.carry(done, *at),
                        None => drop(carried_calls.insert(done.id.clone(), done.clone())),
                    }
                }
                if let Some(key) = idempotency_key {
                    self.remember(key, *run);
                }
                let waits = (*waits || *held).then(|| self.next_place());
                let run = Run {
                    id: *run,
                    meta: (**meta).clone(),
                    workflow: *workflow,
                    event: *event,
                    context: *context,
                    submitted_at: *at,
                    open: jobs.iter().filter(|job| !job.is_finished()).count() as u32,
                    jobs,
                    positions,
                    cancelled: None,
                    end: None,
                    concurrency: concurrency.clone(),
                    waits,
                    held: *held,
                    carried_calls,
                    standing: standing.clone(),
                };
                self.groups.insert(&run);
                self.runs.insert(run.id, run);
            }
            Event::RunReleased { run, waits, .. } => {
                let place = waits.then(|| self.next_place());
                if let Some(run) = self.runs.get_mut(run) {
                    (run.held, run.waits) = (false, place);
                    self.groups.insert(run);
                }
            }
            Event::GroupAcquired { run, .. } => {
                if let Some(run) = self.runs.get_mut(run) {
                    self.groups.remove(run);
                    run.waits = None;
                    self.groups.insert(run);
                }
            }
            Event::RunCancelled { run, actor, reason, at } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.cancelled = Some(Cancelled { actor: actor.clone(), reason: reason.clone(), at: *at });
                }
            }
            Event::RunFinished { run, result, cause, at } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.end = Some(RunEnd { result: *result, cause: *cause, at: *at });
                    self.finished_runs.insert((*at, run.id));
                    self.groups.remove(run);
                }
            }
            _ => {}
        }
    }

    /// The last place of all that wait.
    fn next_place(&mut self) -> u64 {
        let place = self.next_order;
        self.next_order += 1;
        place
    }

    fn remember(&mut self, key: &str, run: RunId) {
        if self.deliveries.insert(key.to_owned(), run).is_none() {
            self.delivery_order.push_back(key.to_owned());
        }
        while self.delivery_order.len() > IDEMPOTENCY_KEYS_MAX {
            if let Some(oldest) = self.delivery_order.pop_front() {
                self.deliveries.remove(&oldest);
            }
        }
    }

    pub(super) fn retire(&mut self, run: RunId) {
        let Some(run) = self.runs.remove(&run) else { return };
        if let Some(end) = run.end {
            self.finished_runs.remove(&(end.at, run.id));
        }
        for id in run.jobs.iter().flat_map(|job| &job.instances) {
            self.set_phase(*id, Phase::Held);
            self.instances.remove(id);
        }
    }

    pub(super) fn apply_job(&mut self, event: &Event) {
        match event {
            Event::JobReady { run, job } => self.ready(*run, job),
            Event::JobSkipped { run, job, reason: message } | Event::JobInvalid { run, job, message } => {
                if let Some((_, job)) = self.find_job(*run, job) {
                    job.message = Some(message.clone());
                }
            }
            Event::JobExpanded { run, job, instances, fail_fast, max_parallel, at } => {
                if let Some((_, job)) = self.find_job(*run, job) {
                    job.fail_fast = *fail_fast;
                    job.max_parallel = *max_parallel;
                }
                self.expand(*run, job, instances, *max_parallel, *at);
            }
            Event::JobFinished { run, job, result, conclusion, at } => {
                let mut parent = None;
                if let Some((_, job)) = self.find_job(*run, job) {
                    job.stage = Stage::Finished { result: *result, conclusion: *conclusion, at: *at };
                    parent = job.parent;
                }
                if let Some(run) = self.runs.get_mut(run) {
                    run.open = run.open.saturating_sub(1);
                    let caller =
                        parent.and_then(|parent| Some((run.jobs.get_mut(parent.job as usize)?, parent)));
                    if let Some(call) =
                        caller.and_then(|(job, parent)| job.calls.get_mut(parent.call as usize))
                    {
                        call.open = call.open.saturating_sub(1);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn find_job(&mut self, run: RunId, job: &JobId) -> Option<(u32, &mut Job)> {
        let run = self.runs.get_mut(&run)?;
        let position = *run.positions.get(job)?;
        Some((position, run.jobs.get_mut(position as usize)?))
    }

    fn ready(&mut self, run: RunId, job: &JobId) {
        let Some(run) = self.runs.get_mut(&run) else { return };
        let Some(job) = run.positions.get(job).and_then(|&at| run.jobs.get(at as usize)) else { return };
        let mut lineage = Lineage::default();
        for need in run.needs(job) {
            if let Some(result) = need.result() {
                lineage.add(result, need.lineage);
            }
        }
        let id = job.id.clone();
        let position = run.positions.get(&id).copied().unwrap_or_default();
        if let Some(job) = run.jobs.get_mut(position as usize) {
            job.stage = Stage::Ready;
            job.lineage = lineage;
        }
    }

    fn expand(
        &mut self,
        run: RunId,
        job: &JobId,
        instances: &[InstanceDefinition],
        max_parallel: Option<u32>,
        at: Timestamp,
    ) {
        let Some(found) = self.runs.get(&run) else { return };
        let (trust, own_line) = (found.meta.trust, Arc::new(Line::of(found, None)));
        let lines: Vec<_> = instances
            .iter()
            .map(|instance| match &instance.concurrency {
                None => Arc::clone(&own_line),
                group => Arc::new(Line::of(found, group.as_ref())),
            })
            .collect();
        let Some((position, job)) = self.find_job(run, job) else { return };
        let queued = max_parallel.map_or(instances.len(), |limit| limit as usize);
        job.stage = Stage::Expanded;
        job.open = instances.len() as u32;
        job.instances = instances.iter().map(|instance| instance.id).collect();
        job.held = (queued..instances.len()).map(|at| at as u32).collect();
        let strict = job.strict;
        let mut labels = LabelSet::default();
        for ((place, definition), line) in instances.iter().enumerate().zip(lines) {
            let mut definition = definition.clone();
            definition.strict |= strict;
            definition.labels.share(&mut labels);
            let id = definition.id;
            let instance = Instance {
                definition,
                run,
                job: position,
                trust,
                order: 0,
                since: Timestamp::default(),
                line,
                phase: Phase::Held,
                attempts: Vec::new(),
                cancel: None,
                review: None,
            };
            self.instances.insert(id, instance);
            if place < queued {
                self.enter(id, at);
            }
        }
    }
}

impl Job {
    /// An earlier attempt did it.
    pub(super) fn carry(&mut self, done: &CarriedJob, at: Timestamp) {
        self.stage = Stage::Finished { result: done.result, conclusion: done.result, at };
        self.carried = true;
        self.outputs.clone_from(&done.outputs);
        self.message = Some("carried over from an earlier attempt".to_owned());
    }
}

pub(super) fn jobs_of(definitions: &[JobDefinition]) -> (Vec<Job>, BTreeMap<JobId, u32>) {
    let positions: BTreeMap<JobId, u32> =
        definitions.iter().enumerate().map(|(at, job)| (job.id.clone(), at as u32)).collect();
    let mut jobs: Vec<Job> = definitions
        .iter()
        .map(|definition| Job {
            id: definition.id.clone(),
            needs: unique(definition.needs.iter().filter_map(|need| positions.get(need).copied())),
            dependants: Vec::new(),
            strict: definition.strict,
            stage: Stage::Waiting,
            lineage: Lineage::default(),
            instances: Vec::new(),
            calls: Vec::new(),
            parent: None,
            held: BTreeSet::new(),
            open: 0,
            outputs: Vec::new(),
            fail_fast: false,
            max_parallel: None,
            message: None,
            carried: false,
        })
        .collect();
    for at in 0..jobs.len() {
        let needs = jobs.get(at).map(|job| job.needs.clone()).unwrap_or_default();
        for need in needs {
            if let Some(need) = jobs.get_mut(need as usize) {
                need.dependants.push(at as u32);
            }
        }
    }
    (jobs, positions)
}

/// Each once, in the order of the first.
fn unique(positions: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    positions.filter(|position| seen.insert(*position)).collect()
}
