//! What holds for every cache engine, as one suite: an engine's tests call [`check`] with how to make an empty one.
//!
//! Each check panics with what it expected, as tests do. The random one prints its seed.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::Digest;
use crate::cache::engine::{Codec, Engine, EngineError, Found, Keep, Put, Value};
use crate::cache::key::{Key, Kind, Namespace};
use crate::cache::limits::{MAX_VALUE_BYTES, SCAN_KEYS};

/// Steps of the random check.
const STEPS: usize = 400;
/// Writers at once in the concurrent check.
const WRITERS: u8 = 16;

/// A key of these parts; for tests.
///
/// # Panics
/// When the namespace is none.
#[must_use]
pub fn key(kind: Kind, namespace: &str, about: &str) -> Key {
    Key { kind, namespace: Namespace::new(namespace).unwrap(), id: Digest::of(about.as_bytes()) }
}

/// A value to store; for tests.
#[must_use]
pub fn put(key: &Key, data: impl Into<Bytes>) -> Put {
    let data = data.into();
    let plain_bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
    Put { key: key.clone(), value: Value { codec: Codec::Plain, plain_bytes, data }, keep: Keep::Normal }
}

async fn get(engine: &dyn Engine, key: &Key) -> Option<Bytes> {
    let found = engine.get_many(std::slice::from_ref(key)).await.unwrap().pop().unwrap();
    assert_ne!(found, Found::Damaged, "{key}");
    found.value().map(|value| value.data)
}

/// Runs every check that holds for any engine, each on one that `empty` made.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check(empty: impl AsyncFn() -> Arc<dyn Engine>, seed: u64) {
    values_come_back_as_they_were(&*empty().await).await;
    answers_come_in_the_order_asked(&*empty().await).await;
    kinds_and_namespaces_are_apart(&*empty().await).await;
    a_temporary_value_takes_nobodys_place(&*empty().await).await;
    too_long_a_value_is_refused_with_all(&*empty().await).await;
    a_walk_sees_every_key(&*empty().await).await;
    writers_at_once_leave_a_whole_value(empty().await).await;
    random_steps_agree_with_a_map(&*empty().await, seed).await;
}

/// Runs the checks of an engine that makes room by itself; `bounded` makes one of about so many bytes.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check_bounded(bounded: impl AsyncFn(u64) -> Arc<dyn Engine>) {
    what_is_used_outlives_what_is_not(&*bounded(4 << 20).await).await;
    eviction_under_load_never_corrupts(bounded(2 << 20).await).await;
}

async fn values_come_back_as_they_were(engine: &dyn Engine) {
    let longest = vec![7; MAX_VALUE_BYTES];
    for (about, data) in
        [("empty", Vec::new()), ("one", vec![1]), ("large", vec![2; 100_000]), ("longest", longest)]
    {
        let key = key(Kind::Chunk, "main", about);
        assert_eq!(get(engine, &key).await, None, "{about} before");
        engine.put_many(vec![put(&key, data.clone())]).await.unwrap();
        assert!(get(engine, &key).await.unwrap() == data, "{about}");
        engine.put_many(vec![put(&key, "other")]).await.unwrap();
        assert_eq!(get(engine, &key).await.unwrap(), "other", "{about} replaced");
        assert_eq!(engine.delete_many(std::slice::from_ref(&key)).await.unwrap(), 1);
        assert_eq!(engine.delete_many(std::slice::from_ref(&key)).await.unwrap(), 0, "twice");
        assert_eq!(get(engine, &key).await, None, "{about} deleted");
    }
    let packed = key(Kind::Manifest, "main", "packed");
    let value = Value { codec: Codec::Zstd, plain_bytes: 123_456, data: Bytes::from_static(b"not really") };
    engine
        .put_many(vec![Put { key: packed.clone(), value: value.clone(), keep: Keep::Normal }])
        .await
        .unwrap();
    assert_eq!(engine.get_many(&[packed]).await.unwrap(), [Found::Value(value)], "codec and length too");
    let stats = engine.stats().await.unwrap();
    assert!(stats.hits >= 9 && stats.misses >= 8 && stats.puts >= 9, "{stats:?}");
    assert_eq!(stats.damaged, 0);
}

async fn answers_come_in_the_order_asked(engine: &dyn Engine) {
    let keys: Vec<_> = (0..500).map(|n| key(Kind::Chunk, "main", &n.to_string())).collect();
    let odd = |n: usize| !n.is_multiple_of(2);
    let puts = keys.iter().enumerate().filter(|(n, _)| odd(*n)).map(|(n, key)| put(key, n.to_string()));
    engine.put_many(puts.collect()).await.unwrap();
    let there = engine.have_many(&keys).await.unwrap();
    assert_eq!(there, (0..500).map(odd).collect::<Vec<_>>());
    for (n, found) in engine.get_many(&keys).await.unwrap().into_iter().enumerate() {
        let expected = odd(n).then(|| Bytes::from(n.to_string()));
        assert_eq!(found.value().map(|value| value.data), expected, "{n}");
    }
    assert_eq!(engine.delete_many(&keys).await.unwrap(), 250);
    assert!(
        engine.get_many(&[]).await.unwrap().is_empty() && engine.have_many(&[]).await.unwrap().is_empty()
    );
    engine.put_many(Vec::new()).await.unwrap();
    assert_eq!(engine.delete_many(&[]).await.unwrap(), 0);
}

async fn kinds_and_namespaces_are_apart(engine: &dyn Engine) {
    let places =
        Kind::ALL.into_iter().flat_map(|kind| ["a", "b"].map(|namespace| key(kind, namespace, "same")));
    let places: Vec<_> = places.collect();
    for place in &places {
        assert_eq!(get(engine, place).await, None, "{place}");
        engine.put_many(vec![put(place, place.to_text())]).await.unwrap();
    }
    for place in &places {
        assert_eq!(get(engine, place).await.unwrap(), place.to_text());
    }
}

async fn a_temporary_value_takes_nobodys_place(engine: &dyn Engine) {
    let (taken, free) = (key(Kind::Action, "main", "taken"), key(Kind::Action, "main", "free"));
    engine.put_many(vec![put(&taken, "first")]).await.unwrap();
    let temporary = |key: &Key| Put { keep: Keep::Temporary, ..put(key, "second") };
    engine.put_many(vec![temporary(&taken), temporary(&free)]).await.unwrap();
    assert_eq!(get(engine, &taken).await.unwrap(), "first");
    assert_eq!(get(engine, &free).await.unwrap(), "second");
    engine.put_many(vec![put(&free, "third")]).await.unwrap();
    assert_eq!(get(engine, &free).await.unwrap(), "third");
}

async fn too_long_a_value_is_refused_with_all(engine: &dyn Engine) {
    let (short, long) = (key(Kind::Chunk, "main", "short"), key(Kind::Chunk, "main", "long"));
    let puts = vec![put(&short, "x"), put(&long, vec![0; MAX_VALUE_BYTES + 1])];
    let error = engine.put_many(puts).await.unwrap_err();
    assert!(matches!(&error, EngineError::TooLarge { key, .. } if *key == long.to_text()), "{error}");
    assert_eq!(engine.have_many(&[short, long]).await.unwrap(), [false, false]);
}

async fn a_walk_sees_every_key(engine: &dyn Engine) {
    let keys: Vec<_> = (0..2 * SCAN_KEYS + 3).map(|n| key(Kind::Named, "walk", &n.to_string())).collect();
    engine.put_many(keys.iter().map(|key| put(key, "x")).collect()).await.unwrap();
    let (mut seen, mut from) = (HashMap::new(), None);
    loop {
        let page = engine.scan(from).await.unwrap();
        for listed in page.keys {
            assert!(listed.size_bytes.is_none_or(|bytes| bytes > 0));
            seen.insert(listed.key.clone(), listed);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), keys.len());
    assert!(keys.iter().all(|key| seen.contains_key(key)));
}

async fn writers_at_once_leave_a_whole_value(engine: Arc<dyn Engine>) {
    let key = key(Kind::Action, "main", "contended");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (engine, key) = (Arc::clone(&engine), key.clone());
        tasks.spawn(async move {
            for round in 0..8 {
                // Small and large in turn: an engine may keep them in different places.
                let length = if round % 2 == 0 { 10 } else { 50_000 };
                engine.put_many(vec![put(&key, vec![writer; length])]).await.unwrap();
                let data = get(&*engine, &key).await.unwrap();
                assert!(data.iter().all(|byte| *byte == data[0]), "a mixture");
                assert!(data.len() == 10 || data.len() == 50_000);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

async fn random_steps_agree_with_a_map(engine: &dyn Engine, seed: u64) {
    println!("cache engine conformance: seed {seed}");
    let mut random = random::Random(seed);
    let mut model: HashMap<Key, Bytes> = HashMap::new();
    let keys: Vec<_> = (0..24).map(|n| key(Kind::ALL[n % 4], "model", &(n / 4).to_string())).collect();
    for step in 0..STEPS {
        let some: Vec<_> = (0..1 + random.below(5)).map(|_| keys[random.below(keys.len())].clone()).collect();
        match random.below(4) {
            0 => {
                let mut puts: Vec<Put> = Vec::new();
                for key in &some {
                    // One key twice in a call has no order that every engine could keep.
                    if puts.iter().any(|put| put.key == *key) {
                        continue;
                    }
                    // What does not change is the same whoever stores it, and may be answered from a copy.
                    let (byte, length) = match key.kind.is_immutable() {
                        true => (key.id.hash()[0], usize::from(key.id.hash()[1]) * 150),
                        false => (u8::try_from(step % 251).unwrap(), random.below(40_000)),
                    };
                    let data = Bytes::from(vec![byte; length]);
                    let keep = if random.below(4) == 0 { Keep::Temporary } else { Keep::Normal };
                    if keep == Keep::Normal || !model.contains_key(key) {
                        model.insert(key.clone(), data.clone());
                    }
                    puts.push(Put { keep, ..put(key, data) });
                }
                engine.put_many(puts).await.unwrap();
            }
            1 => {
                let there: Vec<_> = some.iter().map(|key| model.contains_key(key)).collect();
                assert_eq!(engine.have_many(&some).await.unwrap(), there, "step {step} of seed {seed}");
            }
            2 => {
                let removed = some.iter().filter(|key| model.remove(*key).is_some()).count() as u64;
                assert_eq!(engine.delete_many(&some).await.unwrap(), removed, "step {step} of seed {seed}");
            }
            _ => {
                let found = engine.get_many(&some).await.unwrap();
                for (key, found) in some.iter().zip(found) {
                    let data = found.value().map(|value| value.data);
                    assert!(
                        data.as_ref() == model.get(key),
                        "another value of {key}, step {step} of seed {seed}"
                    );
                }
            }
        }
    }
}

async fn what_is_used_outlives_what_is_not(engine: &dyn Engine) {
    let kept = [key(Kind::Chunk, "main", "read"), key(Kind::Chunk, "main", "asked for")];
    let forgotten = key(Kind::Chunk, "main", "forgotten");
    let first = [&kept[0], &kept[1], &forgotten].map(|key| put(key, vec![1; 30_000]));
    engine.put_many(first.into()).await.unwrap();
    for n in 0..400 {
        engine.put_many(vec![put(&key(Kind::Chunk, "main", &n.to_string()), vec![0; 30_000])]).await.unwrap();
        assert!(get(engine, &kept[0]).await.is_some(), "read before value {n}");
        assert_eq!(engine.have_many(&kept[1..]).await.unwrap(), [true], "asked for before value {n}");
    }
    assert_eq!(engine.have_many(&[forgotten]).await.unwrap(), [false]);
    let stats = engine.stats().await.unwrap();
    assert!(stats.evicted > 0 && stats.stored_bytes.unwrap() <= 4 << 20, "{stats:?}");
}

async fn eviction_under_load_never_corrupts(engine: Arc<dyn Engine>) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8u64 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move {
            let mut random = random::Random(writer);
            for _ in 0..150 {
                let about = random.below(200).to_string();
                let key = key(Kind::Chunk, "load", &about);
                match get(&*engine, &key).await {
                    Some(data) => {
                        let expected = about.as_bytes().repeat(data.len() / about.len());
                        assert!(data == expected, "another value of {about}");
                    }
                    None => {
                        let times = 1 + random.below(60_000) / about.len();
                        engine.put_many(vec![put(&key, about.as_bytes().repeat(times))]).await.unwrap();
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let stats = engine.stats().await.unwrap();
    assert!(stats.evicted > 0, "{stats:?}");
    assert_eq!(stats.damaged, 0, "{stats:?}");
}

mod random {
    //! Enough randomness for a test, so that the crate needs no dependency for it.

    /// Numbers by SplitMix64.
    pub(super) struct Random(pub(super) u64);

    impl Random {
        /// A number below `bound`.
        pub(super) fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
        }
    }
}
