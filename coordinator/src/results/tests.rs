//! The suites on what needs no server.

use std::sync::Arc;

use slipway_cas::objects::Bucket;
use slipway_cas::objects::object_store::memory::InMemory;

use super::conformance::{BytesAt, IndexAt, check_bytes, check_index};

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
