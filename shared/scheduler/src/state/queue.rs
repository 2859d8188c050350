//! The waiting instances: one queue for each set of labels and level of trust, and in it a line for each priority, share and
//! lane.
//!
//! Derived from the instances and nothing else: a snapshot does not hold it. What it costs to find the next instance for an
//! agent depends on how many label sets *fit* the agent, and on the logarithm of how many shares and instances wait with them.
//! Whose turn it is stands in [`crate::fleet`]: that is soft.

mod choose;
mod position;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use choose::{Choice, Turn, choose};
pub(crate) use position::Order;

use crate::command::{AgentView, Trust};
use crate::ids::InstanceId;
use crate::label::LabelSet;
use crate::limits::{AVOID_AGENT_MS, BACKOFF_MS_MAX};
use crate::state::instance::{Backoff, Instance, Phase};
use crate::state::label_index::LabelIndex;
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
}

/// The first attempts of one lane, in the order in which they began to wait.
pub(crate) type Lane = BTreeMap<u64, InstanceId>;

/// A share's lanes.
pub(crate) type Lanes = BTreeMap<Arc<str>, Lane>;

/// The shares of one priority.
pub(crate) type Shares = BTreeMap<Arc<str>, Lanes>;

/// Instances that ask for the same. Nothing empty is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Queue {
    /// First attempts, by priority, highest first.
    pub(crate) levels: BTreeMap<Reverse<i8>, Shares>,
    /// The same by how urgent they are when their waiting counts: virtual enqueue time, place, priority.
    pub(crate) aged: BTreeSet<(i64, u64, i8)>,
    /// New attempts, by the end of their back-off.
    pub(crate) delayed: BTreeMap<(Timestamp, u64), (InstanceId, Backoff)>,
}

impl Queue {
    fn insert(&mut self, instance: &Instance, backoff: Option<Backoff>) -> bool {
        let id = instance.id();
        if let Some(backoff) = backoff {
            let key = (backoff.not_before, instance.order);
            return self.delayed.insert(key, (id, backoff)).is_none();
        }
        let line = instance.line();
        let shares = self.levels.entry(Reverse(line.priority)).or_default();
        let lanes = shares.entry(Arc::clone(&line.share)).or_default();
        let lane = lanes.entry(Arc::clone(&line.lane)).or_default();
        self.aged.insert((line.urgency(instance.since), instance.order, line.priority));
        lane.insert(instance.order, id).is_none()
    }

    fn remove(&mut self, instance: &Instance, backoff: Option<Backoff>) -> bool {
        if let Some(backoff) = backoff {
            return self.delayed.remove(&(backoff.not_before, instance.order)).is_some();
        }
        let line = instance.line();
        self.aged.remove(&(line.urgency(instance.since), instance.order, line.priority));
        let Some(shares) = self.levels.get_mut(&Reverse(line.priority)) else { return false };
        let Some(lanes) = shares.get_mut(&line.share) else { return false };
        let Some(lane) = lanes.get_mut(&line.lane) else { return false };
        let found = lane.remove(&instance.order).is_some();
        if lane.is_empty() {
            lanes.remove(&line.lane);
        }
        if lanes.is_empty() {
            shares.remove(&line.share);
        }
        if shares.is_empty() {
            self.levels.remove(&Reverse(line.priority));
        }
        found
    }

    fn holds(&self, instance: &Instance, backoff: Option<Backoff>) -> bool {
        if let Some(backoff) = backoff {
            let key = (backoff.not_before, instance.order);
            return self.delayed.get(&key) == Some(&(instance.id(), backoff));
        }
        let line = instance.line();
        let lanes = self.levels.get(&Reverse(line.priority)).and_then(|shares| shares.get(&line.share));
        let lane = lanes.and_then(|lanes| lanes.get(&line.lane));
        lane.and_then(|lane| lane.get(&instance.order)) == Some(&instance.id())
            && self.aged.contains(&(line.urgency(instance.since), instance.order, line.priority))
    }

    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.delayed.is_empty()
    }

    /// How many entries its lines have, counted; for the invariants.
    pub(crate) fn entries(&self) -> usize {
        let lanes = self.levels.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        lanes.map(BTreeMap::len).sum::<usize>() + self.delayed.len()
    }

    /// How many wait in it.
    pub(crate) fn len(&self) -> usize {
        self.aged.len() + self.delayed.len()
    }
}

/// All queues. An empty one is dropped.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Queues {
    pub(crate) by_key: BTreeMap<QueueKey, Queue>,
    index: LabelIndex,
    pub(crate) len: usize,
}

impl Queues {
    /// Adds a waiting instance; any other is left alone.
    pub(crate) fn insert(&mut self, instance: &Instance) {
        let Phase::Waiting { backoff } = &instance.phase else { return };
        let queue = self.by_key.entry(QueueKey::of(instance)).or_insert_with(|| {
            self.index.insert(instance.labels());
            Queue::default()
        });
        self.len += usize::from(queue.insert(instance, *backoff));
    }

    /// Removes an instance that still says it waits; any other is left alone.
    pub(crate) fn remove(&mut self, instance: &Instance) {
        let Phase::Waiting { backoff } = &instance.phase else { return };
        let key = QueueKey::of(instance);
        let Some(queue) = self.by_key.get_mut(&key) else { return };
        self.len -= usize::from(queue.remove(instance, *backoff));
        if !queue.is_empty() {
            return;
        }
        self.by_key.remove(&key);
        let other = match key.trust {
            Trust::Trusted => Trust::Untrusted,
            Trust::Untrusted => Trust::Trusted,
        };
        let other = QueueKey { labels: key.labels, trust: other };
        if !self.by_key.contains_key(&other) {
            self.index.remove(&other.labels);
        }
    }

    /// Whether this waiting instance is where it belongs.
    pub(crate) fn holds(&self, instance: &Instance) -> bool {
        let Phase::Waiting { backoff } = &instance.phase else { return false };
        self.by_key.get(&QueueKey::of(instance)).is_some_and(|queue| queue.holds(instance, *backoff))
    }

    /// The queues that agents of this kind may take from.
    pub(crate) fn fitting(&self, labels: &LabelSet, accepts_untrusted: bool) -> Vec<&Queue> {
        let trusts: &[Trust] =
            if accepts_untrusted { &[Trust::Trusted, Trust::Untrusted] } else { &[Trust::Trusted] };
        let keys =
            self.index.fitting(labels).into_iter().flat_map(|labels| {
                trusts.iter().map(|trust| QueueKey { labels: labels.clone(), trust: *trust })
            });
        keys.filter_map(|key| self.by_key.get(&key)).collect()
    }

    /// The next instance for this agent, when it is nobody's turn yet.
    pub(crate) fn first_for(&self, agent: &AgentView, now: Timestamp) -> Option<Choice> {
        let queues = self.fitting(&agent.labels, agent.accepts_untrusted);
        choose(&queues, &Turn::default(), agent.id, now)
    }

    /// When the next back-off ends, over all queues; also one that is over already.
    pub(crate) fn next_retry(&self) -> Option<Timestamp> {
        self.by_key.values().filter_map(|queue| queue.delayed.keys().next()).map(|(at, _)| *at).min()
    }
}

/// Whether a new attempt may be made by this agent now.
pub(crate) fn may_retry(backoff: &Backoff, agent: crate::AgentId, now: Timestamp) -> bool {
    is_over(backoff.not_before, now)
        && (backoff.avoid != agent || is_over(backoff.not_before.after(AVOID_AGENT_MS), now))
}

/// Whether a time has come. One that lies further ahead than any back-off does was set before the clock was put back,
/// and counts as come: a clock that jumps must not hold an instance for long.
pub(crate) fn is_over(time: Timestamp, now: Timestamp) -> bool {
    time <= now || time > now.after(BACKOFF_MS_MAX + AVOID_AGENT_MS)
}
