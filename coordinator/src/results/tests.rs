//! The suites on what needs no server.

use std::sync::Arc;

use slipway_cas::objects::Bucket;
use slipway_cas::objects::object_store::memory::InMemory;

use super::conformance::{BytesAt, IndexAt, check_bytes, check_index};
use super::index::{Index, Sharing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    check_index(|| {
        number += 1;
        IndexAt::File(folder.path().join(number.to_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    check_bytes(|| {
        number += 1;
        BytesAt::Folder(folder.path().join(number.to_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_conform() {
    let folder = tempfile::tempdir().unwrap();
    check_bytes(|| {
        let bucket = Bucket::new("memory://", Arc::new(InMemory::new()));
        BytesAt::Bucket(bucket, folder.path().join("none"))
    })
    .await;
}

#[tokio::test]
async fn a_file_of_the_version_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.sqlite");
    drop(Index::open_file(&path, Sharing::Alone).unwrap());
    let old = rusqlite::Connection::open(&path).unwrap();
    let before = "DROP INDEX artifact_run; ALTER TABLE artifact DROP COLUMN pinned; PRAGMA user_version = 1;
         INSERT INTO upload (id, lease, limit_bytes, state) VALUES (7, 'l', 9, 1);
         INSERT INTO artifact (id, repository, family, run_attempt, name, run, instance, mime_type, ready, created_ms, expires_ms)
         VALUES (7, 'r', 'f', 1, 'n', 'run', 'i', 'application/zip', 1, 1, 50);";
    old.execute_batch(before).unwrap();
    drop(old);
    for _ in 0..2 {
        let index = Index::open_file(&path, Sharing::Alone).unwrap();
        let found = index.artifacts_of_run("run".into(), None, 20).await.unwrap();
        assert!(found.len() == 1 && !found[0].pinned, "{found:?}");
    }
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Index::open_file(&path, Sharing::Alone).err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
}
