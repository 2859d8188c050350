//! Processors and memory of an agent: how much there is, and how much of it a job takes beside its slot.
//!
//! Like slots, none of it is authority: an agent says it in its hello, and a job's container is bounded by the agent itself.

use std::collections::BTreeMap;

use crate::label::LabelSet;

/// An amount of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// Processors, in thousandths of one.
    pub cpu_millis: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

impl Resources {
    /// Whether `other` has as much of both.
    #[must_use]
    pub const fn fits(self, other: Self) -> bool {
        self.cpu_millis <= other.cpu_millis && self.memory_bytes <= other.memory_bytes
    }

    /// What is left; nothing less than none.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    /// Of each the greater.
    #[must_use]
    pub fn max_of(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }

    /// How often `each` can be taken from it.
    fn times(self, each: Self) -> u64 {
        let cpus = self.cpu_millis.checked_div(each.cpu_millis);
        let memory = self.memory_bytes.checked_div(each.memory_bytes);
        cpus.unwrap_or(u64::MAX).min(memory.unwrap_or(u64::MAX))
    }
}

/// What an agent has, and what jobs take of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizing {
    /// All that it shares among its jobs.
    pub total: Resources,
    /// What every job takes.
    pub each: Resources,
    /// What a job takes that asks for this label (in lower case), if that is more.
    pub sizes: BTreeMap<String, Resources>,
}

impl Sizing {
    /// What a job with these labels takes.
    #[must_use]
    pub fn request(&self, labels: &LabelSet) -> Resources {
        let asked = labels.iter().filter_map(|label| self.sizes.get(label));
        asked.fold(self.each, |request, size| request.max_of(*size))
    }

    /// How many of so many slots have as much.
    pub(super) fn slots_worth(&self, amount: Resources, slots: u32) -> u32 {
        let worth = |part: u64, whole: u64| {
            let worth = u128::from(part) * u128::from(slots);
            worth.div_ceil(u128::from(whole.max(1))).min(u128::from(slots)) as u32
        };
        let cpus = worth(amount.cpu_millis, self.total.cpu_millis);
        cpus.max(worth(amount.memory_bytes, self.total.memory_bytes)).max(1)
    }

    /// How many more jobs of no particular size there is room for.
    pub(super) fn room(&self, used: Resources) -> u32 {
        u32::try_from(self.total.minus(used).times(self.each)).unwrap_or(u32::MAX)
    }

    /// Of these labels those for which there is room. What a job takes is the greatest of its sizes, so that there is room for a
    /// job where there is for each of its labels.
    pub(super) fn open(&self, used: Resources, offered: &LabelSet) -> LabelSet {
        let left = self.total.minus(used);
        let shut = |label: &str| self.sizes.get(label).is_some_and(|size| !size.fits(left));
        if offered.iter().any(shut) {
            return offered.iter().filter(|label| !shut(label)).collect();
        }
        offered.clone()
    }
}
