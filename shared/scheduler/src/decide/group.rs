//! Concurrency groups: who makes room for a new run, and who comes next when a run is over.

use std::collections::BTreeSet;

use crate::command::{Concurrency, Queueing, RunMeta};
use crate::decide::cascade::Cascade;
use crate::event::Event;
use crate::ids::{JobId, RunId};
use crate::limits::GROUP_WAITING_MAX;
use crate::outcome::JobResult;
use crate::state::group::{Group, key};
use crate::state::{Run, State};
use crate::time::Timestamp;

/// The run that gets a group next, and its jobs that become ready then.
#[derive(Debug, Clone)]
pub(super) struct Heir {
    pub(super) run: RunId,
    pub(super) ready: Vec<JobId>,
}

impl Heir {
    /// The first that waits for this run's group.
    pub(super) fn of(state: &State, run: &Run) -> Option<Self> {
        let group = state.groups.get(&run.group_key()?)?;
        let next = state.run(*group.waiting.first_key_value()?.1)?;
        Some(Self { run: next.id(), ready: next.startable().map(|job| job.id().clone()).collect() })
    }

    pub(super) fn events(self, now: Timestamp) -> impl Iterator<Item = Event> {
        let Self { run, ready } = self;
        let acquired = Event::GroupAcquired { run, at: now };
        std::iter::once(acquired).chain(ready.into_iter().map(move |job| Event::JobReady { run, job }))
    }
}

/// A new run's entry into a group that another run holds.
pub(super) struct Entry<'s> {
    group: &'s Group,
    cancel_in_progress: bool,
    queue: Queueing,
    name: String,
}

impl<'s> Entry<'s> {
    /// `None`: the group is free.
    pub(super) fn of(state: &'s State, meta: &RunMeta, concurrency: &Concurrency) -> Option<Self> {
        let group = state.groups.get(&key(&meta.forge, &meta.repository, &concurrency.group))?;
        Some(Self {
            group,
            cancel_in_progress: concurrency.cancel_in_progress,
            queue: concurrency.queue,
            name: concurrency.group.clone(),
        })
    }

    /// Cancels what the new run does not wait for. Where that ends the holder at once, the new run is the next.
    pub(super) fn make_room(self, state: &State, heir: Heir, actor: &str, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let waiting = self.group.waiting.values();
        let surplus = match self.queue {
            _ if self.cancel_in_progress => self.group.waiting.len(),
            Queueing::Single => self.group.waiting.len(),
            Queueing::Max => (self.group.waiting.len() + 1).saturating_sub(GROUP_WAITING_MAX),
        };
        let reason = format!("a newer run of the concurrency group `{}` took its place", self.name);
        for run in waiting.take(surplus).filter_map(|run| state.run(*run)) {
            events.push(cancelled(run, actor, &reason, now));
            events.extend(end_waiting(run, now));
        }
        let holder = self.group.holder.and_then(|run| state.run(run));
        if let Some(holder) = holder.filter(|holder| self.cancel_in_progress && holder.cancelled().is_none())
        {
            let mut cascade = Cascade::new(state, holder, now);
            cascade.heir = Some(heir);
            cascade.events.push(cancelled(holder, actor, &reason, now));
            cascade.cancel_run();
            events.append(&mut cascade.events);
        }
        events
    }
}

fn cancelled(run: &Run, actor: &str, reason: &str, now: Timestamp) -> Event {
    Event::RunCancelled { run: run.id(), actor: actor.to_owned(), reason: reason.to_owned(), at: now }
}

/// The end of a run that was cancelled while it waited for its group: none of its jobs begins, also not under `always()`.
pub(super) fn end_waiting(run: &Run, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::with_capacity(run.jobs().len() + 1);
    let mut done: BTreeSet<&JobId> =
        run.jobs().iter().filter(|job| job.result().is_some()).map(|job| job.id()).collect();
    // Jobs form no cycle, so each round ends at least one: a job is finished after those that it needs.
    loop {
        let next: Vec<&JobId> = run
            .jobs()
            .iter()
            .filter(|job| !done.contains(job.id()) && run.needs(job).all(|need| done.contains(need.id())))
            .map(|job| job.id())
            .collect();
        if next.is_empty() {
            break;
        }
        for job in next {
            done.insert(job);
            let (result, conclusion) = (JobResult::Cancelled, JobResult::Cancelled);
            events.push(Event::JobFinished { run: run.id(), job: job.clone(), result, conclusion, at: now });
        }
    }
    events.push(Event::RunFinished { run: run.id(), result: JobResult::Cancelled, cause: None, at: now });
    events
}
