//! How many come before an instance, for people.
//!
//! Counted, not played through: with turns of `weight` leases it is known how often each share and each lane has had its
//! turn before a place is reached. New attempts that are due later, instances that come later with a higher priority, and the
//! turns that go by age are left out, so it is a good guess and not a promise.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lane, Lanes, Queue, Shares, Turn, is_over};
use crate::ids::InstanceId;
use crate::limits::{POSITION_LINES_MAX, POSITION_MAX};
use crate::state::{Instance, Phase};
use crate::time::Timestamp;

/// The queues of one kind of agents, and whose turn it is there.
pub(crate) struct Order<'a, W> {
    pub(crate) queues: Vec<&'a Queue>,
    pub(crate) turn: &'a Turn,
    /// The weight of a waiting instance's share.
    pub(crate) weight: W,
}

impl<W: Fn(InstanceId) -> u32> Order<'_, W> {
    /// The place of a waiting instance, from 1, those in back-off not counted; no further than [`POSITION_MAX`].
    pub(crate) fn position(&self, instance: &Instance, now: Timestamp) -> usize {
        let due = self.due(now);
        if let Phase::Waiting { backoff: Some(_) } = instance.phase {
            return due.into_iter().filter(|order| *order < instance.order).count() + 1;
        }
        let level = Reverse(instance.line().priority);
        let higher = self.queues.iter().flat_map(|queue| queue.levels.range(..level));
        let higher = higher.flat_map(|(_, shares)| shares.values()).take(POSITION_LINES_MAX).map(length);
        let shares: Vec<&Shares> = self.queues.iter().filter_map(|queue| queue.levels.get(&level)).collect();
        let own = self.in_share(&shares, instance);
        let others = self.in_other_shares(&shares, instance, own);
        (due.len() + higher.sum::<usize>() + own + others + 1).min(POSITION_MAX)
    }

    /// New attempts that are due.
    fn due(&self, now: Timestamp) -> Vec<u64> {
        let due = |queue: &&Queue| {
            let delayed = queue.delayed.keys().take(POSITION_MAX);
            let due = delayed.take_while(|(not_before, _)| is_over(*not_before, now));
            due.map(|(_, order)| *order).collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(due).collect()
    }

    /// How many of its own share come before it: lanes take turns of one.
    fn in_share(&self, shares: &[&Shares], instance: &Instance) -> usize {
        let line = instance.line();
        let lanes = || shares.iter().filter_map(|shares| shares.get(&line.share));
        let own = lanes().filter_map(|lanes| lanes.get(&line.lane));
        let ahead: usize = own.map(|lane| lane.range(..instance.order).take(POSITION_MAX).count()).sum();
        let mut others: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for (name, lane) in lanes().flatten().take(POSITION_LINES_MAX).filter(|(name, _)| **name != line.lane)
        {
            *others.entry(name).or_default() += lane.len();
        }
        let last = self.turn.lanes.get(&(line.priority, Arc::clone(&line.share)));
        let served = others
            .into_iter()
            .map(|(name, length)| length.min(ahead + usize::from(comes_first(name, &line.lane, last))));
        ahead + served.sum::<usize>()
    }

    /// How many of other shares of its priority come before it, when `own` of its share do.
    fn in_other_shares(&self, shares: &[&Shares], instance: &Instance, own: usize) -> usize {
        let line = instance.line();
        let last = self.turn.shares.get(&line.priority);
        // What the share at its turn still gets in it.
        let left =
            |share: &Arc<str>| last.filter(|(at, _)| at == share).map_or(0, |(_, left)| *left as usize);
        if own < left(&line.share) {
            return 0;
        }
        let turns = (own - left(&line.share)) / line.weight.max(1) as usize;
        let mut others: BTreeMap<&Arc<str>, (usize, u32)> = BTreeMap::new();
        for (name, lanes) in shares.iter().copied().flatten().take(POSITION_LINES_MAX) {
            let weight =
                lanes.values().find_map(|lane| lane.values().next()).map_or(1, |id| (self.weight)(*id));
            let other = others.entry(name).or_default();
            *other = (other.0 + length(lanes), other.1.max(weight));
        }
        others.remove(&line.share);
        let last = last.map(|(share, _)| share);
        let served = others.into_iter().map(|(name, (length, weight))| {
            let turns = turns + usize::from(comes_first(name, &line.share, last));
            length.min(left(name) + turns * weight as usize)
        });
        served.sum()
    }
}

/// Whether `name` has its turn before `own`, when `last` had the last one.
fn comes_first(name: &Arc<str>, own: &Arc<str>, last: Option<&Arc<str>>) -> bool {
    let place = |it: &Arc<str>| (last.is_some_and(|last| it <= last), Arc::clone(it));
    place(name) < place(own)
}

fn length(lanes: &Lanes) -> usize {
    lanes.values().take(POSITION_LINES_MAX).map(Lane::len).sum()
}
