//! An engine that may be gone: asked with a [`breaker`](crate::cache::breaker), so that its absence costs little.
//!
//! While the breaker is open every call fails at once with [`EngineError::Unavailable`], which the layer above takes as
//! a miss or a lost write. Both are counted here. The time limit of a single call is the engine's own: only it knows
//! how many bytes are to be moved.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cache::breaker::{Breaker, BreakerOptions, State};
use crate::cache::counters::{Counters, add};
use crate::cache::engine::{Engine, EngineError, Found, Holding, Later, Page, Put, Stats};
use crate::cache::key::Key;

/// An engine behind a circuit breaker.
pub struct Guarded<E> {
    engine: E,
    place: Arc<str>,
    breaker: Mutex<Breaker>,
    counters: Counters,
}

impl<E: Engine> Guarded<E> {
    /// Guards the engine; `place` names it in errors.
    pub fn new(engine: E, place: &str, options: BreakerOptions) -> Self {
        let breaker = Mutex::new(Breaker::new(options));
        Self { engine, place: place.into(), breaker, counters: Counters::default() }
    }

    /// Whether the engine is asked at present: for metrics and `doctor`.
    pub fn state(&self) -> State {
        self.breaker().state(Instant::now())
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // The breaker's methods do not panic.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(&self, call: Later<'_, T>) -> Result<T, EngineError> {
        if !self.breaker().admit(Instant::now()) {
            return Err(EngineError::Unavailable {
                place: Arc::clone(&self.place),
                why: "it did not answer before; it is asked again soon".into(),
            });
        }
        let result = call.await;
        match &result {
            Err(EngineError::Unavailable { .. }) => {
                self.breaker().failed(Instant::now());
            }
            Ok(_) | Err(EngineError::TooLarge { .. } | EngineError::Wrong { .. }) => {
                self.breaker().succeeded()
            }
        }
        result
    }

    async fn read<T>(&self, keys: usize, call: Later<'_, T>) -> Result<T, EngineError> {
        let result = self.ask(call).await;
        if result.is_err() {
            add(&self.counters.refused_reads, keys);
        }
        result
    }
}

impl<E: Engine> Engine for Guarded<E> {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(self.read(keys.len(), self.engine.get_many(keys)))
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            let count = puts.len();
            let result = self.ask(self.engine.put_many(puts)).await;
            if matches!(result, Err(EngineError::Unavailable { .. })) {
                add(&self.counters.dropped_writes, count);
            }
            result
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(self.read(keys.len(), self.engine.have_many(keys)))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        Box::pin(self.ask(self.engine.delete_many(keys)))
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        Box::pin(self.ask(self.engine.scan(from)))
    }

    fn stats(&self) -> Later<'_, Stats> {
        Box::pin(async move {
            let own = self.counters.stats();
            // Past the breaker: what was refused is worth knowing above all when the engine cannot be asked, and figures that it
            // has at hand do not show that it can be.
            let engine = self.engine.stats().await.unwrap_or_default();
            Ok(Stats { refused_reads: own.refused_reads, dropped_writes: own.dropped_writes, ..engine })
        })
    }

    fn owners(&self) -> Later<'_, Vec<Holding>> {
        // Past the breaker, as figures are.
        self.engine.owners()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::cache::key::{Kind, Namespace};

    /// Never there, with figures at hand.
    struct Gone;

    fn gone<'a, T: Send + 'a>() -> Later<'a, T> {
        Box::pin(async { Err(EngineError::unavailable("nowhere", "it is gone")) })
    }

    impl Engine for Gone {
        fn get_many<'a>(&'a self, _: &'a [Key]) -> Later<'a, Vec<Found>> {
            gone()
        }
        fn put_many(&self, _: Vec<Put>) -> Later<'_, ()> {
            gone()
        }
        fn have_many<'a>(&'a self, _: &'a [Key]) -> Later<'a, Vec<bool>> {
            gone()
        }
        fn delete_many<'a>(&'a self, _: &'a [Key]) -> Later<'a, u64> {
            gone()
        }
        fn scan(&self, _: Option<String>) -> Later<'_, Page> {
            gone()
        }
        fn stats(&self) -> Later<'_, Stats> {
            Box::pin(async { Ok(Stats { hits: 7, ..Stats::default() }) })
        }
    }

    #[tokio::test]
    async fn looking_at_figures_does_not_say_that_it_is_back() {
        let guarded = Guarded::new(Gone, "nowhere", BreakerOptions::default());
        let namespace = Namespace::new("main").unwrap();
        let key = Key { kind: Kind::Chunk, namespace, id: Digest::of(b"x") };
        while guarded.state() == State::Closed {
            assert!(guarded.get_many(std::slice::from_ref(&key)).await.is_err());
        }
        let stats = guarded.stats().await.unwrap();
        assert_eq!(stats.hits, 7);
        assert!(stats.refused_reads > 0);
        assert_eq!(guarded.state(), State::Open);
    }
}
