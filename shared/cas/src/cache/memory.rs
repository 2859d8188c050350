//! Cached values in memory: for tests, and as a small fast tier.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::cache::counters::{Counters, add};
use crate::cache::engine::{Engine, Found, Keep, Later, Listed, Page, Put, Stats, Value, check_sizes};
use crate::cache::key::Key;
use crate::cache::limits::{SCAN_KEYS, TEMPORARY_TTL};

/// What a value costs beside its bytes: keys, maps, the allocator.
const VALUE_OVERHEAD_BYTES: u64 = 256;

/// Values in memory, the least recently used of which make room for new ones. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryEngine {
    max_bytes: u64,
    held: Arc<Mutex<Held>>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Held {
    values: HashMap<Key, Slot>,
    /// By last use, the oldest first.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Slot {
    value: Value,
    used: u64,
    used_at: Instant,
    expires: Option<Instant>,
}

fn cost(value: &Value) -> u64 {
    value.data.len() as u64 + VALUE_OVERHEAD_BYTES
}

impl Held {
    fn remove(&mut self, key: &Key) -> bool {
        let Some(slot) = self.values.remove(key) else { return false };
        self.order.remove(&slot.used);
        self.bytes -= cost(&slot.value);
        true
    }

    /// The value if it is here and not expired, as used now.
    fn touch(&mut self, key: &Key) -> Option<Value> {
        let now = Instant::now();
        if self.values.get(key)?.expires.is_some_and(|at| at <= now) {
            self.remove(key);
            return None;
        }
        self.clock += 1;
        let slot = self.values.get_mut(key)?;
        self.order.remove(&slot.used);
        self.order.insert(self.clock, key.clone());
        (slot.used, slot.used_at, slot.expires) = (self.clock, now, None);
        Some(slot.value.clone())
    }

    fn insert(&mut self, put: Put) {
        let now = Instant::now();
        self.remove(&put.key);
        self.clock += 1;
        self.bytes += cost(&put.value);
        self.order.insert(self.clock, put.key.clone());
        let expires = (put.keep == Keep::Temporary).then(|| now + TEMPORARY_TTL);
        self.values.insert(put.key, Slot { value: put.value, used: self.clock, used_at: now, expires });
    }

    fn evict(&mut self, max_bytes: u64) -> usize {
        let mut evicted = 0;
        while self.bytes > max_bytes {
            let Some((_, key)) = self.order.pop_first() else { break };
            if let Some(slot) = self.values.remove(&key) {
                self.bytes -= cost(&slot.value);
                evicted += 1;
            }
        }
        evicted
    }
}

impl MemoryEngine {
    /// An empty one that holds at most `max_bytes`, with a little for each value added.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: Arc::default(), counters: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere cannot happen between two changes that belong together: none of them calls out.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MemoryEngine {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(async move {
            let mut held = self.held();
            let found: Vec<_> =
                keys.iter().map(|key| held.touch(key).map_or(Found::Missing, Found::Value)).collect();
            self.counters.found(&found);
            Ok(found)
        })
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            check_sizes(&puts)?;
            let mut held = self.held();
            add(&self.counters.puts, puts.len());
            for put in puts {
                if put.keep == Keep::Normal || !held.values.contains_key(&put.key) {
                    held.insert(put);
                }
            }
            add(&self.counters.evicted, held.evict(self.max_bytes));
            Ok(())
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(async move {
            let mut held = self.held();
            Ok(keys.iter().map(|key| held.touch(key).is_some()).collect())
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        Box::pin(async move {
            let mut held = self.held();
            Ok(keys.iter().filter(|key| held.remove(key)).count() as u64)
        })
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        Box::pin(async move {
            let held = self.held();
            let from = from.and_then(|text| text.parse::<u64>().ok()).map_or(0, |used| used + 1);
            // By last use: what is used meanwhile comes again.
            let part: Vec<_> = held.order.range(from..).take(SCAN_KEYS).collect();
            let next =
                (part.len() == SCAN_KEYS).then(|| part.last().map(|(used, _)| used.to_string())).flatten();
            let listed = |key: &Key| {
                let slot = held.values.get(key)?;
                let (size_bytes, idle_s) = (cost(&slot.value), slot.used_at.elapsed().as_secs());
                Some(Listed { key: key.clone(), size_bytes: Some(size_bytes), idle_s: Some(idle_s) })
            };
            Ok(Page { keys: part.into_iter().filter_map(|(_, key)| listed(key)).collect(), next })
        })
    }

    fn stats(&self) -> Later<'_, Stats> {
        Box::pin(async move {
            let held = self.held();
            let (values, bytes) = (held.values.len() as u64, held.bytes);
            Ok(Stats { values: Some(values), stored_bytes: Some(bytes), ..self.counters.stats() })
        })
    }
}
