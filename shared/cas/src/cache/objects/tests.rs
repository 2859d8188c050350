#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::memory::InMemory;

use super::*;
use crate::cache::conformance::{self, key, put};
use crate::cache::key::Kind;
use crate::objects::BucketAddress;

/// A time to live of a hundred seconds: generations of fifty.
const TTL: Duration = Duration::from_secs(100);

fn bucket() -> Bucket {
    Bucket::new("memory://", Arc::new(InMemory::new()))
}

/// A bucket's values by a clock that tests move.
fn clocked(bucket: &Bucket) -> (ObjectEngine, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = Arc::clone(&now);
    (ObjectEngine::with_clock(bucket.clone(), TTL, Arc::new(move || clock.load(Ordering::SeqCst))), now)
}

async fn objects(bucket: &Bucket) -> usize {
    bucket.store().list(None).count().await
}

#[tokio::test]
async fn an_object_store_conforms() {
    let empty = async || Arc::new(ObjectEngine::new(bucket(), TTL)) as Arc<dyn Engine>;
    conformance::check(empty, fastrand::u64(..)).await;
}

#[tokio::test]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let empty = async || {
        let root = tempfile::tempdir_in(folder.path()).unwrap().keep();
        let url = format!("file://{}", root.join("made").display());
        let bucket = Bucket::open(&BucketAddress { url, settings: Vec::new() }).unwrap();
        bucket.check().await.unwrap();
        Arc::new(ObjectEngine::new(bucket, TTL)) as Arc<dyn Engine>
    };
    conformance::check(empty, fastrand::u64(..)).await;
}

#[tokio::test]
async fn what_is_used_lives_on_and_what_is_not_goes() {
    let bucket = bucket();
    let (engine, now) = clocked(&bucket);
    let keys =
        ["read", "asked for", "stored again", "forgotten"].map(|about| key(Kind::Chunk, "main", about));
    engine.put_many(keys.iter().map(|key| put(key, key.to_text())).collect()).await.unwrap();
    for _ in 0..6 {
        now.fetch_add(50, Ordering::SeqCst);
        let found = engine.get_many(&keys[..1]).await.unwrap();
        assert!(matches!(&found[0], Found::Value(value) if value.data == keys[0].to_text()));
        assert_eq!(engine.have_many(&keys[1..2]).await.unwrap(), [true]);
        engine.put_many(vec![put(&keys[2], keys[2].to_text())]).await.unwrap();
        engine.forget().await.unwrap();
    }
    assert_eq!(engine.have_many(&keys).await.unwrap(), [true, true, true, false]);
    // Three generations of the three that are used: this one, and the two before.
    assert_eq!(objects(&bucket).await, 9);
    now.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(engine.have_many(&keys).await.unwrap(), [false; 4]);
    assert_eq!(engine.forget().await.unwrap(), 9);
    assert_eq!(objects(&bucket).await, 0, "nothing is left");
}

#[tokio::test]
async fn what_was_called_present_is_not_removed_by_who_cleans_up() {
    let bucket = bucket();
    let (engine, now) = clocked(&bucket);
    let key = key(Kind::Chunk, "main", "x");
    engine.put_many(vec![put(&key, "x")]).await.unwrap();
    // In the last second of its time it is asked for, and then everybody cleans up, clocks ahead too.
    now.fetch_add(99, Ordering::SeqCst);
    assert_eq!(engine.have_many(std::slice::from_ref(&key)).await.unwrap(), [true]);
    now.fetch_add(50, Ordering::SeqCst);
    engine.forget().await.unwrap();
    now.fetch_sub(50, Ordering::SeqCst);
    assert!(matches!(&engine.get_many(&[key]).await.unwrap()[0], Found::Value(_)));
}

#[tokio::test]
async fn a_damaged_object_is_no_value_and_goes() {
    let bucket = bucket();
    let (engine, _) = clocked(&bucket);
    let (flipped, long) = (key(Kind::Chunk, "main", "x"), key(Kind::Chunk, "main", "long"));
    engine.put_many(vec![put(&flipped, "some bytes"), put(&long, "x")]).await.unwrap();
    for object in bucket.store().list(None).try_collect::<Vec<_>>().await.unwrap() {
        let bytes = match Generation::key(&object.location).as_ref() {
            Some(key) if *key == flipped => {
                let mut bytes =
                    bucket.store().get(&object.location).await.unwrap().bytes().await.unwrap().to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }
            _ => vec![0; 4 << 20],
        };
        bucket.store().put(&object.location, bytes.into()).await.unwrap();
    }
    let keys = [flipped, long];
    assert_eq!(engine.get_many(&keys).await.unwrap(), [Found::Damaged, Found::Damaged]);
    assert_eq!(engine.get_many(&keys).await.unwrap(), [Found::Missing, Found::Missing]);
    assert_eq!(engine.stats().await.unwrap().damaged, 2);
    assert_eq!(objects(&bucket).await, 0);
}

#[tokio::test]
async fn what_is_no_value_of_ours_is_left_alone() {
    let bucket = bucket();
    for name in ["other", "cache/notes", "cache/1/aa/other", "cacheother/1/x"] {
        bucket.store().put(&Path::from(name), "x".into()).await.unwrap();
    }
    let (engine, _) = clocked(&bucket);
    let mut from = None;
    loop {
        let page = engine.scan(from).await.unwrap();
        assert!(page.keys.is_empty());
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    // A generation that is over goes with all that is in it.
    assert_eq!(engine.forget().await.unwrap(), 1);
    assert_eq!(objects(&bucket).await, 3);
}
