#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::SystemTime;

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use super::week::Week;
use super::{Bucket, BucketAddress, ObjectBlobs};
use crate::store::{Collected, Expected, Named, Store as _};
use crate::{Digest, conformance};

fn memory() -> Bucket {
    Bucket::new("memory://", Arc::new(InMemory::new()))
}

#[tokio::test]
async fn blobs_as_objects_conform() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check(|| ObjectBlobs::open(memory(), folder.path().join("spool")).unwrap()).await;
}

/// Moves the object to another week, as if that had been when it was put.
async fn move_to(store: &ObjectBlobs, digest: Digest, week: Week) {
    let [from, to] = [Week::now(), week].map(|week| week.path(digest));
    store.store().rename(&from, &to).await.unwrap();
}

#[tokio::test]
async fn objects_collect() {
    let folder = tempfile::tempdir().unwrap();
    let age = async |store: &ObjectBlobs, digest| {
        move_to(store, digest, Week::of(SystemTime::now() - conformance::AGE)).await;
    };
    conformance::check_collection(
        || ObjectBlobs::open(memory(), folder.path().join("spool")).unwrap(),
        age,
        50,
    )
    .await;
}

#[tokio::test]
async fn what_was_put_before_there_were_weeks_is_found_renewed_and_collected() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectBlobs::open(memory(), folder.path().to_owned()).unwrap();
    let [kept, renewed, lost] = ["kept", "renewed", "lost"].map(|text| async {
        let digest = store.put(text.into()).await.unwrap();
        move_to(&store, digest, Week::Before).await;
        digest
    });
    let (kept, renewed, lost) = (kept.await, renewed.await, lost.await);
    assert_eq!(store.get(kept).await.unwrap(), "kept");
    assert!(store.renew(renewed).await.unwrap());
    let named: Named = Arc::new([*kept.hash()].into());
    let soon = SystemTime::now() + std::time::Duration::from_secs(60);
    // Both objects of the one that was renewed were old; the one of this week stays.
    assert_eq!(store.collect(soon, named).await.unwrap(), Collected { blobs: 2, bytes: 11 });
    // Another coordinator remembers nothing.
    for store in [&store, &ObjectBlobs::open(store.bucket.clone(), folder.path().to_owned()).unwrap()] {
        assert_eq!(store.get(kept).await.unwrap(), "kept");
        assert_eq!(store.read(renewed, 2, 5).await.unwrap(), "newed");
        assert!(!store.exists(lost).await.unwrap());
    }
    assert!(store.delete(renewed).await.unwrap());
    assert!(!store.delete(renewed).await.unwrap());
}

#[tokio::test]
async fn a_long_blob_goes_through_a_file_and_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectBlobs::open(memory(), folder.path().to_owned()).unwrap();
    let piece = bytes::Bytes::from(vec![3; 5 << 20]);
    let whole = piece.repeat(9);
    let mut writer = store.writer(1 << 30).await.unwrap();
    for _ in 0..9 {
        writer.write(piece.clone()).await.unwrap();
    }
    let digest = writer.finish(Expected::Digest(Digest::of(&whole))).await.unwrap();
    assert_eq!(store.get(digest).await.unwrap(), whole);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files have no name");
}

#[tokio::test]
async fn a_bucket_that_works_passes_the_check_and_stays_empty() {
    let bucket = memory();
    bucket.check().await.unwrap();
    let left = bucket.store().list_with_delimiter(None).await.unwrap();
    assert!(left.objects.is_empty() && left.common_prefixes.is_empty());
}

#[test]
fn addresses_that_make_no_sense_are_told() {
    for (url, part) in [
        ("s3://", "BUCKET"),
        ("s3:///prefix", "BUCKET"),
        ("s3://key:secret@bucket", "environment"),
        ("s3://bucket?x=1", "environment"),
        ("ftp://bucket", "`ftp`"),
    ] {
        let address = BucketAddress { url: url.to_owned(), settings: Vec::new() };
        let error = Bucket::open(&address).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(url), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_out_of_reach_is_told_with_its_own_variables() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, variables, part) in [
        // Whatever its bucket is called.
        (
            "s3://GCS/MicrosoftAzure",
            vec!["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            "AWS_ENDPOINT_URL",
        ),
        ("gs://S3", vec!["GOOGLE_BASE_URL", "GOOGLE_BEARER_TOKEN"], "GOOGLE_BASE_URL"),
    ] {
        let setting = |(at, name): (usize, &str)| {
            let value = if at == 0 { format!("http://{closed}") } else { "x".to_owned() };
            (name.to_owned(), value)
        };
        let settings = variables.into_iter().enumerate().map(setting).collect();
        let address = BucketAddress { url: url.to_owned(), settings };
        let told = Bucket::open(&address).unwrap().check().await.unwrap_err().to_string();
        assert!(told.contains(&format!("out of reach; check the address ({part})")), "{told}");
    }
}
