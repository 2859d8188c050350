//! What will happen in a world, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slipway_scheduler::Uptime;

/// Things to come. Of two at the same time the one that was put in first comes first.
///
/// The heap holds small keys and the things lie beside it: they are large, and a heap moves what it holds about.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    heap: BinaryHeap<Reverse<(Uptime, u64, u32)>>,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    order: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::with_capacity(128),
            things: Vec::with_capacity(128),
            free: Vec::new(),
            order: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Puts in what happens at that time.
    pub(crate) fn put(&mut self, at: Uptime, thing: T) {
        self.order += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() as u32 - 1
        });
        self.things[slot as usize] = Some(thing);
        self.heap.push(Reverse((at, self.order, slot)));
    }

    /// Takes out what happens next.
    pub(crate) fn next(&mut self) -> Option<(Uptime, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.things[slot as usize].take()?))
    }
}
