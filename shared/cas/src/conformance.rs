//! What holds for every engine, as one suite: an engine's tests call [`check`] with how to make an empty store.
//!
//! Each check panics with what it expected, as tests do.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use crate::Digest;
use crate::store::{Expected, MAX_PIECE_BYTES, Store, StoreError};

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
