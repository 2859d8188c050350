//! An agent says how an attempt ended.

use crate::command::{LeaseRef, Report};
use crate::decide::cascade::Cascade;
use crate::decide::leased;
use crate::event::Event;
use crate::outcome::{FleetCause, JobResult, Outcome};
use crate::policy::{self, Rules};
use crate::rejection::Rejection;
use crate::state::{Instance, State};
use crate::time::Timestamp;

pub(super) fn decide(
    state: &State,
    report: &Report,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    match leased(state, &report.lease) {
        Ok(instance) => {
            let ending = Ending { lease: report.lease, outcome: report.outcome, report: Some(report) };
            end_attempt(state, instance, ending, rules, now)
        }
        Err(_) if was_reported(state, report) => Ok(Vec::new()),
        Err(rejection) => Err(rejection),
    }
}

/// Whether this very report was accepted before: its acknowledgement was lost.
fn was_reported(state: &State, report: &Report) -> bool {
    let attempts = state.instance(report.lease.instance).map(Instance::attempts).unwrap_or_default();
    attempts.iter().any(|attempt| {
        attempt.number == report.lease.attempt
            && attempt.token == report.lease.token
            && attempt.end.is_some_and(|end| {
                // An agent that was upgraded meanwhile may have learnt to count it.
                let digests = end.records_digest.zip(report.records_digest);
                end.reported
                    && end.outcome == report.outcome
                    && end.records == report.records
                    && digests.is_none_or(|(journaled, reported)| journaled == reported)
            })
    })
}

/// How a live attempt ends.
pub(super) struct Ending<'a> {
    pub(super) lease: LeaseRef,
    pub(super) outcome: Outcome,
    /// What its agent said, `None` if nobody did.
    pub(super) report: Option<&'a Report>,
}

/// Ends a live attempt, and what follows from it.
pub(super) fn end_attempt(
    state: &State,
    instance: &Instance,
    ending: Ending<'_>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    let Ending { lease, outcome, report } = ending;
    let mut cascade = Cascade::new(state, now);
    cascade.events.push(Event::AttemptFinished {
        lease,
        outcome,
        records: report.map_or(0, |report| report.records),
        records_digest: report.and_then(|report| report.records_digest),
        reported: report.is_some(),
        at: now,
    });
    match outcome {
        Outcome::Fleet { .. } if instance.cancel.is_some() => {
            cascade.finish_instance(instance, JobResult::Cancelled, None, None);
        }
        Outcome::Fleet { cause } => match retry(instance, cause, rules, now) {
            Some(retry) => cascade.events.push(retry),
            None => cascade.finish_instance(instance, policy::result_of(&outcome), None, Some(cause)),
        },
        Outcome::Success { outputs } | Outcome::Failure { outputs } => {
            cascade.finish_instance(instance, policy::result_of(&outcome), outputs, None);
        }
        Outcome::Cancelled | Outcome::TimedOut => {
            cascade.finish_instance(instance, policy::result_of(&outcome), None, None);
        }
    }
    Ok(cascade.events)
}

/// The next attempt after a fleet failure, if there is to be one.
fn retry(instance: &Instance, cause: FleetCause, rules: &Rules, now: Timestamp) -> Option<Event> {
    let last = instance.attempts.last()?;
    let definition = &instance.definition;
    if definition.strict && last.step_began && !definition.restart_allowed {
        return None;
    }
    let same = |end: &Outcome| matches!(end, Outcome::Fleet { cause: other } if *other == cause);
    let before = instance.attempts.iter().filter_map(|attempt| attempt.end.as_ref());
    let failed = before.filter(|end| same(&end.outcome)).count() as u32 + 1;
    let backoff_ms = rules.backoff_ms(cause, failed, last.number)?;
    Some(Event::RetryScheduled {
        instance: instance.id(),
        attempt: last.number + 1,
        not_before: now.after(backoff_ms),
        avoid: last.agent,
    })
}
