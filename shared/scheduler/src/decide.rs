//! `decide`: what a command leads to. One file for each command; what follows from an end is in [`cascade`].

mod cancel;
mod cascade;
mod decline;
mod enter_group;
mod expire;
mod extend_lease;
mod finish_call;
mod gate;
mod grant;
mod report;
mod resolve_job;
mod retire_run;
mod step_began;
mod submit;
mod take_over;
mod time_out;

use crate::command::{Command, LeaseRef};
use crate::event::Event;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::policy::Rules;
use crate::rejection::Rejection;
use crate::state::{Instance, State};
use crate::time::Timestamp;

/// The events that this command leads to now. None at all means that it is accepted and changes nothing (it was done
/// before).
///
/// `rules` are what may differ from one coordinator to another; the events say what they led to.
///
/// The events are to be applied together and in order: only then may the next command be decided.
///
/// # Errors
/// A [`Rejection`] says why the command has no effect.
pub fn decide(
    state: &State,
    command: Command,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Submit(submit) => submit::decide(state, *submit, now),
        Command::ResolveJob(resolve) => resolve_job::decide(state, resolve, now),
        Command::FinishCall(finish) => finish_call::decide(state, finish, now),
        Command::EnterGroup(entrant) => enter_group::decide(state, &entrant, now),
        Command::Grant(grant) => grant::decide(state, &grant, rules, now),
        Command::Report(report) => report::decide(state, &report, rules, now),
        Command::StepBegan(lease) => step_began::decide(state, lease),
        Command::Decline(lease) => decline::decide(state, lease, now),
        Command::Expire(expire) => expire::decide(state, &expire, rules, now),
        Command::ExtendLease(extend) => extend_lease::decide(state, &extend),
        Command::Cancel(cancel) => cancel::decide(state, cancel, now),
        Command::DecideGates(decision) => gate::decide(state, decision, now),
        Command::PassGate { instance } => gate::pass(state, instance, now),
        Command::TimeOutInstance(lease) => time_out::decide(state, lease, rules, now),
        Command::TakeOver { epoch } => take_over::decide(state, epoch, now),
        Command::RetireRun { run } => retire_run::decide(state, run),
    }
}

/// The instance whose live lease this is.
fn leased<'s>(state: &'s State, lease: &LeaseRef) -> Result<&'s Instance, Rejection> {
    let instance =
        state.instance(lease.instance).ok_or(Rejection::UnknownInstance { instance: lease.instance })?;
    match instance.lease() {
        Some((live, _)) if live == *lease => Ok(instance),
        other => Err(Rejection::StaleLease {
            instance: lease.instance,
            token: lease.token,
            current: other.map(|(live, _)| live.token),
        }),
    }
}

/// Refuses more than a limit allows.
fn within(what: &'static str, value: usize, limit: usize) -> Result<(), Rejection> {
    if value > limit { Err(Rejection::Limit { what, limit: limit as u64 }) } else { Ok(()) }
}

/// Cuts a text for people at its limit.
fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
