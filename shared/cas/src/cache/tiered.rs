//! A fast engine before a slow one: an agent's disk before Redis, memory before either.
//!
//! Rules. The slow tier is the truth: whether a value is present is asked of it alone, so that the fast one cannot hide
//! what the slow one lost. What does not change ([`Kind::is_immutable`]) is read from the fast tier if it is there, and
//! copied into it when it comes from the slow one, once however many ask at a time; actions and named entries are
//! always read from the slow tier, since another process may have changed them. A fast tier that fails is passed over.
//!
//! [`Kind::is_immutable`]: crate::cache::key::Kind::is_immutable

use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::cache::engine::{Engine, EngineError, Found, Holding, Keep, Later, Page, Put, Stats};
use crate::cache::flights::Flights;
use crate::cache::key::Key;

/// What a write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Both tiers; the slow one's error is the caller's. What is answered as stored can be found by everyone.
    Through,
    /// The slow tier alone: for a fast tier that is to hold only what is read.
    Around,
}

/// Two engines as one.
pub struct Tiered {
    fast: Arc<dyn Engine>,
    slow: Arc<dyn Engine>,
    write: WriteMode,
    flights: Flights<Key, Result<Found, EngineError>>,
}

impl Tiered {
    /// `fast` before `slow`.
    pub fn new(fast: Arc<dyn Engine>, slow: Arc<dyn Engine>, write: WriteMode) -> Self {
        Self { fast, slow, write, flights: Flights::default() }
    }

    /// Values from the slow tier, and their copies in the fast one: asked for at once, but for those that somebody else asks for
    /// already.
    async fn fetch(&self, keys: Vec<Key>) -> Vec<Result<Found, EngineError>> {
        let (fast, slow, wanted) = (Arc::clone(&self.fast), Arc::clone(&self.slow), keys.clone());
        let work = async move {
            let found = slow.get_many(&wanted).await?;
            let copies = wanted.into_iter().zip(&found).filter_map(|(key, found)| match found {
                Found::Value(value) => Some(Put { key, value: value.clone(), keep: Keep::Normal }),
                Found::Missing | Found::Damaged => None,
            });
            let copies: Vec<_> = copies.collect();
            if !copies.is_empty() {
                // A copy that could not be made costs time, nothing else.
                let _ = fast.put_many(copies).await;
            }
            Ok::<_, EngineError>(found)
        };
        let work = work.boxed().shared();
        let fetches = keys.into_iter().enumerate().map(|(at, key)| {
            let work = work.clone();
            let one = async move { Ok(work.await?.get(at).cloned().unwrap_or(Found::Missing)) };
            self.flights.join(key, one)
        });
        let ended = || Err(EngineError::unavailable("the slow tier", "the fetch was ended"));
        let fetched = futures_util::future::join_all(fetches).await;
        fetched.into_iter().map(|fetched| fetched.unwrap_or_else(ended)).collect()
    }

    async fn look_in_fast(&self, keys: &[Key]) -> Vec<Found> {
        let immutable: Vec<_> = keys.iter().filter(|key| key.kind.is_immutable()).cloned().collect();
        let found = match immutable.is_empty() {
            true => Vec::new(),
            false => self.fast.get_many(&immutable).await.unwrap_or_default(),
        };
        let mut found = found.into_iter();
        let mut next = |key: &Key| match key.kind.is_immutable() {
            true => found.next().unwrap_or(Found::Missing),
            false => Found::Missing,
        };
        keys.iter().map(&mut next).collect()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Found>, EngineError> {
        let mut found = self.look_in_fast(keys).await;
        let is_absent = |found: &Found| !matches!(found, Found::Value(_));
        let absent: Vec<_> = (0..keys.len()).filter(|&at| is_absent(&found[at])).collect();
        let (copied, changing): (Vec<_>, Vec<_>) =
            absent.into_iter().partition(|&at| keys[at].kind.is_immutable());
        let fetches = self.fetch(copied.iter().map(|&at| keys[at].clone()).collect());
        let changing_keys: Vec<_> = changing.iter().map(|&at| keys[at].clone()).collect();
        let direct = async {
            match changing_keys.is_empty() {
                true => Ok(Vec::new()),
                false => self.slow.get_many(&changing_keys).await,
            }
        };
        let (fetched, direct) = futures_util::future::join(fetches, direct).await;
        for (at, fetched) in copied.into_iter().zip(fetched) {
            found[at] = fetched?;
        }
        for (at, fetched) in changing.into_iter().zip(direct?) {
            found[at] = fetched;
        }
        Ok(found)
    }
}

impl Engine for Tiered {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(self.get(keys))
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            if self.write == WriteMode::Around {
                // A copy of what is replaced would otherwise live on: an old manifest may list chunks that are gone.
                let keys: Vec<_> = puts.iter().map(|put| put.key.clone()).collect();
                let slow = self.slow.put_many(puts).await;
                let _ = self.fast.delete_many(&keys).await;
                return slow;
            }
            let copies: Vec<_> = puts.iter().filter(|put| put.key.kind.is_immutable()).cloned().collect();
            let (fast, slow) =
                futures_util::future::join(self.fast.put_many(copies), self.slow.put_many(puts)).await;
            match fast {
                Err(error @ (EngineError::TooLarge { .. } | EngineError::Wrong { .. })) => Err(error),
                Ok(()) | Err(EngineError::Unavailable { .. }) => slow,
            }
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.slow.have_many(keys)
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        Box::pin(async move {
            // The slow one first: else a reader in between could copy again what is to go.
            let slow = self.slow.delete_many(keys).await;
            let _ = self.fast.delete_many(keys).await;
            slow
        })
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.slow.scan(from)
    }

    fn owners(&self) -> Later<'_, Vec<Holding>> {
        self.slow.owners()
    }

    /// What is held is what the slow tier holds; what was found was found in either.
    fn stats(&self) -> Later<'_, Stats> {
        Box::pin(async move {
            let (fast, slow) = futures_util::future::join(self.fast.stats(), self.slow.stats()).await;
            let (fast, slow) = (fast.unwrap_or_default(), slow?);
            let hits = fast.hits + slow.hits;
            Ok(Stats { hits, damaged: fast.damaged + slow.damaged, ..slow })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cache::conformance::{key, put};
    use crate::cache::key::Kind;
    use crate::cache::memory::MemoryEngine;

    /// Counts the questions for values.
    struct Counting {
        memory: MemoryEngine,
        asked: AtomicUsize,
    }

    impl Engine for Counting {
        fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.memory.get_many(keys)
        }
        fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
            self.memory.put_many(puts)
        }
        fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
            self.memory.have_many(keys)
        }
        fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
            self.memory.delete_many(keys)
        }
        fn scan(&self, from: Option<String>) -> Later<'_, Page> {
            self.memory.scan(from)
        }
        fn stats(&self) -> Later<'_, Stats> {
            self.memory.stats()
        }
    }

    #[tokio::test]
    async fn what_is_not_in_the_fast_tier_is_asked_for_at_once() {
        let (fast, slow) = (MemoryEngine::new(1 << 20), MemoryEngine::new(1 << 20));
        let keys: Vec<_> = (0..100).map(|n| key(Kind::Chunk, "main", &n.to_string())).collect();
        let odd = |n: usize| !n.is_multiple_of(2);
        let puts = keys.iter().enumerate().filter(|(n, _)| odd(*n)).map(|(n, key)| put(key, n.to_string()));
        slow.put_many(puts.collect()).await.unwrap();
        let slow = Arc::new(Counting { memory: slow, asked: AtomicUsize::new(0) });
        let tiers = Tiered::new(Arc::new(fast.clone()), slow.clone(), WriteMode::Through);
        for asked in [1, 2] {
            for (n, found) in tiers.get_many(&keys).await.unwrap().into_iter().enumerate() {
                let expected = odd(n).then(|| n.to_string());
                assert_eq!(found.value().map(|value| value.data), expected.map(Into::into), "{n}");
            }
            // Only what is missing everywhere is asked for again.
            assert_eq!(slow.asked.load(Ordering::Relaxed), asked);
        }
        assert_eq!(fast.have_many(&keys).await.unwrap(), (0..100).map(odd).collect::<Vec<_>>());
    }
}
