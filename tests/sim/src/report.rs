//! Totals over many seeds.

use std::fmt;

use crate::config::Fault;
use crate::world::Summary;

/// What many seeds came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Events decided.
    pub events: u64,
    /// The fewest events of a seed.
    pub events_min: Option<u64>,
    /// Troubles by kind.
    pub faults: [u64; Fault::COUNT],
    /// Hash over the traces of all seeds, in order.
    pub trace: u64,
}

impl Totals {
    /// Adds a seed. The order matters for `trace` alone.
    pub fn add(&mut self, summary: &Summary) {
        self.seeds += 1;
        self.events += summary.events;
        self.events_min = Some(self.events_min.map_or(summary.events, |least| least.min(summary.events)));
        for (total, count) in self.faults.iter_mut().zip(summary.faults) {
            *total += count;
        }
        self.trace = self.trace.rotate_left(5) ^ summary.trace;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seeds   {}", self.seeds)?;
        writeln!(f, "events  {} (at least {} a seed)", self.events, self.events_min.unwrap_or_default())?;
        writeln!(f, "faults  {}", self.faults.iter().sum::<u64>())?;
        for (name, count) in Fault::NAMES.iter().zip(self.faults) {
            writeln!(f, "  {name:<24}{count}")?;
        }
        write!(f, "trace   {:016x}", self.trace)
    }
}
