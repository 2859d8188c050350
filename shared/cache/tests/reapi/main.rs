//! The remote cache protocol over real gRPC, as its clients speak it.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod door;
mod one_at_a_time;
#[path = "../words/mod.rs"]
mod words;

use bytes::Bytes;
use door::{Door, frames, noise, read_name, wire, write_name};
use prost::Message as _;
use slipway_cas::Digest;
use slipway_cas::cache::{Engine as _, Key, Kind, Namespace};
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use slipway_proto::reapi::google::bytestream as bs;
use tonic::Code;

const MIB: usize = 1 << 20;

fn packed_name(digest: Digest) -> String {
    format!("compressed-blobs/zstd/{}/{}", digest.hash_hex(), digest.size_bytes())
}

#[tokio::test]
async fn blobs_of_any_length_come_back_whole_and_in_parts() {
    let door = Door::open().await;
    let mut client = door.client("a");
    for (length, frame) in [(0, MIB), (3, MIB), (1_000, 306), (2 * MIB, 16 << 10), (9 * MIB + 7, MIB)] {
        let blob = noise(length as u64, length);
        let digest = Digest::of(&blob);
        assert_eq!(client.write(&blob, frame).await.unwrap(), length as i64);
        assert!(client.missing(&[digest]).await.unwrap().is_empty());
        assert_eq!(client.read(&read_name(digest), 0, 0).await.unwrap(), blob);
        let (from, most) = (length / 3, length / 2);
        let part =
            client.read(&format!("any/instance/{}", read_name(digest)), from as i64, most as i64).await;
        if most > 0 {
            assert_eq!(part.unwrap(), blob[from..from + most]);
        }
        assert_eq!(
            client.read(&read_name(digest), length as i64 + 1, 0).await.unwrap_err().code(),
            Code::OutOfRange
        );
        // Once more: known already.
        assert_eq!(client.write(&blob, frame).await.unwrap(), length as i64);
    }
    assert_eq!(client.read(&read_name(Digest::of(b"no")), 0, 0).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn packed_streams_are_the_same_blobs() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let blob = Bytes::from(b"over and over and ".repeat(200_000));
    let digest = Digest::of(&blob);
    // Two frames, as a client that packs piece by piece sends them.
    let (first, second) = blob.split_at(blob.len() / 2);
    let mut packed = zstd::bulk::compress(first, 3).unwrap();
    packed.extend(zstd::bulk::compress(second, 19).unwrap());
    let packed = Bytes::from(packed);
    let name = format!("uploads/u/{}", packed_name(digest));
    assert_eq!(client.send(frames(&name, &packed, 0, 100)).await.unwrap(), packed.len() as i64);
    assert_eq!(client.read(&read_name(digest), 0, 0).await.unwrap(), blob);
    for offset in [0, 1, 3 * MIB] {
        let got = client.read(&packed_name(digest), offset as i64, 0).await.unwrap();
        assert_eq!(zstd::decode_all(&got[..]).unwrap(), blob[offset..], "the offset is of the plain bytes");
    }
    let limited = client.read(&packed_name(digest), 0, 5).await.unwrap_err();
    assert_eq!(limited.code(), Code::InvalidArgument);
    let begun = frames(&name, &packed, 0, 100).swap_remove(0);
    assert_eq!(client.begin(begun).await.unwrap(), -1, "it is there: its packed length is not known");
}

#[tokio::test]
async fn what_is_not_its_digest_is_refused_and_leaves_nothing() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let (blob, other) = (noise(1, 3 * MIB), Digest::of(b"other"));
    let wrong = Digest::from_parts(*other.hash(), blob.len() as u64);
    let short = Digest::from_parts(*Digest::of(&blob).hash(), 5);
    for digest in [wrong, short] {
        let error = client.send(frames(&write_name(digest), &blob, 0, MIB)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert_eq!(client.missing(&[digest]).await.unwrap().len(), 1);
    }
    // A bomb: a thousand bytes that unpack to a gigabyte.
    let bomb = Bytes::from(zstd::bulk::compress(&vec![0; 64 * MIB], 19).unwrap());
    let claimed = Digest::from_parts(*other.hash(), 1_000);
    let error =
        client.send(frames(&format!("uploads/u/{}", packed_name(claimed)), &bomb, 0, MIB)).await.unwrap_err();
    assert!(error.message().contains("more than the 1000 bytes"), "{error}");
    let codes = client
        .update(vec![
            (claimed, bomb, 1),
            (Digest::of(b"x"), Bytes::from_static(b"x"), 0),
            (other, Bytes::from_static(b"y"), 0),
        ])
        .await;
    let invalid = Code::InvalidArgument as i32;
    assert_eq!(codes.unwrap(), [invalid, 0, invalid], "one bad blob spoils no other");
    let cut = Bytes::from(zstd::bulk::compress(b"some words that are packed", 3).unwrap());
    let cut = cut.slice(..cut.len() - 3);
    let error = client
        .send(frames(
            &format!("uploads/u/{}", packed_name(Digest::of(b"some words that are packed"))),
            &cut,
            0,
            MIB,
        ))
        .await;
    assert_eq!(error.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let blob = noise(7, 5 * MIB);
    let name = write_name(Digest::of(&blob));
    let mut first = frames(&name, &blob, 0, MIB);
    first.truncate(3);
    assert_eq!(client.send(first).await.unwrap(), 3 * MIB as i64);
    let ask = bs::QueryWriteStatusRequest { resource_name: name.clone() };
    let status = client.streams.query_write_status(ask.clone()).await.unwrap().into_inner();
    assert_eq!((status.committed_size, status.complete), (3 * MIB as i64, false));
    // Another client's upload of that name is another upload.
    let theirs = door.client("b").streams.query_write_status(ask.clone()).await.unwrap().into_inner();
    assert_eq!((theirs.committed_size, theirs.complete), (0, false));
    assert_eq!(client.send(frames(&name, &blob, 3 * MIB, MIB)).await.unwrap(), blob.len() as i64);
    let status = client.streams.query_write_status(ask).await.unwrap().into_inner();
    assert_eq!((status.committed_size, status.complete), (blob.len() as i64, true));
    assert_eq!(client.read(&read_name(Digest::of(&blob)), 0, 0).await.unwrap(), blob);
    // From where nothing has come nobody can go on.
    let other = noise(8, 3 * MIB);
    let error = client.send(frames(&write_name(Digest::of(&other)), &other, MIB, MIB)).await.unwrap_err();
    assert!(
        error.code() == Code::InvalidArgument && error.message().contains("0 bytes have come"),
        "{error}"
    );
}

#[tokio::test]
async fn batches_are_answered_blob_by_blob() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let blobs: Vec<_> = (0..100_u64).map(|seed| noise(seed, 1_024)).collect();
    let digests: Vec<_> = blobs.iter().map(|blob| Digest::of(blob)).collect();
    assert_eq!(client.missing(&digests).await.unwrap().len(), 100);
    let all = digests.iter().zip(&blobs).map(|(digest, blob)| (*digest, blob.clone(), 0)).collect();
    assert!(client.update(all).await.unwrap().iter().all(|code| *code == 0));
    // One that is longer than a single value of the cache.
    let long = noise(1_000, 3 * MIB);
    assert_eq!(client.update(vec![(Digest::of(&long), long.clone(), 0)]).await.unwrap(), [0]);
    let mut asked = digests.clone();
    asked.extend([Digest::of(&long), Digest::of(b""), Digest::of(b"none")]);
    assert_eq!(client.missing(&asked).await.unwrap(), [wire(Digest::of(b"none"))]);
    let request = re::BatchReadBlobsRequest {
        digests: asked.iter().copied().map(wire).collect(),
        ..Default::default()
    };
    let answer = client.blobs.batch_read_blobs(request).await.unwrap().into_inner().responses;
    for (response, blob) in answer.iter().zip(blobs.iter().chain([&long, &Bytes::new()])) {
        assert_eq!((response.status.as_ref().unwrap().code, &response.data), (0, blob));
    }
    assert_eq!(answer.last().unwrap().status.as_ref().unwrap().code, Code::NotFound as i32);
    let much = noise(9, 5 * MIB);
    let digest = wire(Digest::of(&much));
    let request = re::BatchReadBlobsRequest { digests: vec![digest], ..Default::default() };
    let error = client.blobs.batch_read_blobs(request).await.unwrap_err();
    assert!(error.message().contains("ByteStream"), "{error}");
}

/// A directory with one file in a directory below it; the file's digest comes back, too.
async fn tree(client: &mut door::Client) -> (re::Directory, re::Directory, Digest) {
    let file = noise(5, 100);
    let below = re::Directory {
        files: vec![re::FileNode {
            name: "f".to_owned(),
            digest: Some(wire(Digest::of(&file))),
            ..Default::default()
        }],
        ..Default::default()
    };
    let encoded = Bytes::from(below.encode_to_vec());
    let node =
        |name: &str| re::DirectoryNode { name: name.to_owned(), digest: Some(wire(Digest::of(&encoded))) };
    let root = re::Directory { directories: vec![node("d"), node("e")], ..Default::default() };
    for blob in [file.clone(), encoded, root.encode_to_vec().into()] {
        client.update(vec![(Digest::of(&blob), blob, 0)]).await.unwrap();
    }
    (root, below, Digest::of(&file))
}

#[tokio::test]
async fn a_tree_is_sent_each_directory_once() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let (root, below, _) = tree(&mut client).await;
    let digest = Digest::of(&root.encode_to_vec());
    let request = re::GetTreeRequest { root_digest: Some(wire(digest)), ..Default::default() };
    let mut pages = client.blobs.get_tree(request).await.unwrap().into_inner();
    let mut got = Vec::new();
    while let Some(page) = pages.message().await.unwrap() {
        got.extend(page.directories);
    }
    assert_eq!(got, [root, below]);
    let request = re::GetTreeRequest { root_digest: Some(wire(Digest::of(b"none"))), ..Default::default() };
    assert_eq!(client.blobs.get_tree(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_hit_says_that_all_its_outputs_are_here() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let (root, below, inner) = tree(&mut client).await;
    let message = re::Tree { root: Some(root.clone()), children: vec![below] };
    let message = Bytes::from(message.encode_to_vec());
    client.update(vec![(Digest::of(&message), message.clone(), 0)]).await.unwrap();
    let large = noise(11, 6 * MIB);
    let (output, log) = (Digest::of(&large), noise(12, 50));
    client.write(&large, MIB).await.unwrap();
    client.write(&log, MIB).await.unwrap();
    let result = re::ActionResult {
        output_files: vec![re::OutputFile {
            path: "o".to_owned(),
            digest: Some(wire(output)),
            ..Default::default()
        }],
        output_directories: vec![re::OutputDirectory {
            path: "d".to_owned(),
            tree_digest: Some(wire(Digest::of(&message))),
            root_directory_digest: Some(wire(Digest::of(&root.encode_to_vec()))),
            ..Default::default()
        }],
        stdout_digest: Some(wire(Digest::of(&log))),
        ..Default::default()
    };
    let place = Namespace::new("a").unwrap();
    let key = |kind, id| Key { kind, namespace: place.clone(), id };
    let action = Digest::of(b"action");
    assert_eq!(client.action(action).await.unwrap_err().code(), Code::NotFound);
    client.put_action(action, result.clone()).await.unwrap();
    assert_eq!(client.action(action).await.unwrap(), result);
    // Evict one blob after the other: a file inside of a tree, the tree, what was printed, the list of a large one's chunks.
    for (kind, digest) in [
        (Kind::Chunk, inner),
        (Kind::Chunk, Digest::of(&message)),
        (Kind::Chunk, Digest::of(&log)),
        (Kind::Manifest, output),
    ] {
        let one = [key(kind, digest)];
        let value = door.engine.get_many(&one).await.unwrap().pop().unwrap().value().unwrap();
        assert_eq!(door.engine.delete_many(&one).await.unwrap(), 1);
        assert_eq!(client.action(action).await.unwrap_err().code(), Code::NotFound, "{kind:?} {digest}");
        let error = client.put_action(action, result.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        let put = slipway_cas::cache::engine::Put {
            key: one[0].clone(),
            value,
            keep: slipway_cas::cache::engine::Keep::Normal,
        };
        door.engine.put_many(vec![put]).await.unwrap();
        assert_eq!(client.action(action).await.unwrap(), result);
    }
    // A single chunk of the large one.
    let split = re::SplitBlobRequest { blob_digest: Some(wire(output)), ..Default::default() };
    let chunks = client.blobs.split_blob(split).await.unwrap().into_inner().chunk_digests;
    assert!(chunks.len() > 1);
    let chunk = Digest::from_hex(&chunks[1].hash, chunks[1].size_bytes as u64).unwrap();
    door.engine.delete_many(&[key(Kind::Chunk, chunk)]).await.unwrap();
    assert_eq!(client.action(action).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.missing(&[output]).await.unwrap(), [wire(output)]);
}

#[tokio::test]
async fn scopes_are_apart() {
    let door = Door::open().await;
    let (mut ours, mut theirs) = (door.client("a"), door.client("b"));
    let blob = noise(21, 100_000);
    let digest = Digest::of(&blob);
    ours.write(&blob, MIB).await.unwrap();
    let action = Digest::of(b"compile");
    let result = re::ActionResult { stdout_digest: Some(wire(digest)), exit_code: 7, ..Default::default() };
    ours.put_action(action, result.clone()).await.unwrap();
    // By every call: another scope has nothing of it.
    assert_eq!(theirs.missing(&[digest]).await.unwrap(), [wire(digest)]);
    assert_eq!(theirs.read(&read_name(digest), 0, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(theirs.action(action).await.unwrap_err().code(), Code::NotFound);
    let request = re::BatchReadBlobsRequest { digests: vec![wire(digest)], ..Default::default() };
    let read = theirs.blobs.batch_read_blobs(request).await.unwrap().into_inner();
    assert_eq!(read.responses[0].status.as_ref().unwrap().code, Code::NotFound as i32);
    let split = re::SplitBlobRequest { blob_digest: Some(wire(digest)), ..Default::default() };
    assert_eq!(theirs.blobs.split_blob(split).await.unwrap_err().code(), Code::NotFound);
    // One that may read ours as well sees all of it, and what it writes there is its own.
    let mut guest = door.client("c+a");
    assert!(guest.missing(&[digest]).await.unwrap().is_empty());
    assert_eq!(guest.read(&read_name(digest), 0, 0).await.unwrap(), blob);
    assert_eq!(guest.action(action).await.unwrap(), result);
    let poison = re::ActionResult { exit_code: 1, ..result.clone() };
    guest.put_action(action, poison.clone()).await.unwrap();
    assert_eq!(guest.action(action).await.unwrap(), poison);
    assert_eq!(ours.action(action).await.unwrap(), result, "what a guest writes nobody else reads");
}

#[tokio::test]
async fn a_token_that_only_reads_cannot_write_by_any_call() {
    let door = Door::open().await;
    let blob = noise(31, 1_000);
    let digest = Digest::of(&blob);
    let mut reader = door.client("a:ro");
    let denied = Code::PermissionDenied;
    assert_eq!(reader.write(&blob, MIB).await.unwrap_err().code(), denied);
    assert_eq!(reader.update(vec![(digest, blob.clone(), 0)]).await.unwrap_err().code(), denied);
    assert_eq!(reader.put_action(digest, re::ActionResult::default()).await.unwrap_err().code(), denied);
    let splice = re::SpliceBlobRequest {
        blob_digest: Some(wire(digest)),
        chunk_digests: vec![wire(digest)],
        ..Default::default()
    };
    assert_eq!(reader.blobs.splice_blob(splice).await.unwrap_err().code(), denied);
    let ask = bs::QueryWriteStatusRequest { resource_name: write_name(digest) };
    assert_eq!(reader.streams.query_write_status(ask).await.unwrap_err().code(), denied);
    door.client("a").write(&blob, MIB).await.unwrap();
    assert_eq!(reader.read(&read_name(digest), 0, 0).await.unwrap(), blob);
    let capabilities =
        reader.capabilities.get_capabilities(re::GetCapabilitiesRequest::default()).await.unwrap();
    let cache = capabilities.into_inner().cache_capabilities.unwrap();
    assert!(!cache.action_cache_update_capabilities.unwrap().update_enabled);
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_or_where_he_may_not() {
    let door = Door::open().await;
    let digest = Digest::of(b"x");
    let mut nobody = door.client("");
    assert_eq!(nobody.missing(&[digest]).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.read(&read_name(digest), 0, 0).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.write(&Bytes::from_static(b"x"), 1).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.action(digest).await.unwrap_err().code(), Code::Unauthenticated);
    let request = re::GetCapabilitiesRequest::default();
    assert_eq!(
        nobody.capabilities.get_capabilities(request).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let name = format!("forbidden/{}", read_name(digest));
    let error = door.client("a").read(&name, 0, 0).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::PermissionDenied, "not that one"));
    for name in ["", "blobs/../../etc/passwd/3", "blobs/x/3", "uploads/1/blobs"] {
        assert_eq!(
            door.client("a").read(name, 0, 0).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{name}"
        );
    }
}

#[tokio::test]
async fn chunks_that_a_client_cut_make_a_blob() {
    let door = Door::open().await;
    let mut client = door.client("a");
    let blob = noise(41, 4 * MIB);
    let digest = Digest::of(&blob);
    let chunks: Vec<_> = blob.chunks(700_000).map(Bytes::copy_from_slice).collect();
    for chunk in &chunks {
        client.write(chunk, MIB).await.unwrap();
    }
    let digests: Vec<_> = chunks.iter().map(|chunk| wire(Digest::of(chunk))).collect();
    let splice = |digest, chunk_digests| re::SpliceBlobRequest {
        blob_digest: Some(wire(digest)),
        chunk_digests,
        ..Default::default()
    };
    let mut wrong = digests.clone();
    wrong.swap(0, 1);
    assert_eq!(
        client.blobs.splice_blob(splice(digest, wrong)).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    assert_eq!(client.missing(&[digest]).await.unwrap().len(), 1);
    client.blobs.splice_blob(splice(digest, digests)).await.unwrap();
    assert_eq!(client.read(&read_name(digest), 0, 0).await.unwrap(), blob);
}
