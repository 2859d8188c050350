//! What holds for every engine, as one suite: an engine's tests call [`check`] with how to make an empty store.
//!
//! Each check panics with what it expected, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::Digest;
use crate::store::{Collected, Expected, MAX_PIECE_BYTES, Named, Store, StoreError};

/// How old a blob is made to look, and what is too old here.
pub const AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const OLD: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// Runs every check, each on an empty store of its own.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check<S: Store>(mut empty: impl FnMut() -> S) {
    a_blob_comes_back(&empty()).await;
    a_piece_is_cut_to_the_blob(&empty()).await;
    pieces_make_a_blob(&empty()).await;
    a_wrong_announcement_stores_nothing(&empty()).await;
    a_blob_over_its_limit_is_refused(&empty()).await;
    an_abandoned_writer_leaves_nothing(&empty()).await;
    a_deleted_blob_is_gone(&empty()).await;
    another_length_is_another_blob(&empty()).await;
}

/// Runs the checks of collections; `age` makes a blob look as if it had been put and renewed last [`AGE`] ago. So many
/// times a blob is put while it is removed.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check_collection<S: Store>(
    mut empty: impl FnMut() -> S,
    age: impl AsyncFn(&S, Digest),
    rounds: u32,
) {
    what_nobody_names_goes_when_it_is_old(&empty(), &age).await;
    what_is_put_again_or_renewed_stays(&empty(), &age).await;
    what_is_put_while_it_goes_is_there(&empty(), &age, rounds).await;
}

fn named(digests: &[Digest]) -> Named {
    Arc::new(digests.iter().map(|digest| *digest.hash()).collect::<HashSet<_>>())
}

fn long_ago() -> SystemTime {
    SystemTime::now() - OLD
}

async fn what_nobody_names_goes_when_it_is_old<S: Store>(store: &S, age: &impl AsyncFn(&S, Digest)) {
    let mut digests = Vec::new();
    let large = "large".repeat(20_000);
    for text in ["named", "young", "old", &large] {
        digests.push(store.put(Bytes::from(text.to_owned())).await.unwrap());
    }
    assert_eq!(store.collect(long_ago(), named(&[])).await.unwrap(), Collected::default(), "all are young");
    for digest in [digests[0], digests[2], digests[3]] {
        age(store, digest).await;
    }
    let expected = Collected { blobs: 2, bytes: 3 + large.len() as u64 };
    assert_eq!(store.collect(long_ago(), named(&digests[..1])).await.unwrap(), expected);
    for (digest, is_there) in digests.iter().zip([true, true, false, false]) {
        assert_eq!(store.exists(*digest).await.unwrap(), is_there, "{digest}");
    }
    assert_eq!(store.get(digests[0]).await.unwrap(), "named");
    assert_eq!(store.read(digests[0], 1, 2).await.unwrap(), "am");
    assert_eq!(store.collect(long_ago(), named(&digests)).await.unwrap(), Collected::default());
    assert!(matches!(store.get(digests[2]).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.put("old".into()).await.unwrap(), digests[2], "it may come back");
    assert_eq!(store.get(digests[2]).await.unwrap(), "old");
}

async fn what_is_put_again_or_renewed_stays<S: Store>(store: &S, age: &impl AsyncFn(&S, Digest)) {
    let mut digests = Vec::new();
    for text in ["put again", "written again", "renewed"] {
        digests.push(store.put(text.into()).await.unwrap());
        age(store, digests[digests.len() - 1]).await;
    }
    store.put("put again".into()).await.unwrap();
    let mut writer = store.writer(100).await.unwrap();
    writer.write("written again".into()).await.unwrap();
    writer.finish(Expected::Anything).await.unwrap();
    assert!(store.renew(digests[2]).await.unwrap());
    let absent = Digest::of(b"never stored");
    assert!(!store.renew(absent).await.unwrap());
    assert!(!store.renew(Digest::from_parts(*digests[2].hash(), 1)).await.unwrap(), "another length");
    let _ = store.collect(long_ago(), named(&[])).await.unwrap();
    for digest in digests {
        assert!(digest.matches(&store.get(digest).await.unwrap()));
    }
}

/// Whichever comes first: who put a blob has it.
async fn what_is_put_while_it_goes_is_there<S: Store>(
    store: &S,
    age: &impl AsyncFn(&S, Digest),
    rounds: u32,
) {
    for round in 0..rounds {
        let bytes = Bytes::from(format!("again and again {}", round % 4));
        let digest = store.put(bytes.clone()).await.unwrap();
        age(store, digest).await;
        let (put, collected) = match round % 2 {
            0 => tokio::join!(store.put(bytes.clone()), store.collect(long_ago(), named(&[]))),
            _ => {
                let (collected, put) =
                    tokio::join!(store.collect(long_ago(), named(&[])), store.put(bytes.clone()));
                (put, collected)
            }
        };
        assert!(collected.unwrap().blobs <= 1, "round {round}");
        assert_eq!(store.get(put.unwrap()).await.unwrap(), bytes, "round {round}");
    }
}

async fn a_blob_comes_back(store: &dyn Store) {
    for bytes in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![7; 3 * MAX_PIECE_BYTES + 1])] {
        let digest = store.put(bytes.clone()).await.unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(store.put(bytes.clone()).await.unwrap(), digest, "a second put of the same bytes");
        assert_eq!(store.get(digest).await.unwrap(), bytes);
        assert!(store.exists(digest).await.unwrap());
    }
    let absent = Digest::of(b"never stored");
    assert!(matches!(store.get(absent).await, Err(StoreError::NotFound(d)) if d == absent));
    assert!(matches!(store.read(absent, 0, 1).await, Err(StoreError::NotFound(_))));
    assert!(!store.exists(absent).await.unwrap());
}

async fn a_piece_is_cut_to_the_blob(store: &dyn Store) {
    let digest = store.put(Bytes::from_static(b"0123456789")).await.unwrap();
    for (offset, length, piece) in
        [(0, 4, "0123"), (4, 100, "456789"), (10, 5, ""), (99, 5, ""), (u64::MAX / 2, 1, ""), (3, 0, "")]
    {
        assert_eq!(store.read(digest, offset, length).await.unwrap(), piece.as_bytes(), "{offset}+{length}");
    }
    let long = store.put(Bytes::from(vec![1; 2 * MAX_PIECE_BYTES])).await.unwrap();
    assert_eq!(store.read(long, 0, usize::MAX).await.unwrap().len(), MAX_PIECE_BYTES);
}

async fn pieces_make_a_blob(store: &dyn Store) {
    let digest = Digest::of(b"one two");
    for expected in [Expected::Digest(digest), Expected::Hash(*digest.hash()), Expected::Anything] {
        let mut writer = store.writer(7).await.unwrap();
        for piece in ["one", "", " ", "two"] {
            writer.write(Bytes::from_static(piece.as_bytes())).await.unwrap();
        }
        assert_eq!(writer.finish(expected).await.unwrap(), digest);
        assert_eq!(store.get(digest).await.unwrap(), "one two");
    }
    let nothing = store.writer(0).await.unwrap().finish(Expected::Anything).await.unwrap();
    assert_eq!(store.get(nothing).await.unwrap(), "");
}

async fn a_wrong_announcement_stores_nothing(store: &dyn Store) {
    let (announced, actual) = (Digest::of(b"right"), Digest::of(b"wrong"));
    for expected in [Expected::Digest(announced), Expected::Hash(*announced.hash())] {
        let mut writer = store.writer(100).await.unwrap();
        writer.write(Bytes::from_static(b"wrong")).await.unwrap();
        let error = writer.finish(expected).await.unwrap_err();
        assert!(matches!(error, StoreError::Mismatch { actual: a, .. } if a == actual), "{error}");
    }
    assert!(!store.exists(announced).await.unwrap());
    assert!(!store.exists(actual).await.unwrap());
}

async fn a_blob_over_its_limit_is_refused(store: &dyn Store) {
    let mut writer = store.writer(4).await.unwrap();
    writer.write(Bytes::from_static(b"1234")).await.unwrap();
    let error = writer.write(Bytes::from_static(b"5")).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLong { limit_bytes: 4 }), "{error}");
}

async fn an_abandoned_writer_leaves_nothing(store: &dyn Store) {
    let mut writer = store.writer(100).await.unwrap();
    writer.write(Bytes::from_static(b"half")).await.unwrap();
    drop(writer);
    assert!(!store.exists(Digest::of(b"half")).await.unwrap());
}

async fn a_deleted_blob_is_gone(store: &dyn Store) {
    let digest = store.put(Bytes::from_static(b"short-lived")).await.unwrap();
    assert!(store.delete(digest).await.unwrap());
    assert!(!store.delete(digest).await.unwrap(), "deleting twice");
    assert!(!store.exists(digest).await.unwrap());
    assert!(matches!(store.get(digest).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.put(Bytes::from_static(b"short-lived")).await.unwrap(), digest, "it may come back");
}

async fn another_length_is_another_blob(store: &dyn Store) {
    let digest = store.put(Bytes::from_static(b"abc")).await.unwrap();
    let other = Digest::from_parts(*digest.hash(), 4);
    assert!(!store.exists(other).await.unwrap());
    assert!(matches!(store.get(other).await, Err(StoreError::NotFound(_))));
    assert!(!store.delete(other).await.unwrap());
    assert!(store.exists(digest).await.unwrap());
}
