//! The check of a whole state.

use std::collections::BTreeSet;

use crate::invariant::Violation;
use crate::invariant::monitor::check_instance;
use crate::invariant::touched::check_idle_run;
use crate::limits::{GROUP_WAITING_MAX, IDEMPOTENCY_KEYS_MAX, INSTANCES_MAX, RUNS_MAX};
use crate::state::group::{Groups, Kind};
use crate::state::queue::Queue;
use crate::state::{Phase, State};

/// Checks everything that must hold of a state between decisions. Costs time in proportion to the state.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(state: &State) -> Result<(), Violation> {
    limits(state)?;
    let (mut waiting, mut leased, mut gated) = (0, 0, 0);
    let mut tokens = BTreeSet::new();
    for instance in state.instances.values() {
        if instance.phase == Phase::Settling {
            return Err(Violation::Nowhere(instance.id()));
        }
        check_instance(state, instance)?;
        waiting += usize::from(matches!(instance.phase, Phase::Waiting { .. }));
        gated += usize::from(matches!(instance.phase, Phase::Gated { .. }));
        leased += usize::from(matches!(instance.phase, Phase::Leased { .. }));
        for attempt in &instance.attempts {
            if !tokens.insert(attempt.token) || state.last_token < Some(attempt.token) {
                return Err(Violation::Token(attempt.token));
            }
        }
        if !state.job_of(instance).is_some_and(|job| job.instances.contains(&instance.id())) {
            return Err(Violation::Unknown);
        }
    }
    // Each waiting instance is in its queue; with as many entries as there are of them there is nothing else in any.
    let entries = state.queues.by_key.values().map(Queue::entries).sum();
    if let Some(queue) = state.queues.by_key.values().find(|queue| queue.entries() != queue.len()) {
        return Err(Violation::QueueLength { counted: queue.entries(), claimed: queue.len() });
    }
    if waiting != state.queues.len || waiting != entries {
        return Err(Violation::QueueLength { counted: waiting, claimed: state.queues.len.max(entries) });
    }
    if gated != state.gates.len() {
        return Err(state.gates.first().map_or(Violation::Unknown, |(_, id)| Violation::Gate(*id)));
    }
    if leased != state.leased.len() {
        return Err(state.leased.first().map_or(Violation::Unknown, |id| Violation::Leases(*id)));
    }
    let mut groups = Groups::default();
    for run in state.runs.values() {
        groups.insert(run);
        groups.insert_calls(run);
    }
    for instance in state.instances.values() {
        let run = state.run(instance.run).ok_or(Violation::Unknown)?;
        groups.update_instance(run, instance);
    }
    if groups != state.groups {
        return Err(Violation::Unknown);
    }
    for (key, group) in groups.iter() {
        // One may wait only behind a holder; a new one takes the place of an older one beyond the limit.
        if group.holder.is_none() && !group.waiting.is_empty() {
            return Err(Violation::GroupMembers);
        }
        if key.kind == Kind::Concurrency && group.waiting.len() > GROUP_WAITING_MAX {
            return Err(Violation::Limit("runs that wait for a concurrency group"));
        }
    }
    for run in state.runs.values() {
        check_idle_run(state, run)?;
    }
    Ok(())
}

fn limits(state: &State) -> Result<(), Violation> {
    let held = [
        ("runs", state.runs.len(), RUNS_MAX),
        ("instances", state.instances.len(), INSTANCES_MAX),
        ("idempotency keys", state.deliveries.len(), IDEMPOTENCY_KEYS_MAX),
        ("finished runs", state.finished_runs.len(), state.runs.len()),
    ];
    if let Some((what, _, _)) = held.into_iter().find(|(_, value, limit)| value > limit) {
        return Err(Violation::Limit(what));
    }
    if state.deliveries.len() != state.delivery_order.len() {
        return Err(Violation::Deliveries);
    }
    Ok(())
}
