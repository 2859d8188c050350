//! The planner's answer for a job that is ready.

use std::collections::BTreeSet;

use crate::command::{Expansion, Resolution, ResolveJob};
use crate::decide::cascade::Cascade;
use crate::decide::{cut, within};
use crate::event::Event;
use crate::ids::JobId;
use crate::limits::{
    INSTANCES_MAX, INSTANCES_PER_JOB_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, TIMEOUT_MS_MAX,
};
use crate::outcome::JobResult;
use crate::rejection::Rejection;
use crate::state::{Stage, State};
use crate::time::Timestamp;

pub(super) fn decide(state: &State, resolve: ResolveJob, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let ResolveJob { run: run_id, job: id, cancelled, resolution } = resolve;
    let run = state.run(run_id).ok_or(Rejection::UnknownRun { run: run_id })?;
    let unknown = || Rejection::UnknownJob { run: run_id, job: id.clone() };
    let position = *run.positions.get(&id).ok_or_else(unknown)?;
    let job = run.jobs.get(position as usize).ok_or_else(unknown)?;
    if job.stage != Stage::Ready {
        return Err(Rejection::NotReady { job: id });
    }
    if cancelled != run.cancelled.is_some() {
        return Err(Rejection::StaleResolution { job: id });
    }
    let mut cascade = Cascade::new(state, run, now);
    match resolution {
        Resolution::Skip { reason } => {
            cascade.events.push(Event::JobSkipped { run: run_id, job: id, reason: cut(reason) });
            cascade.finish_job(position, job, JobResult::Skipped, JobResult::Skipped);
        }
        Resolution::Invalid { message } => {
            cascade.events.push(Event::JobInvalid { run: run_id, job: id, message: cut(message) });
            cascade.finish_job(position, job, JobResult::Failure, JobResult::Failure);
        }
        Resolution::Instances(expansion) => {
            check(state, &id, &expansion)?;
            let Expansion { instances, fail_fast, max_parallel } = expansion;
            let expanded =
                Event::JobExpanded { run: run_id, job: id, instances, fail_fast, max_parallel, at: now };
            cascade.events.push(expanded);
        }
    }
    Ok(cascade.events)
}

fn check(state: &State, job: &JobId, expansion: &Expansion) -> Result<(), Rejection> {
    let invalid = |problem| Err(Rejection::InvalidInstances { job: job.clone(), problem });
    let instances = &expansion.instances;
    within("instances of a job", instances.len(), INSTANCES_PER_JOB_MAX)?;
    within("instances", state.instances.len() + instances.len(), INSTANCES_MAX)?;
    if instances.is_empty() {
        return invalid("there are none");
    }
    if expansion.max_parallel == Some(0) {
        return invalid("`max-parallel` is 0");
    }
    let mut ids = BTreeSet::new();
    for instance in instances {
        within("bytes in an instance's name", instance.name.len(), NAME_BYTES_MAX)?;
        within("labels of a job", instance.labels.len(), LABELS_MAX)?;
        for label in instance.labels.iter() {
            within("bytes in a label", label.len(), LABEL_BYTES_MAX)?;
        }
        if instance.labels.is_empty() {
            return invalid("one asks for no label");
        }
        if !(1..=TIMEOUT_MS_MAX).contains(&instance.timeout_ms) {
            return invalid("a time limit is 0 or longer than 35 days");
        }
        if state.instances.contains_key(&instance.id) || !ids.insert(instance.id) {
            return Err(Rejection::IdInUse { id: instance.id.0 });
        }
    }
    Ok(())
}
