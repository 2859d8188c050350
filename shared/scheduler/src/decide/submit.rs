//! A new run.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{CarriedJob, JobDefinition, Submit};
use crate::decide::cascade::Cascade;
use crate::decide::within;
use crate::event::Event;
use crate::limits::{
    GROUP_CHARS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, JOB_ID_BYTES_MAX, JOBS_PER_RUN_MAX, META_BYTES_MAX,
    NEEDS_PER_JOB_MAX, PRIORITY_MAX, RUNS_MAX, SHARE_BYTES_MAX, WEIGHT_MAX,
};
use crate::rejection::{InvalidJobs, Rejection};
use crate::state::State;
use crate::state::group::{Key, Kind};
use crate::time::Timestamp;

pub(super) fn decide(state: &State, submit: Submit, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    if let Some(run) = submit.idempotency_key.as_deref().and_then(|key| state.delivery(key)) {
        return Err(Rejection::Duplicate { run });
    }
    if state.runs.contains_key(&submit.run) {
        return Err(Rejection::IdInUse { id: submit.run.0 });
    }
    check_limits(state, &submit)?;
    check_jobs(&submit.jobs).map_err(Rejection::InvalidJobs)?;
    check_carried(&submit.jobs, &submit.carried).map_err(Rejection::InvalidJobs)?;

    let Submit {
        run,
        meta,
        workflow,
        event,
        context,
        jobs,
        idempotency_key,
        carried,
        concurrency,
        held,
        standing,
    } = submit;
    let done: BTreeSet<_> = carried.iter().map(|job| &job.id).collect();
    let free =
        |job: &&JobDefinition| !done.contains(&job.id) && job.needs.iter().all(|need| done.contains(need));
    let ready: Vec<_> = jobs.iter().filter(free).map(|job| job.id.clone()).collect();
    let mut cascade = Cascade::new(state, now);
    let group = concurrency.as_ref().map(|group| {
        (Key::of(Kind::Concurrency, &meta.forge, &meta.repository, &group.group), group.clone())
    });
    let held = held && group.is_some();
    let taken = group.filter(|(key, _)| !held && !cascade.is_free(key));
    let actor = meta.actor.clone();
    let meta = Box::new(meta);
    cascade.events.push(Event::RunSubmitted {
        run,
        at: now,
        meta,
        workflow,
        event,
        context,
        jobs,
        idempotency_key,
        carried,
        concurrency,
        waits: taken.is_some(),
        held,
        standing,
    });
    match taken {
        None if held => {}
        None => cascade.events.extend(ready.into_iter().map(|job| Event::JobReady { run, job })),
        Some((key, group)) => cascade.enter_run(&key, run, ready, &group, &actor),
    }
    Ok(cascade.events)
}

fn check_limits(state: &State, submit: &Submit) -> Result<(), Rejection> {
    within("runs", state.runs.len() + 1, RUNS_MAX)?;
    within("jobs in a run", submit.jobs.len(), JOBS_PER_RUN_MAX)?;
    within("carried jobs of a run", submit.carried.len(), JOBS_PER_RUN_MAX)?;
    for job in &submit.jobs {
        within("bytes in a job's id", job.id.as_str().len(), JOB_ID_BYTES_MAX)?;
        within("needs of a job", job.needs.len(), NEEDS_PER_JOB_MAX)?;
    }
    if let Some(concurrency) = &submit.concurrency {
        within("characters of a concurrency group", concurrency.group.chars().count(), GROUP_CHARS_MAX)?;
    }
    if let Some(key) = &submit.idempotency_key {
        within("bytes in an idempotency key", key.len(), IDEMPOTENCY_KEY_BYTES_MAX)?;
    }
    let standing = &submit.standing;
    within("bytes in a share's name", standing.share.as_ref().map_or(0, String::len), SHARE_BYTES_MAX)?;
    within("weight of a share", standing.weight as usize, WEIGHT_MAX as usize)?;
    within("points of priority", usize::from(standing.priority.unsigned_abs()), PRIORITY_MAX as usize)?;
    let meta = &submit.meta;
    let texts = [
        &meta.repository,
        &meta.forge,
        &meta.workflow_file,
        &meta.workflow_name,
        &meta.event_name,
        &meta.git_ref,
        &meta.sha,
        &meta.actor,
    ];
    for text in texts.into_iter().chain(&meta.traceparent) {
        within("bytes in a text of a run's description", text.len(), META_BYTES_MAX)?;
    }
    Ok(())
}

/// Carried jobs are jobs of the run with all that they need, and something is left to do.
fn check_carried(jobs: &[JobDefinition], carried: &[CarriedJob]) -> Result<(), InvalidJobs> {
    let done: BTreeSet<_> = carried.iter().map(|job| &job.id).collect();
    for job in &done {
        if carried.iter().any(|carried| carried.id == **job && carried.call.is_some()) {
            // Of a call: whether it fits shows when its caller becomes calls again.
            continue;
        }
        let found = jobs.iter().find(|found| found.id == **job);
        if !found.is_some_and(|found| found.needs.iter().all(|need| done.contains(need))) {
            return Err(InvalidJobs::Carried((*job).clone()));
        }
    }
    if jobs.iter().all(|job| done.contains(&job.id)) { Err(InvalidJobs::AllCarried) } else { Ok(()) }
}

/// Checks ids, needs and that some order of the jobs exists.
pub(super) fn check_jobs(jobs: &[JobDefinition]) -> Result<(), InvalidJobs> {
    if jobs.is_empty() {
        return Err(InvalidJobs::None);
    }
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for job in jobs {
        let mut needs: Vec<_> = job.needs.iter().collect();
        needs.sort_unstable();
        needs.dedup();
        if open.insert(job.id.as_str(), needs.len()).is_some() {
            return Err(InvalidJobs::Twice(job.id.clone()));
        }
    }
    let mut dependants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for job in jobs {
        let mut needs: Vec<_> = job.needs.iter().collect();
        needs.sort_unstable();
        needs.dedup();
        for need in needs {
            if !open.contains_key(need.as_str()) {
                return Err(InvalidJobs::UnknownNeed { job: job.id.clone(), need: need.clone() });
            }
            dependants.entry(need.as_str()).or_default().push(job.id.as_str());
        }
    }
    let mut free: Vec<&str> = open.iter().filter(|(_, needs)| **needs == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        open.remove(id);
        for dependant in dependants.remove(id).unwrap_or_default() {
            if let Some(needs) = open.get_mut(dependant) {
                *needs -= 1;
                if *needs == 0 {
                    free.push(dependant);
                }
            }
        }
    }
    match jobs.iter().find(|job| open.contains_key(job.id.as_str())) {
        Some(job) => Err(InvalidJobs::Cycle(job.id.clone())),
        None => Ok(()),
    }
}
