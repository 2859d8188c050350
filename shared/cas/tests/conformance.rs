//! Both engines pass the one suite; what only a folder can do wrong is here too.
#![allow(clippy::unwrap_used)]

use slipway_cas::{Digest, Expected, FolderStore, MemoryStore, Store, StoreError, conformance};

#[tokio::test]
async fn memory() {
    conformance::check(MemoryStore::new).await;
}

#[tokio::test]
async fn folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance::check(|| {
        number += 1;
        FolderStore::open(folder.path().join(number.to_string())).unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_folder_keeps_its_blobs_and_forgets_what_was_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let digest = store.put("kept".into()).await.unwrap();
    let mut writer = store.writer(100).await.unwrap();
    writer.write("half".into()).await.unwrap();
    // A killed process drops nothing.
    std::mem::forget(writer);
    assert_eq!(std::fs::read_dir(folder.path().join("incoming")).unwrap().count(), 1);

    let store = FolderStore::open(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
    assert_eq!(store.get(digest).await.unwrap(), "kept");
}

#[tokio::test]
async fn a_damaged_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let digest = store.put("intact".into()).await.unwrap();
    let hash = digest.hash_hex();
    std::fs::write(folder.path().join("blobs").join(&hash[..2]).join(&hash[2..]), "intakt").unwrap();
    assert!(matches!(store.get(digest).await, Err(StoreError::Damaged(d)) if d == digest));
}

#[tokio::test]
async fn many_writers_of_one_blob_agree() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut writer = store.writer(100).await.unwrap();
            writer.write("same".into()).await.unwrap();
            writer.finish(Expected::Anything).await.unwrap()
        });
    }
    while let Some(digest) = tasks.join_next().await {
        assert_eq!(digest.unwrap(), Digest::of(b"same"));
    }
    assert_eq!(store.get(Digest::of(b"same")).await.unwrap(), "same");
}
