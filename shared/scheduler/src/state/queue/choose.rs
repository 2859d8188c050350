//! Which instance an agent gets next.
//!
//! 1. A new attempt whose back-off is over: it waited before.
//! 2. Else the highest priority. Every [`AGED_TURN_EVERY`]th time the priority of whoever is most urgent when its waiting
//!    counts ([`crate::limits::PRIORITY_POINT_MS`] for each point), so that nothing starves below a flood of something higher.
//! 3. Of that priority the share whose turn it is: *deficit round robin* (Shreedhar & Varghese, SIGCOMM 1995), where each
//!    lease costs one and a share's quantum is its weight. A share that has nothing waiting loses its turn: no credit for the past.
//! 4. Of that share the lane whose turn it is, and of it whoever waits longest.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Lane, Lanes, Queue, Shares, may_retry};
use crate::ids::{AgentId, InstanceId};
use crate::limits::{AGED_TURN_EVERY, AVOID_SCAN_MAX};
use crate::state::Line;
use crate::time::Timestamp;

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) instance: InstanceId,
    /// Whether it counts as a turn; a new attempt does not.
    pub(crate) turn: bool,
    /// Whether other lanes of its share wait too.
    pub(crate) lanes: bool,
}

/// Whose turn it is at the agents of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Turn {
    /// The share that was last served of each priority, and how many more leases it gets in that turn.
    pub(super) shares: BTreeMap<i8, (Arc<str>, u32)>,
    /// The lane that was last served of each share that had several.
    pub(super) lanes: BTreeMap<(i8, Arc<str>), Arc<str>>,
    /// Leases since one for whoever was most urgent.
    since_aged: u32,
}

impl Turn {
    /// Somebody of this line was served. `lanes`: other lanes of its share waited too.
    pub(crate) fn served(&mut self, line: &Line, lanes: bool) {
        self.since_aged = (self.since_aged + 1) % AGED_TURN_EVERY;
        let weight = line.weight.max(1);
        let last = self.shares.entry(line.priority).or_insert_with(|| (Arc::clone(&line.share), weight));
        if last.0 != line.share || last.1 == 0 {
            *last = (Arc::clone(&line.share), weight);
        }
        last.1 -= 1;
        let share = (line.priority, Arc::clone(&line.share));
        if lanes {
            self.lanes.insert(share, Arc::clone(&line.lane));
        } else {
            self.lanes.remove(&share);
        }
    }

    /// How many lanes are remembered.
    pub(crate) fn lanes_len(&self) -> usize {
        self.lanes.len()
    }

    /// Where another kind of agents begins.
    pub(crate) fn begin(&self) -> Self {
        Self { shares: self.shares.clone(), lanes: BTreeMap::new(), since_aged: self.since_aged }
    }

    fn is_aged(&self) -> bool {
        self.since_aged + 1 == AGED_TURN_EVERY
    }
}

pub(crate) fn choose(queues: &[&Queue], turn: &Turn, agent: AgentId, now: Timestamp) -> Option<Choice> {
    let retries = queues.iter().filter_map(|queue| next_retry(queue, agent, now));
    if let Some((_, instance)) = retries.min() {
        return Some(Choice { instance, turn: false, lanes: false });
    }
    let priority = if turn.is_aged() { aged_priority(queues)? } else { top_priority(queues)? };
    let level = std::cmp::Reverse(priority);
    let shares: Vec<&Shares> = queues.iter().filter_map(|queue| queue.levels.get(&level)).collect();
    let last = turn.shares.get(&priority);
    let stays = last.filter(|(share, left)| *left > 0 && shares.iter().any(|it| it.contains_key(share)));
    let share = match stays {
        Some((share, _)) => share,
        None => next_after(&shares, last.map(|(share, _)| share))?,
    };
    let lanes: Vec<&Lanes> = shares.iter().filter_map(|shares| shares.get(share)).collect();
    let lane = next_after(&lanes, turn.lanes.get(&(priority, Arc::clone(share))))?;
    let waiting: Vec<&Lane> = lanes.iter().filter_map(|lanes| lanes.get(lane)).collect();
    let (_, instance) = waiting.iter().filter_map(|lane| lane.first_key_value()).min()?;
    let several = lanes.iter().any(|lanes| lanes.keys().any(|other| other != lane));
    Some(Choice { instance: *instance, turn: true, lanes: several })
}

fn next_retry(queue: &Queue, agent: AgentId, now: Timestamp) -> Option<(u64, InstanceId)> {
    let first = queue.delayed.iter().take(AVOID_SCAN_MAX);
    let mut due = first.filter(|(_, (_, backoff))| may_retry(backoff, agent, now));
    due.next().map(|((_, order), (instance, _))| (*order, *instance))
}

pub(super) fn top_priority(queues: &[&Queue]) -> Option<i8> {
    queues.iter().filter_map(|queue| queue.levels.keys().next()).map(|level| level.0).max()
}

/// The priority of whoever is most urgent when its waiting counts.
pub(super) fn aged_priority(queues: &[&Queue]) -> Option<i8> {
    queues.iter().filter_map(|queue| queue.aged.first()).min().map(|(_, _, priority)| *priority)
}

/// The first key after `last` in any of the maps, round and round.
fn next_after<'a, V>(maps: &[&'a BTreeMap<Arc<str>, V>], last: Option<&Arc<str>>) -> Option<&'a Arc<str>> {
    let after = |last: &Arc<str>| {
        let bounds = (Bound::Excluded(last), Bound::Unbounded);
        maps.iter().filter_map(|map| map.range::<Arc<str>, _>(bounds).next()).map(|(key, _)| key).min()
    };
    let first = || maps.iter().filter_map(|map| map.keys().next()).min();
    last.and_then(after).or_else(first)
}
