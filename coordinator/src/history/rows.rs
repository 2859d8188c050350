//! What an entry of the journal does to the tables: a pure function, so that a rebuild gives what was there before.
//!
//! Deliberately absent: what no question about the past needs (extended leases, back-offs, groups, calls: a call's jobs are jobs
//! of the run), and jobs that a rerun carried over from an earlier attempt of the run: they are that one's.

use slipway_scheduler::command::{InstanceDefinition, LeaseRef, RunMeta, Standing, Trust};
use slipway_scheduler::outcome::CancelReason;
use slipway_scheduler::{Event, InstanceId, JobId, Outcome, RunId, Timestamp};
use slipway_workflow::settings::Severity;

use super::sql;
use super::steps::{StepRow, Steps};
use super::tables::{Statement, Value};
use crate::audit::AuditEntry;
use crate::driver::payload::{AttemptNote, Payload};
use crate::reports::{Coverage, Reports};
use crate::test_cases::TestCase;

/// An entry, and what of its attempt's records is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    /// Its position in the journal.
    pub(super) position: u64,
    /// When it was journaled, Unix milliseconds.
    pub(super) time_ms: u64,
    /// What it says.
    pub(super) payload: &'a Payload,
    /// For the end of an attempt: its run, and its steps as its records tell them; `None`: the records are gone, and steps that the
    /// tables have already stay.
    pub(super) steps: Option<(RunId, &'a Steps)>,
}

/// The statements of an entry, in order.
pub(super) fn rows(entry: Entry<'_>, to: &mut Vec<Statement>) {
    if let Some(audit) = AuditEntry::of(entry.payload) {
        to.push(Statement::new(sql::AUDIT, audit_values(entry.position, &audit)));
    }
    match entry.payload {
        Payload::Scheduler(event) => event_rows(entry, event, to),
        Payload::AttemptNote(AttemptNote { instance, attempt, message, .. }) => {
            to.push(Statement::new(sql::NOTE, [id(*instance), (*attempt).into(), message.into()]));
        }
        Payload::Delivery(_)
        | Payload::DrainOrder(_)
        | Payload::Audit(_)
        | Payload::House(_)
        | Payload::Report(_)
        | Payload::Hold(_)
        | Payload::Scale(_) => {}
    }
}

fn event_rows(entry: Entry<'_>, event: &Event, to: &mut Vec<Statement>) {
    let (position, now) = (Value::from(entry.position), entry.time_ms);
    let mut push = |sql, values: Vec<Value>| to.push(Statement::new(sql, values));
    match event {
        Event::RunSubmitted { run, at, meta, standing, .. } => {
            push(sql::RUN, run_values(*run, *at, meta, standing, position));
        }
        Event::RunCancelled { run, actor, reason, .. } => {
            push(sql::RUN_CANCELLED, vec![id(*run), actor.into(), reason.into()]);
        }
        Event::RunFinished { run, result, cause, at } => {
            let cause = cause.map(|cause| cause.as_str()).into();
            push(sql::RUN_FINISHED, vec![id(*run), at.0.into(), result.as_str().into(), cause, position]);
        }
        Event::JobSkipped { run, job, reason: why } | Event::JobInvalid { run, job, message: why } => {
            let values = vec![id(*run), job.as_str().into(), now.into(), why.into(), position];
            push(sql::JOB_WITHOUT_INSTANCE, values);
        }
        Event::JobFinished { run, job, conclusion, at, .. } => {
            let values =
                vec![id(*run), job.as_str().into(), at.0.into(), conclusion.as_str().into(), position];
            push(sql::JOB_FINISHED, values);
        }
        Event::JobExpanded { run, job, instances, max_parallel, at, .. } => {
            for (place, instance) in (0u32..).zip(instances) {
                let waits = instance.gate.is_none()
                    && instance.concurrency.is_none()
                    && instance.turn.is_none()
                    && max_parallel.is_none_or(|parallel| place < parallel);
                push(sql::INSTANCE, instance_values(*run, job, instance, *at, waits, &position));
            }
        }
        Event::InstanceQueued { instance, at }
        | Event::GateOpened { instance, at }
        | Event::InstanceAdmitted { instance, at }
        | Event::TurnTaken { instance, at } => {
            push(sql::QUEUED, vec![id(*instance), at.0.into()]);
        }
        // Its environment or its group holds it, whatever came before.
        Event::GateDecided { instance, .. }
        | Event::InstanceBlocked { instance, .. }
        | Event::TurnAwaited { instance, .. } => push(sql::QUEUED, vec![id(*instance), Value::Null]),
        Event::InstanceFinished { instance, result, cause, at, .. } => {
            let cause = cause.map(|cause| cause.as_str()).into();
            let values = vec![id(*instance), at.0.into(), result.as_str().into(), cause, position];
            push(sql::INSTANCE_FINISHED, values);
        }
        Event::Leased { instance, attempt, agent, token, at, .. } => {
            let token = Value::from(&token.to_string());
            let values =
                vec![id(*instance), (*attempt).into(), (&agent.to_string()).into(), token, at.0.into()];
            push(sql::LEASED, [values, vec![position]].concat());
            push(sql::COUNT_ATTEMPTS, vec![id(*instance)]);
        }
        Event::LeaseDeclined { lease, .. } => {
            push(sql::DECLINED, attempt(lease));
            push(sql::COUNT_ATTEMPTS, vec![id(lease.instance)]);
        }
        Event::CancelRequested { lease, reason, .. } => {
            let reason = cancel_word(reason).into();
            push(sql::CANCEL_REQUESTED, [attempt(lease), vec![reason]].concat());
        }
        Event::AttemptFinished { lease, outcome, records, records_digest, reported, at } => {
            let (outcome, cause) = outcome_words(outcome);
            let digest = records_digest.map(|digest| digest.to_string());
            let end = [at.0.into(), outcome.into(), cause.into(), (*reported).into(), (*records).into()];
            let rest = [digest.as_ref().into(), position.clone()];
            push(sql::ATTEMPT_FINISHED, [&attempt(lease)[..], &end, &rest].concat());
            if let Some((run, steps)) = entry.steps {
                if steps.whole {
                    push(sql::FORGET_STEPS, attempt(lease));
                    push(sql::FORGET_TESTS, attempt(lease));
                    push(sql::FORGET_REPORTS, attempt(lease));
                }
                for step in &steps.rows {
                    push(sql::STEP, step_values(lease, run, step));
                }
                for case in &steps.tests {
                    push(sql::TEST, test_values(lease, run, case));
                }
                if !steps.reports.is_empty() {
                    push(sql::REPORTS, report_values(lease, run, &steps.reports));
                }
            }
            push(sql::USAGE, [attempt(lease), vec![position]].concat());
        }
        Event::EpochBegan { .. }
        | Event::RunReleased { .. }
        | Event::GroupAcquired { .. }
        | Event::JobCalled { .. }
        | Event::CallQueued { .. }
        | Event::CallBlocked { .. }
        | Event::CallBegan { .. }
        | Event::CallCancelled { .. }
        | Event::CallDone { .. }
        | Event::CallFinished { .. }
        | Event::JobReady { .. }
        | Event::LeaseExtended { .. }
        | Event::StepBegan { .. }
        | Event::RetryScheduled { .. }
        | Event::RunRetired { .. } => {}
    }
}

fn id(id: impl std::fmt::Display) -> Value {
    Value::Text(id.to_string())
}

fn attempt(lease: &LeaseRef) -> Vec<Value> {
    vec![id(lease.instance), lease.attempt.into()]
}

fn run_values(run: RunId, at: Timestamp, meta: &RunMeta, standing: &Standing, position: Value) -> Vec<Value> {
    vec![
        id(run),
        (&meta.repository).into(),
        (&meta.forge).into(),
        (&meta.workflow_file).into(),
        (&meta.workflow_name).into(),
        meta.run_number.into(),
        meta.run_attempt.into(),
        (&meta.event_name).into(),
        (&meta.git_ref).into(),
        (&meta.sha).into(),
        (&meta.actor).into(),
        (meta.trust == Trust::Untrusted).into(),
        standing.share.as_ref().into(),
        i32::from(standing.priority).into(),
        at.0.into(),
        position,
    ]
}

fn instance_values(
    run: RunId,
    job: &JobId,
    instance: &InstanceDefinition,
    at: Timestamp,
    waits: bool,
    position: &Value,
) -> Vec<Value> {
    vec![
        id(run),
        job.as_str().into(),
        instance.index.into(),
        id(instance.id),
        (&instance.name).into(),
        (&instance.labels.to_string()).into(),
        instance.strict.into(),
        instance.timeout_ms.into(),
        at.0.into(),
        waits.then_some(at.0).into(),
        position.clone(),
    ]
}

fn step_values(lease: &LeaseRef, run: RunId, step: &StepRow) -> Vec<Value> {
    let StepRow { step, step_id, name, started_ms, ended, lines } = step;
    let ended = ended.as_ref();
    vec![
        id(lease.instance),
        lease.attempt.into(),
        (*step).into(),
        id(run),
        step_id.into(),
        name.into(),
        (*started_ms).into(),
        ended.map(|end| end.finished_ms).into(),
        ended.map(|end| end.outcome.as_str()).into(),
        ended.map(|end| end.conclusion.as_str()).into(),
        ended.and_then(|end| end.exit_code).into(),
        ended.map(|end| end.cpu_ms).into(),
        ended.map(|end| end.max_rss_bytes).into(),
        (*lines).into(),
    ]
}

fn test_values(lease: &LeaseRef, run: RunId, case: &TestCase) -> Vec<Value> {
    let TestCase { ordinal, report, suite, class, name, file, line, outcome, duration_us, message } = case;
    // Bounded already; a message may be longer than other columns are.
    let bounded = |text: &String| Value::Text(text.clone());
    let said = |text: &String| if text.is_empty() { Value::Null } else { bounded(text) };
    vec![
        id(lease.instance),
        lease.attempt.into(),
        (*ordinal).into(),
        id(run),
        bounded(report),
        bounded(suite),
        bounded(class),
        bounded(name),
        said(file),
        (*line > 0).then_some(*line).into(),
        outcome.word().into(),
        (*duration_us).into(),
        said(message),
    ]
}

fn report_values(lease: &LeaseRef, run: RunId, reports: &Reports) -> Vec<Value> {
    let coverage = reports.coverage.as_ref();
    let totals = coverage.map(Coverage::totals);
    let found = |severity| {
        let findings = reports.findings.as_ref()?.iter();
        Some(findings.filter(|finding| finding.severity == severity).count() as u64)
    };
    let components = reports.components.as_ref();
    let components = components.map(|all| all.len() as u64 + reports.components_left_out);
    vec![
        id(lease.instance),
        lease.attempt.into(),
        id(run),
        coverage.map(|coverage| coverage.files.len() as u64 + coverage.more.0).into(),
        totals.map(|(lines, _)| lines).into(),
        totals.map(|(_, covered)| covered).into(),
        found(Severity::Critical).into(),
        found(Severity::High).into(),
        found(Severity::Medium).into(),
        found(Severity::Low).into(),
        components.into(),
    ]
}

fn audit_values(position: u64, entry: &AuditEntry) -> Vec<Value> {
    let AuditEntry { actor, source, action, target, effect, at } = entry;
    let texts = [actor, source, action, target, effect].map(Value::from);
    [&[position.into(), at.0.into()], &texts[..]].concat()
}

/// Outcome and cause, as the API says them.
fn outcome_words(outcome: &Outcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        Outcome::Success { .. } => ("success", None),
        Outcome::Failure { .. } => ("failure", None),
        Outcome::Cancelled => ("cancelled", None),
        Outcome::TimedOut => ("timed_out", None),
        Outcome::Fleet { cause } => ("fleet", Some(cause.as_str())),
    }
}

fn cancel_word(reason: &CancelReason) -> &'static str {
    match reason {
        CancelReason::Run => "run",
        CancelReason::FailFast { .. } => "fail_fast",
        CancelReason::CallFailed { .. } => "call_failed",
        CancelReason::Superseded { .. } => "superseded",
    }
}

/// What a rebuild begins with, when the journal begins after `anchor`.
#[must_use]
pub(super) fn remove_after(anchor: u64) -> Vec<Statement> {
    let remove = sql::REMOVE_AFTER.iter().map(|sql| Statement::new(sql, [anchor.into()]));
    remove.chain([Statement::new(sql::RECOUNT_ATTEMPTS, [])]).collect()
}

/// What a rebuild ends with.
pub(super) fn forget_orphans() -> impl Iterator<Item = Statement> {
    sql::FORGET_ORPHANS.iter().map(|sql| Statement::new(sql, []))
}

/// The query for an instance's run.
#[must_use]
pub(super) fn run_of(instance: InstanceId) -> String {
    // An id is digits and dashes.
    format!("SELECT run FROM jobs WHERE instance = '{instance}'")
}
