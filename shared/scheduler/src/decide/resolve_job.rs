//! The planner's answer for a job that is ready.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{CallExpansion, Concurrency, Expansion, Gate, Resolution, ResolveJob};
use crate::decide::cascade::Cascade;
use crate::decide::submit::check_jobs;
use crate::decide::{cut, within};
use crate::event::Event;
use crate::ids::JobId;
use crate::limits::{
    CALL_LEVELS_MAX, ENVIRONMENT_CHARS_MAX, GATE_EXPIRES_MS, GATE_WAIT_MS_MAX, GROUP_CHARS_MAX,
    INSTANCES_MAX, INSTANCES_PER_JOB_MAX, JOB_ID_BYTES_MAX, JOBS_PER_RUN_MAX, LABEL_BYTES_MAX, LABELS_MAX,
    META_BYTES_MAX, NAME_BYTES_MAX, NEEDS_PER_JOB_MAX, REVIEWERS_MAX, TIMEOUT_MS_MAX,
};
use crate::outcome::JobResult;
use crate::policy;
use crate::rejection::Rejection;
use crate::state::{Job, Run, Stage, State};
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
    if cancelled != run.is_cancelled_for(job) {
        return Err(Rejection::StaleResolution { job: id });
    }
    let mut cascade = Cascade::new(state, now);
    if let Some(message) = deadlock(run, job, &resolution) {
        cascade.events.push(Event::JobInvalid { run: run_id, job: id, message });
        cascade.finish_job(run, position, job, JobResult::Failure, JobResult::Failure);
        return Ok(cascade.events);
    }
    match resolution {
        Resolution::Skip { reason } => {
            cascade.events.push(Event::JobSkipped { run: run_id, job: id, reason: cut(reason) });
            cascade.finish_job(run, position, job, JobResult::Skipped, JobResult::Skipped);
        }
        Resolution::Invalid { message } => {
            cascade.events.push(Event::JobInvalid { run: run_id, job: id, message: cut(message) });
            cascade.finish_job(run, position, job, JobResult::Failure, JobResult::Failure);
        }
        Resolution::Instances(expansion) => {
            check(state, &id, &expansion)?;
            let Expansion { instances, fail_fast, max_parallel } = expansion;
            let expanded =
                Event::JobExpanded { run: run_id, job: id, instances, fail_fast, max_parallel, at: now };
            cascade.events.push(expanded);
        }
        Resolution::Calls(expansion) => {
            check_calls(run, job, &expansion)?;
            cascade.events.extend(called(run, job, expansion, now));
        }
    }
    Ok(cascade.events)
}

/// A job whose concurrency group its own run holds, or a call that it belongs to, would wait for itself.
fn deadlock(run: &Run, job: &Job, resolution: &Resolution) -> Option<String> {
    let wanted: Vec<&Concurrency> = match resolution {
        Resolution::Instances(expansion) => {
            expansion.instances.iter().filter_map(|instance| instance.concurrency.as_ref()).collect()
        }
        Resolution::Calls(expansion) => {
            expansion.calls.iter().filter_map(|call| call.concurrency.as_ref()).collect()
        }
        Resolution::Skip { .. } | Resolution::Invalid { .. } => Vec::new(),
    };
    let above = run.calls_above(job).filter_map(|call| call.concurrency.as_ref());
    let held: Vec<_> = run.concurrency.iter().chain(above).map(|group| run.key_of(group)).collect();
    let own = wanted.into_iter().find(|group| held.contains(&run.key_of(group)))?;
    Some(format!("it would wait for itself: its run or caller holds its concurrency group `{}`", own.group))
}

/// The job's calls, and what of them begins: jobs without needs, or the end of one that an earlier attempt did.
fn called(run: &Run, job: &Job, expansion: CallExpansion, now: Timestamp) -> Vec<Event> {
    let CallExpansion { calls, fail_fast, max_parallel } = expansion;
    let mut begun = Vec::new();
    let free = max_parallel.map_or(calls.len(), |limit| limit as usize);
    for (call, place) in calls.iter().zip(0..).take(free).filter(|(call, _)| call.concurrency.is_none()) {
        let carried = run.carried_in(call);
        if carried.len() == call.jobs.len() {
            let result = policy::merge(carried.values().map(|done| done.result));
            begun.push(Event::CallDone { run: run.id, job: job.id.clone(), call: place, result });
            continue;
        }
        let places: BTreeMap<&JobId, usize> =
            call.jobs.iter().enumerate().map(|(at, job)| (&job.id, at)).collect();
        let done = |need: &JobId| places.get(need).is_some_and(|at| carried.contains_key(at));
        for (at, inner) in call.jobs.iter().enumerate() {
            if !carried.contains_key(&at) && inner.needs.iter().all(done) {
                begun.push(Event::JobReady { run: run.id, job: inner.id.below(&call.id) });
            }
        }
    }
    let (run, job) = (run.id, job.id.clone());
    let mut events = vec![Event::JobCalled { run, job, calls, fail_fast, max_parallel, at: now }];
    events.append(&mut begun);
    events
}

fn check_calls(run: &Run, job: &Job, expansion: &CallExpansion) -> Result<(), Rejection> {
    let invalid = |problem| Err(Rejection::InvalidInstances { job: job.id.clone(), problem });
    let calls = &expansion.calls;
    within("calls of a job", calls.len(), INSTANCES_PER_JOB_MAX)?;
    let added: usize = calls.iter().map(|call| call.jobs.len()).sum();
    within("jobs in a run", run.jobs.len() + added, JOBS_PER_RUN_MAX)?;
    within("levels of calls", run.calls_above(job).count() + 2, CALL_LEVELS_MAX)?;
    if calls.is_empty() {
        return invalid("there are no calls");
    }
    if expansion.max_parallel == Some(0) {
        return invalid("`max-parallel` is 0");
    }
    let mut ids = BTreeSet::new();
    for call in calls {
        within("bytes in a call's name", call.name.len(), NAME_BYTES_MAX)?;
        check_group(call.concurrency.as_ref())?;
        let numbered =
            call.id.as_str().strip_prefix(job.id.as_str()).is_some_and(|rest| rest.starts_with('#'));
        if !(numbered || call.id == job.id) || call.id.as_str().len() > job.id.as_str().len() + 8 {
            return invalid("a call's id is not made of the job's");
        }
        if !ids.insert(&call.id) {
            return invalid("two calls have one id");
        }
        check_jobs(&call.jobs).map_err(Rejection::InvalidJobs)?;
        for inner in &call.jobs {
            let id = inner.id.below(&call.id);
            within("bytes in a job's id", id.as_str().len(), JOB_ID_BYTES_MAX)?;
            within("needs of a job", inner.needs.len(), NEEDS_PER_JOB_MAX)?;
            if inner.id.as_str().contains('/') || run.positions.contains_key(&id) {
                return invalid("an id of a called job is in use");
            }
        }
    }
    Ok(())
}

fn check_group(concurrency: Option<&Concurrency>) -> Result<(), Rejection> {
    let chars = concurrency.map_or(0, |concurrency| concurrency.group.chars().count());
    within("characters of a concurrency group", chars, GROUP_CHARS_MAX)
}

fn check_gate(gate: Option<&Gate>) -> Result<(), Rejection> {
    let Some(gate) = gate else { return Ok(()) };
    within("characters of an environment's name", gate.environment.chars().count(), ENVIRONMENT_CHARS_MAX)?;
    let names = gate.reviewers.iter().chain(&gate.barred);
    within("reviewers of an environment", gate.reviewers.len().max(gate.barred.len()), REVIEWERS_MAX)?;
    within("bytes of a reviewer's name", names.map(String::len).max().unwrap_or(0), META_BYTES_MAX)?;
    for (what, time_ms, limit) in [
        ("milliseconds of a wait timer", gate.wait_ms, GATE_WAIT_MS_MAX),
        ("milliseconds that a job waits for approval", gate.expires_ms, GATE_EXPIRES_MS),
    ] {
        if time_ms > limit {
            return Err(Rejection::Limit { what, limit });
        }
    }
    Ok(())
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
        check_group(instance.concurrency.as_ref())?;
        check_gate(instance.gate.as_deref())?;
        let turn = instance.turn.as_deref().map_or(0, |environment| environment.chars().count());
        within("characters of an environment's name", turn, ENVIRONMENT_CHARS_MAX)?;
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
