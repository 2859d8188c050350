#![allow(clippy::unwrap_used)]

use tokio::sync::Semaphore;

use super::*;
use crate::cache::MemoryEngine;
use crate::cache::breaker::BreakerOptions;
use crate::cache::conformance::{self, key, put};
use crate::cache::guarded::Guarded;
use crate::cache::key::Kind;

/// An engine that lets writes through one by one, as it is told, and can be away.
struct Gated {
    engine: MemoryEngine,
    writes: Semaphore,
    away: std::sync::atomic::AtomicBool,
}

impl Gated {
    fn new(writes: usize) -> Arc<Self> {
        let writes = Semaphore::new(writes);
        Arc::new(Self { engine: MemoryEngine::new(64 << 20), writes, away: false.into() })
    }

    fn go(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn there(&self) -> Result<(), EngineError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(EngineError::unavailable("gated", "it is away")),
            false => Ok(()),
        }
    }
}

impl Engine for Gated {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(async move {
            self.there()?;
            self.engine.get_many(keys).await
        })
    }
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            self.writes.acquire().await.unwrap().forget();
            self.there()?;
            self.engine.put_many(puts).await
        })
    }
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(async move {
            self.there()?;
            self.engine.have_many(keys).await
        })
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.engine.delete_many(keys)
    }
    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.engine.scan(from)
    }
    fn stats(&self) -> Later<'_, Stats> {
        self.engine.stats()
    }
}

fn memory() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::new(64 << 20))
}

/// Waits until nothing is on its way.
async fn settled(backed: &Backed) {
    while backed.sending.count() > 0 {
        tokio::task::yield_now().await;
    }
}

async fn read(engine: &dyn Engine, key: &Key) -> Option<bytes::Bytes> {
    let found = engine.get_many(std::slice::from_ref(key)).await.unwrap().pop().unwrap();
    found.value().map(|value| value.data)
}

#[tokio::test]
async fn two_engines_conform_as_one() {
    let empty = async || Arc::new(Backed::new(memory(), memory())) as Arc<dyn Engine>;
    conformance::check(empty, fastrand::u64(..)).await;
}

#[tokio::test]
async fn a_near_engine_that_loses_all_the_time_conforms_too() {
    // One with room for a few values loses nearly everything.
    let bounded =
        async |_| Arc::new(Backed::new(Arc::new(MemoryEngine::new(1 << 20)), memory())) as Arc<dyn Engine>;
    let backed = bounded(0).await;
    let keys: Vec<_> = (0..100).map(|n| key(Kind::Chunk, "main", &format!("{n}"))).collect();
    for key in &keys {
        backed.put_many(vec![put(key, key.to_text().repeat(1_000))]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(backed.have_many(&keys).await.unwrap(), vec![true; 100]);
    for key in &keys {
        assert_eq!(read(&*backed, key).await.unwrap(), key.to_text().repeat(1_000), "{key}");
    }
    let stats = backed.stats().await.unwrap();
    assert!(stats.evicted > 0 && stats.misses == 0, "{stats:?}");
}

#[tokio::test]
async fn what_the_near_one_lost_is_fetched_once_and_near_again() {
    let (near, behind) = (memory(), memory());
    let backed = Backed::new(Arc::clone(&near) as _, Arc::clone(&behind) as _);
    let key = key(Kind::Action, "main", "x");
    behind.put_many(vec![put(&key, "x")]).await.unwrap();
    let reads = (0..64).map(|_| read(&backed, &key));
    assert_eq!(futures_util::future::join_all(reads).await, vec![Some("x".into()); 64]);
    assert_eq!(behind.stats().await.unwrap().hits, 1);
    assert_eq!(read(&*near, &key).await.unwrap(), "x");
}

#[tokio::test]
async fn of_one_key_the_newest_stays_and_what_was_removed_does_not_come_back() {
    let (near, behind) = (memory(), Gated::new(0));
    let backed = Backed::new(near, Arc::clone(&behind) as _);
    let (changed, removed) = (key(Kind::Named, "main", "changed"), key(Kind::Named, "main", "removed"));
    for n in 0..10 {
        backed.put_many(vec![put(&changed, n.to_string()), put(&removed, "x")]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // The first of each is being stored, and one waits.
    assert_eq!(behind.engine.stats().await.unwrap().puts, 0);
    let remove = backed.delete_many(std::slice::from_ref(&removed));
    let (count, ()) = tokio::join!(remove, async { behind.writes.add_permits(100) });
    assert_eq!(count.unwrap(), 1);
    settled(&backed).await;
    assert_eq!(read(&behind.engine, &changed).await.unwrap(), "9");
    assert_eq!(behind.engine.have_many(&[removed]).await.unwrap(), [false]);
    assert!(behind.engine.stats().await.unwrap().puts <= 4, "what waited was replaced");
}

#[tokio::test]
async fn what_finds_no_room_is_near_alone_and_counted() {
    let (near, behind) = (memory(), Gated::new(0));
    let backed = Backed::with_room(near, Arc::clone(&behind) as _, 100 << 10);
    let keys: Vec<_> = (0..10).map(|n| key(Kind::Chunk, "main", &n.to_string())).collect();
    for key in &keys {
        backed.put_many(vec![put(key, vec![1; 40 << 10])]).await.unwrap();
    }
    assert_eq!(backed.stats().await.unwrap().dropped_writes, 8);
    assert_eq!(backed.have_many(&keys).await.unwrap(), vec![true; 10]);
    behind.writes.add_permits(100);
    settled(&backed).await;
    assert_eq!(behind.engine.stats().await.unwrap().puts, 2);
    backed.put_many(vec![put(&keys[5], "there is room again")]).await.unwrap();
    settled(&backed).await;
    assert_eq!(behind.engine.stats().await.unwrap().puts, 3);
}

#[tokio::test]
async fn one_of_both_is_enough_to_go_on() {
    let (near, behind) = (Gated::new(100), Gated::new(100));
    let guarded = |engine: &Arc<Gated>| Arc::clone(engine) as Arc<dyn Engine>;
    let backed = Backed::new(guarded(&near), guarded(&behind));
    let there = key(Kind::Chunk, "main", "there");
    let absent = key(Kind::Chunk, "main", "absent");
    backed.put_many(vec![put(&there, "x")]).await.unwrap();
    settled(&backed).await;
    let keys = [there.clone(), absent.clone()];
    for (near_away, behind_away) in [(true, false), (false, true), (false, false)] {
        near.go(near_away);
        behind.go(behind_away);
        assert_eq!(backed.have_many(&keys).await.unwrap(), [true, false], "{near_away} {behind_away}");
        let found = backed.get_many(&keys).await.unwrap();
        assert!(matches!(&found[..], [Found::Value(_), Found::Missing]), "{near_away} {behind_away}");
    }
    near.go(true);
    behind.go(true);
    assert!(backed.have_many(&keys).await.is_err() && backed.get_many(&keys).await.is_err());
}

#[tokio::test]
async fn an_engine_behind_that_is_gone_is_left_alone_after_a_while() {
    let behind = Gated::new(100);
    let guarded = Arc::new(Guarded::new(GatedRef(Arc::clone(&behind)), "gated", BreakerOptions::default()));
    let backed = Backed::new(memory(), Arc::clone(&guarded) as _);
    behind.go(true);
    for n in 0..20 {
        let absent = key(Kind::Chunk, "main", &n.to_string());
        assert_eq!(backed.get_many(&[absent]).await.unwrap(), [Found::Missing]);
    }
    assert_eq!(guarded.state(), crate::cache::breaker::State::Open);
}

/// For a guard, which owns its engine.
struct GatedRef(Arc<Gated>);

impl Engine for GatedRef {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        self.0.get_many(keys)
    }
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        self.0.put_many(puts)
    }
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.0.have_many(keys)
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.0.delete_many(keys)
    }
    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.0.scan(from)
    }
    fn stats(&self) -> Later<'_, Stats> {
        self.0.stats()
    }
}
