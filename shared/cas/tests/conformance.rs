//! Both engines pass the one suite; what only a folder can do wrong is here too.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use slipway_cas::conformance::AGE;
use slipway_cas::{
    Collected, Digest, Expected, FolderStore, MemoryStore, Named, Store, StoreError, conformance,
};

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
async fn memory_collects() {
    let age = async |store: &MemoryStore, digest| store.date(digest, SystemTime::now() - AGE);
    conformance::check_collection(MemoryStore::new, age, 20).await;
}

fn file(root: &Path, digest: Digest) -> PathBuf {
    let hash = digest.hash_hex();
    root.join("blobs").join(&hash[..2]).join(&hash[2..])
}

fn age(path: &Path) {
    std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - AGE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_collects() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let root = || folder.path().join(number.load(std::sync::atomic::Ordering::Relaxed).to_string());
    let empty = || {
        number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        FolderStore::open(root()).unwrap()
    };
    conformance::check_collection(empty, async |_, digest| age(&file(&root(), digest)), 500).await;
    assert_eq!(std::fs::read_dir(root().join("condemned")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_crash_left_condemned_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let digest = store.put("kept".into()).await.unwrap();
    std::fs::rename(file(folder.path(), digest), folder.path().join("condemned").join(digest.hash_hex()))
        .unwrap();
    assert!(!store.exists(digest).await.unwrap());
    let store = FolderStore::open_shared(folder.path()).unwrap();
    assert_eq!(store.get(digest).await.unwrap(), "kept");
}

#[tokio::test]
async fn what_is_no_blob_stays_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    let digest = store.put("old".into()).await.unwrap();
    let other = file(folder.path(), digest).with_file_name("note");
    std::fs::write(&other, "a person's").unwrap();
    age(&other);
    age(&file(folder.path(), digest));
    let collected = store.collect(SystemTime::now(), Named::default()).await.unwrap();
    assert_eq!(collected, Collected { blobs: 1, bytes: 3 });
    assert!(other.exists());
}

#[tokio::test]
async fn opening_a_shared_folder_leaves_alone_what_others_are_writing() {
    let folder = tempfile::tempdir().unwrap();
    let one = FolderStore::open_shared(folder.path()).unwrap();
    let mut writer = one.writer(100).await.unwrap();
    writer.write("half, ".into()).await.unwrap();
    let dead = folder.path().join("incoming").join("dead");
    std::fs::write(&dead, "of a process that was killed").unwrap();
    age(&dead);
    let other = FolderStore::open_shared(folder.path()).unwrap();
    assert!(!dead.exists());
    writer.write("and whole".into()).await.unwrap();
    let digest = writer.finish(Expected::Anything).await.unwrap();
    assert_eq!(other.get(digest).await.unwrap(), "half, and whole");
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
