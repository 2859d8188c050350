//! The waiting instances, one queue for each set of labels and level of trust.
//!
//! Derived from the instances and nothing else: a snapshot does not hold it. Whatever it costs to find the next instance
//! for an agent depends on how many different label sets wait, not on how many instances do.

use std::collections::BTreeMap;

use crate::command::{AgentView, Trust};
use crate::ids::InstanceId;
use crate::label::LabelSet;
use crate::limits::{AVOID_AGENT_MS, AVOID_SCAN_MAX, BACKOFF_MS_MAX, POSITION_MAX};
use crate::state::instance::{Backoff, Instance, Phase};
use crate::time::Timestamp;

/// What every instance of one queue asks of an agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueKey {
    pub(crate) labels: LabelSet,
    pub(crate) trust: Trust,
}

impl QueueKey {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self { labels: instance.labels().clone(), trust: instance.trust }
    }

    fn fits(&self, agent: &AgentView) -> bool {
        (self.trust == Trust::Trusted || agent.accepts_untrusted) && self.labels.fits(&agent.labels)
    }
}

/// Instances that ask for the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Queue {
    /// First attempts, in the order in which they began to wait.
    pub(crate) fresh: BTreeMap<u64, InstanceId>,
    /// New attempts, by the end of their back-off.
    pub(crate) delayed: BTreeMap<(Timestamp, u64), (InstanceId, Backoff)>,
}

/// All queues. An empty one is dropped.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Queues {
    pub(crate) by_key: BTreeMap<QueueKey, Queue>,
    pub(crate) len: usize,
}

/// Where in the order of leases a candidate stands: new attempts whose back-off is over first, then by age.
pub(crate) type Rank = (bool, u64);

impl Queues {
    /// Adds a waiting instance; any other is left alone.
    pub(crate) fn insert(&mut self, instance: &Instance) {
        let Phase::Waiting { backoff } = &instance.phase else { return };
        let queue = self.by_key.entry(QueueKey::of(instance)).or_default();
        let old = match backoff {
            None => queue.fresh.insert(instance.order, instance.id()).is_some(),
            Some(backoff) => {
                let key = (backoff.not_before, instance.order);
                queue.delayed.insert(key, (instance.id(), *backoff)).is_some()
            }
        };
        self.len += usize::from(!old);
    }

    /// Removes an instance that still says it waits; any other is left alone.
    pub(crate) fn remove(&mut self, instance: &Instance) {
        let Phase::Waiting { backoff } = &instance.phase else { return };
        let key = QueueKey::of(instance);
        let Some(queue) = self.by_key.get_mut(&key) else { return };
        let found = match backoff {
            None => queue.fresh.remove(&instance.order).is_some(),
            Some(backoff) => queue.delayed.remove(&(backoff.not_before, instance.order)).is_some(),
        };
        self.len -= usize::from(found);
        if queue.fresh.is_empty() && queue.delayed.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// Whether this waiting instance is where it belongs.
    pub(crate) fn holds(&self, instance: &Instance) -> bool {
        let Phase::Waiting { backoff } = &instance.phase else { return false };
        self.by_key.get(&QueueKey::of(instance)).is_some_and(|queue| match backoff {
            None => queue.fresh.get(&instance.order) == Some(&instance.id()),
            Some(backoff) => {
                queue.delayed.get(&(backoff.not_before, instance.order)) == Some(&(instance.id(), *backoff))
            }
        })
    }

    /// The place of a waiting instance in its queue, from 1, those in back-off not counted; no further than
    /// [`POSITION_MAX`].
    pub(crate) fn position(&self, instance: &Instance) -> usize {
        let queue = self.by_key.get(&QueueKey::of(instance));
        let before = queue.into_iter().flat_map(|queue| queue.fresh.range(..instance.order));
        before.take(POSITION_MAX - 1).count() + 1
    }

    /// The next `count` instances for this agent, best first.
    pub(crate) fn next_for(&self, agent: &AgentView, count: usize, now: Timestamp) -> Vec<InstanceId> {
        let mut sources: Vec<_> = self
            .by_key
            .iter()
            .filter(|(key, _)| key.fits(agent))
            .map(|(_, queue)| candidates(queue, agent, now).peekable())
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < count {
            let best = sources
                .iter_mut()
                .enumerate()
                .filter_map(|(at, source)| source.peek().map(|(rank, _)| (*rank, at)))
                .min();
            let Some((_, instance)) = best.and_then(|(_, at)| sources.get_mut(at)).and_then(Iterator::next)
            else {
                break;
            };
            chosen.push(instance);
        }
        chosen
    }

    /// The place in the order of leases of the next instance for this agent.
    pub(crate) fn first_rank(&self, agent: &AgentView, now: Timestamp) -> Option<Rank> {
        let fitting = self.by_key.iter().filter(|(key, _)| key.fits(agent));
        fitting.filter_map(|(_, queue)| candidates(queue, agent, now).next()).map(|(rank, _)| rank).min()
    }

    /// When the next back-off ends, over all queues; also one that is over already.
    pub(crate) fn next_retry(&self) -> Option<Timestamp> {
        self.by_key.values().filter_map(|queue| queue.delayed.keys().next()).map(|(at, _)| *at).min()
    }
}

/// A queue's instances that this agent may have now.
fn candidates<'a>(
    queue: &'a Queue,
    agent: &'a AgentView,
    now: Timestamp,
) -> impl Iterator<Item = (Rank, InstanceId)> + 'a {
    let retries = queue
        .delayed
        .iter()
        .take(AVOID_SCAN_MAX)
        .take_while(move |((not_before, _), _)| is_over(*not_before, now))
        .filter(move |(_, (_, backoff))| {
            backoff.avoid != agent.id || is_over(backoff.not_before.after(AVOID_AGENT_MS), now)
        })
        .map(|((_, order), (instance, _))| ((false, *order), *instance));
    retries.chain(queue.fresh.iter().map(|(order, instance)| ((true, *order), *instance)))
}

/// Whether a time has come. One that lies further ahead than any back-off does was set before the clock was put back,
/// and counts as come: a clock that jumps must not hold an instance for long.
pub(crate) fn is_over(time: Timestamp, now: Timestamp) -> bool {
    time <= now || time > now.after(BACKOFF_MS_MAX + AVOID_AGENT_MS)
}
