//! A blob of more than 2 GiB through the remote cache's doors: sent and read as a stream over gRPC, to a coordinator with a Redis behind it.

use sha2::{Digest as _, Sha256};
use slipway_proto::reapi::google::bytestream::byte_stream_client::ByteStreamClient;
use slipway_proto::reapi::google::bytestream::{ReadRequest, WriteRequest};
use slipway_tests::{Coordinator, RedisServer};
use tokio_stream::StreamExt as _;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

/// More than 31 bits can count, and no round number.
const BLOB_BYTES: usize = (2 << 30) + 12_345;

/// What one message of the stream carries.
const MESSAGE_BYTES: usize = 1 << 20;

/// The most memory that the coordinator may have held, whatever a blob's length; 126 MiB were measured.
const COORDINATOR_MAX_BYTES: u64 = 256 << 20;

/// Room for the blob, which packs well.
const REDIS_MEBIBYTES: u32 = 1_024;

/// The blob's messages: each 4 KiB of it is another, so no chunk of it is like another one; and it packs well, so that Redis need not hold
/// two gigabytes.
fn pieces() -> impl Iterator<Item = Vec<u8>> {
    const NUMBERED_BYTES: usize = 4_096;
    let mut random = 1_u32;
    let pattern: Vec<u8> = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    })
    .take(NUMBERED_BYTES)
    .collect();
    let template = pattern.repeat(MESSAGE_BYTES / NUMBERED_BYTES);
    (0..BLOB_BYTES).step_by(MESSAGE_BYTES).map(move |from| {
        let mut piece = template.clone();
        for (number, numbered) in piece.chunks_exact_mut(NUMBERED_BYTES).enumerate() {
            numbered[..8].copy_from_slice(&(from + number).to_le_bytes());
        }
        piece.truncate(BLOB_BYTES - from);
        piece
    })
}

fn with<T>(message: T, authorization: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.clone());
    request
}

#[test]
fn more_than_two_gibibytes_go_through_in_bounded_memory() {
    let redis = RedisServer::start(REDIS_MEBIBYTES);
    let coordinator = Coordinator::start_with(&["--cache", &redis.url()]);
    let token = std::fs::read_to_string(coordinator.data_dir().join("cache.token")).unwrap();
    let authorization: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse().unwrap();
    let hash =
        hex::encode(pieces().fold(Sha256::new(), |hasher, piece| hasher.chain_update(&piece)).finalize());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = Endpoint::from_shared(coordinator.grpc_url()).unwrap().connect().await.unwrap();
        let mut streams = ByteStreamClient::new(channel);
        let blob = format!("team/app/blobs/{hash}/{BLOB_BYTES}");
        let upload = blob.replace("team/app/", "team/app/uploads/8f6a3c52-0001-4c1e-9d2e-000000000001/");
        let mut offset = 0;
        let messages = pieces().map(move |data| {
            // Only the first one names what it is.
            let resource_name = if offset == 0 { upload.clone() } else { String::new() };
            let write_offset = i64::try_from(offset).unwrap();
            offset += data.len();
            WriteRequest {
                resource_name,
                write_offset,
                finish_write: offset == BLOB_BYTES,
                data: data.into(),
            }
        });
        let written = streams.write(with(tokio_stream::iter(messages), &authorization)).await.unwrap();
        assert_eq!(written.into_inner().committed_size, i64::try_from(BLOB_BYTES).unwrap());

        let read = ReadRequest { resource_name: blob.clone(), ..ReadRequest::default() };
        let mut back = streams.read(with(read, &authorization)).await.unwrap().into_inner();
        let (mut hasher, mut length) = (Sha256::new(), 0);
        while let Some(message) = back.next().await {
            let data = message.unwrap().data;
            length += data.len();
            hasher.update(&data);
        }
        assert_eq!((length, hex::encode(hasher.finalize())), (BLOB_BYTES, hash.clone()));

        // The last bytes alone, from an offset that 31 bits do not hold.
        let tail_offset = (2 << 30) + 345;
        let read = ReadRequest { resource_name: blob, read_offset: tail_offset, read_limit: 0 };
        let mut back = streams.read(with(read, &authorization)).await.unwrap().into_inner();
        let mut tail = Vec::new();
        while let Some(message) = back.next().await {
            tail.extend(message.unwrap().data);
        }
        assert!(tail == pieces().last().unwrap()[345..], "{} bytes", tail.len());
    });
    let held = coordinator.peak_memory_bytes();
    assert!(held < COORDINATOR_MAX_BYTES, "{} MiB", held >> 20);
}
