//! Counting what engines do.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::engine::{Found, Stats};

/// One engine's counters since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) puts: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) refused_reads: AtomicU64,
    pub(crate) dropped_writes: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

impl Counters {
    /// Counts what a read found.
    pub(crate) fn found(&self, found: &[Found]) {
        let hits = found.iter().filter(|found| matches!(found, Found::Value(_))).count();
        let damaged = found.iter().filter(|found| matches!(found, Found::Damaged)).count();
        add(&self.hits, hits);
        add(&self.misses, found.len() - hits);
        add(&self.damaged, damaged);
    }

    /// The counts, with nothing said about what is held.
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            values: None,
            stored_bytes: None,
            hits: read(&self.hits),
            misses: read(&self.misses),
            puts: read(&self.puts),
            evicted: read(&self.evicted),
            damaged: read(&self.damaged),
            refused_reads: read(&self.refused_reads),
            dropped_writes: read(&self.dropped_writes),
        }
    }
}
