//! Results of actions and their blobs, as Bazel puts and gets them.

use bytes::Bytes;
use prost::Message as _;
use slipway_cas::Digest;
use slipway_cas::cache::entries::Subject;
use slipway_cas::cache::{BlobCache, Compression, Engine as _, Entries, Key, Kind, Namespace};
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;

use crate::door::{Door, noise};

fn wire(digest: Digest) -> re::Digest {
    re::Digest { hash: digest.hash_hex(), size_bytes: digest.size_bytes() as i64 }
}

fn cas(digest: Digest) -> String {
    format!("/bazel/cas/{}", digest.hash_hex())
}

/// A result with a file, an empty one, and a folder with a file; and all blobs that it lists.
fn result() -> (re::ActionResult, Vec<(Digest, Vec<u8>)>) {
    let of = |bytes: Vec<u8>| (Digest::of(&bytes), bytes);
    let (file, inner) = (of(b"a file".to_vec()), of(noise(9, 3 << 20)));
    let root = re::Directory {
        files: vec![re::FileNode {
            name: "inner".to_owned(),
            digest: Some(wire(inner.0)),
            ..re::FileNode::default()
        }],
        ..re::Directory::default()
    };
    let tree = of(re::Tree { root: Some(root), children: Vec::new() }.encode_to_vec());
    let file_of = |path: &str, digest| re::OutputFile {
        path: path.to_owned(),
        digest: Some(wire(digest)),
        ..re::OutputFile::default()
    };
    let result = re::ActionResult {
        output_files: vec![file_of("file", file.0), file_of("empty", Digest::of(b""))],
        output_directories: vec![re::OutputDirectory {
            path: "folder".to_owned(),
            tree_digest: Some(wire(tree.0)),
            ..re::OutputDirectory::default()
        }],
        ..re::ActionResult::default()
    };
    (result, vec![file, inner, tree])
}

fn ac() -> String {
    format!("/bazel/ac/{}", "c0".repeat(32))
}

#[tokio::test]
async fn a_hit_says_that_all_its_outputs_can_be_got() {
    let door = Door::open().await;
    let (result, blobs) = result();
    let result = result.encode_to_vec();
    let refused = door.send("a", "PUT", &ac(), &result).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("upload"), "{}", refused.text());
    for (digest, bytes) in &blobs {
        assert_eq!(door.status("a", "PUT", &cas(*digest), bytes).await, 200);
    }
    assert_eq!(door.status("a", "PUT", &ac(), &result).await, 200);
    assert_eq!(door.send("a", "GET", &ac(), b"").await.body, result);
    assert_eq!(door.status("a", "GET", &cas(Digest::of(b"")), b"").await, 200);
    let space = Namespace::new("a").unwrap();
    for (digest, bytes) in &blobs {
        // What is lost first is the blob, or only the name by which clients ask for it.
        let kind = if bytes.len() > 2 << 20 { Kind::Manifest } else { Kind::Chunk };
        let blob = Key { kind, namespace: space.clone(), id: *digest };
        let name = Digest::of(format!("bazel/cas/{}", digest.hash_hex()).as_bytes());
        let name = Key { kind: Kind::Named, namespace: space.clone(), id: name };
        for key in [blob, name] {
            assert_eq!(door.engine.delete_many(std::slice::from_ref(&key)).await.unwrap(), 1, "{key:?}");
            for method in ["GET", "HEAD"] {
                assert_eq!(door.status("a", method, &ac(), b"").await, 404, "{key:?}");
            }
            assert_eq!(door.status("a", "PUT", &cas(*digest), bytes).await, 200);
            assert_eq!(door.send("a", "GET", &ac(), b"").await.body, result);
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_not_its_name_is_refused() {
    let door = Door::open().await;
    for blob in [noise(1, 10), noise(2, 5 << 20)] {
        let other = Digest::of(b"other");
        let refused = door.send("a", "PUT", &cas(other), &blob).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(&other.hash_hex()), "{}", refused.text());
        assert_eq!(door.status("a", "GET", &cas(other), b"").await, 404);
        assert_eq!(door.status("a", "GET", &cas(Digest::of(&blob)), b"").await, 404);
    }
}

#[tokio::test]
async fn a_long_result_is_kept_and_one_that_is_too_long_refused() {
    let door = Door::open().await;
    let of = |length: usize| {
        re::ActionResult { stdout_raw: noise(3, length).into(), ..re::ActionResult::default() }
            .encode_to_vec()
    };
    let long = of(900 << 10);
    assert_eq!(door.status("a", "PUT", &ac(), &long).await, 200);
    assert_eq!(door.send("a", "GET", &ac(), b"").await.body, long);
    let refused = door.send("a", "PUT", &ac(), &of(1 << 20)).await;
    assert_eq!((refused.status, refused.text()), (413, "the body is longer than 1048576 bytes\n"));
}

#[tokio::test]
async fn a_name_that_points_at_nothing_is_a_miss() {
    let door = Door::open().await;
    let engine: std::sync::Arc<dyn slipway_cas::cache::Engine> = door.engine.clone();
    let blobs = BlobCache::new(engine, Namespace::new("a").unwrap(), Compression::Off);
    let name = format!("bazel/cas/{}", "ab".repeat(32));
    let value = Bytes::from_static(&[1, 0, 0]);
    for references in [Vec::new(), vec![Digest::from_parts([0xab; 32], 7)]] {
        let entry = slipway_cas::cache::Entry { value: value.clone(), references };
        assert!(Entries::new(blobs.clone()).put(&Subject::Name(name.clone()), &entry).await.unwrap());
        assert_eq!(door.status("a", "GET", &format!("/{name}"), b"").await, 404);
    }
}

/// With the engine gone, a result is taken though none of its blobs is there.
pub(crate) async fn a_result_is_taken_by_a_dead_engine(door: &Door) {
    let (mut result, _) = result();
    assert_eq!(door.status("a", "PUT", &ac(), &result.encode_to_vec()).await, 200);
    result.output_directories.clear();
    assert_eq!(door.status("a", "PUT", &ac(), &result.encode_to_vec()).await, 200);
    assert_eq!(door.status("a", "GET", &ac(), b"").await, 404);
}
