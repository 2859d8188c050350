//! An engine with a larger and slower one behind it: Redis or a disk before an object store.
//!
//! What the near engine has is read there; what it lost is read from the one behind, once however many ask, and copied into
//! the near one. Everybody reads through both, so what either has is present: the near one is asked first, the one behind about the rest.
//! (Where each reader has a near engine of his own, that would be a lie: [`Tiered`](crate::cache::Tiered) is for that.)
//!
//! A write is done when the near engine has it. It goes to the one behind afterwards, out of a bounded buffer: what finds no
//! room there is kept by the near engine alone, and counted. So a slow engine behind costs a write nothing, and one that is
//! gone costs a miss its time limit until the breaker before it opens. If the near one is gone, the one behind serves alone.
//!
//! A walk sees the near engine: ages differ, and what is old in one may be in use in the other.

mod sending;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::counters::add;
use crate::cache::engine::{Engine, EngineError, Found, Holding, Keep, Later, Page, Put, Stats, check_sizes};
use crate::cache::flights::Flights;
use crate::cache::key::Key;
use crate::cache::limits::BEHIND_BYTES;

use sending::Sending;

/// Two engines as one.
pub struct Backed {
    near: Arc<dyn Engine>,
    behind: Arc<dyn Engine>,
    sending: Sending,
    not_sent: AtomicU64,
    flights: Flights<Key, Result<Found, EngineError>>,
}

impl Backed {
    /// `near` before `behind`.
    #[must_use]
    pub fn new(near: Arc<dyn Engine>, behind: Arc<dyn Engine>) -> Self {
        Self::with_room(near, behind, BEHIND_BYTES)
    }

    /// The same with room for so many bytes on their way to the engine behind.
    #[must_use]
    pub fn with_room(near: Arc<dyn Engine>, behind: Arc<dyn Engine>, room_bytes: usize) -> Self {
        let sending = Sending::new(Arc::clone(&behind), room_bytes);
        Self { near, behind, sending, not_sent: AtomicU64::new(0), flights: Flights::default() }
    }

    /// One value from the engine behind, and its copy in the near one.
    async fn fetch(&self, key: Key) -> Result<Found, EngineError> {
        let (near, behind, wanted) = (Arc::clone(&self.near), Arc::clone(&self.behind), key.clone());
        let work = async move {
            let found = behind.get_many(std::slice::from_ref(&wanted)).await?.pop().unwrap_or(Found::Missing);
            if let Found::Value(value) = &found {
                // What is written meanwhile is newer than the copy, which therefore takes nobody's place.
                let put = Put { key: wanted.clone(), value: value.clone(), keep: Keep::Temporary };
                if near.put_many(vec![put]).await.is_ok() {
                    let _ = near.have_many(std::slice::from_ref(&wanted)).await;
                }
            }
            Ok(found)
        };
        match self.flights.join(key, work).await {
            Some(result) => result,
            None => Err(EngineError::unavailable("the engine behind", "the fetch was ended")),
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Found>, EngineError> {
        let near = self.near.get_many(keys).await;
        let near_error = near.as_ref().err().cloned();
        let mut found = near.unwrap_or_else(|_| vec![Found::Missing; keys.len()]);
        let absent: Vec<_> = (0..keys.len()).filter(|&at| !matches!(found[at], Found::Value(_))).collect();
        let fetches = absent.iter().map(|&at| self.fetch(keys[at].clone()));
        for (&at, fetched) in absent.iter().zip(futures_util::future::join_all(fetches).await) {
            match (fetched, &near_error) {
                (Ok(Found::Missing), _) | (Err(_), None) => {}
                (Ok(fetched), _) => found[at] = fetched,
                // Neither could be asked.
                (Err(_), Some(near)) => return Err(near.clone()),
            }
        }
        Ok(found)
    }

    async fn have(&self, keys: &[Key]) -> Result<Vec<bool>, EngineError> {
        let near = self.near.have_many(keys).await;
        let near_error = near.as_ref().err().cloned();
        let mut there = near.unwrap_or_else(|_| vec![false; keys.len()]);
        let absent: Vec<_> = (0..keys.len()).filter(|&at| !there[at]).collect();
        if absent.is_empty() {
            return Ok(there);
        }
        let asked: Vec<_> = absent.iter().map(|&at| keys[at].clone()).collect();
        match (self.behind.have_many(&asked).await, near_error) {
            (Ok(behind), _) => absent.iter().zip(behind).for_each(|(&at, behind)| there[at] = behind),
            (Err(_), None) => {}
            (Err(_), Some(near)) => return Err(near),
        }
        Ok(there)
    }
}

impl Engine for Backed {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(self.get(keys))
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            check_sizes(&puts)?;
            let result = self.near.put_many(puts.clone()).await;
            let refused = puts.into_iter().filter(|put| !self.sending.send(put.clone())).count();
            add(&self.not_sent, refused);
            result
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(self.have(keys))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        Box::pin(async move {
            let _stopped = self.sending.stop(keys).await;
            // The one behind first: else a reader in between could copy again what is to go.
            let behind = self.behind.delete_many(keys).await;
            let near = self.near.delete_many(keys).await;
            match (near, behind) {
                (Ok(near), Ok(behind)) => Ok(near.max(behind)),
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        })
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.near.scan(from)
    }

    fn owners(&self) -> Later<'_, Vec<Holding>> {
        self.near.owners()
    }

    /// What is held is what the near engine holds; what was found was found in either.
    fn stats(&self) -> Later<'_, Stats> {
        Box::pin(async move {
            let (near, behind) = futures_util::future::join(self.near.stats(), self.behind.stats()).await;
            let (near, behind) = (near?, behind.unwrap_or_default());
            Ok(Stats {
                hits: near.hits + behind.hits,
                misses: near.misses.saturating_sub(behind.hits),
                damaged: near.damaged + behind.damaged,
                dropped_writes: near.dropped_writes + self.not_sent.load(Ordering::Relaxed),
                ..near
            })
        })
    }
}
