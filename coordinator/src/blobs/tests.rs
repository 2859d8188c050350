#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use slipway_cas::conformance::{self, AGE};

use super::*;

#[tokio::test]
async fn small_and_large_conform() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    slipway_cas::conformance::check(|| {
        number += 1;
        BlobStore::open(&folder.path().join(number.to_string())).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_blobs_at_once_are_all_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..600_u32 {
        let store = store.clone();
        puts.spawn(async move { store.put(Bytes::from(number.to_string())).await.unwrap() });
    }
    let digests = puts.join_all().await;
    drop(store);
    let store = BlobStore::open(folder.path()).unwrap();
    for digest in digests {
        assert!(digest.matches(&store.get(digest).await.unwrap()));
    }
}

#[tokio::test]
async fn a_damaged_small_blob_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let digest = store.put("intact".into()).await.unwrap();
    let other = Connection::open(folder.path().join("small.sqlite")).unwrap();
    other.execute("UPDATE blob SET bytes = x'696e74616b74'", []).unwrap();
    assert!(matches!(store.get(digest).await, Err(StoreError::Damaged(d)) if d == digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_and_large_are_collected() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    let root = || folder.path().join(number.get().to_string());
    let empty = || {
        number.set(number.get() + 1);
        BlobStore::open(&root()).unwrap()
    };
    let age = async |_: &BlobStore, digest: Digest| {
        let then = SystemTime::now() - AGE;
        let hash = digest.hash_hex();
        let file = root().join("blobs").join(&hash[..2]).join(&hash[2..]);
        match std::fs::File::open(&file) {
            Ok(file) => file.set_modified(then).unwrap(),
            Err(_) => small::tests::date(&root().join("small.sqlite"), digest, then),
        }
    };
    conformance::check_collection(empty, age, 200).await;
}
