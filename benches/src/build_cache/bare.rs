//! The baseline of all calls: a bare tonic server with the protocol's own messages. Of streams it hashes every byte with
//! SHA-256, as whoever checks must; of batches not even that. It stores nothing and asks nobody. What it can't do, no cache
//! built on tonic can.

use std::pin::Pin;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use slipway_proto::reapi::google::bytestream as bs;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::client::{Blob, CONNECTION_WINDOW_BYTES, Client, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES};
use re::content_addressable_storage_server::{ContentAddressableStorage, ContentAddressableStorageServer};

/// The longest blob that it can give out, in bytes.
const LONGEST_BYTES: usize = 64 << 20;

/// Bytes of a message of a read, as the cache has them.
const PIECE_BYTES: usize = 1 << 20;

/// A client of the bare server, which goes on as long as the process.
pub(super) struct Bare {
    pub(super) client: Client,
}

impl Bare {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let services = Services { bytes: Blob::noise(0, LONGEST_BYTES).bytes };
        let blobs = ContentAddressableStorageServer::new(services.clone());
        let streams = bs::byte_stream_server::ByteStreamServer::new(services);
        let server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_service(blobs.max_decoding_message_size(MAX_MESSAGE_BYTES))
            .add_service(streams.max_decoding_message_size(MAX_MESSAGE_BYTES));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
        Ok(Self { client: Client::connect(address, "none").await? })
    }
}

#[derive(Clone)]
struct Services {
    /// What it gives out, whatever the name.
    bytes: Bytes,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn absent<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the bare server only moves bytes"))
}

impl Services {
    fn of_length(&self, length: i64) -> Result<Bytes, Status> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len());
        length.map(|length| self.bytes.slice(..length)).ok_or_else(|| Status::not_found("too long"))
    }
}

#[tonic::async_trait]
impl bs::byte_stream_server::ByteStream for Services {
    type ReadStream = Answers<bs::ReadResponse>;

    async fn read(&self, request: Request<bs::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let name = request.into_inner().resource_name;
        let length = name.rsplit('/').next().and_then(|length| length.parse().ok());
        let mut rest = self.of_length(length.ok_or_else(|| Status::invalid_argument("no length"))?)?;
        let mut hash = Sha256::new();
        let pieces = std::iter::from_fn(move || {
            if rest.is_empty() {
                std::hint::black_box(hash.finalize_reset());
                return None;
            }
            let data = rest.split_to(rest.len().min(PIECE_BYTES));
            hash.update(&data);
            Some(Ok(bs::ReadResponse { data }))
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn write(
        &self,
        request: Request<Streaming<bs::WriteRequest>>,
    ) -> Result<Response<bs::WriteResponse>, Status> {
        let mut incoming = request.into_inner();
        let (mut hash, mut committed_size) = (Sha256::new(), 0);
        while let Some(message) = incoming.message().await? {
            hash.update(&message.data);
            committed_size += message.data.len() as i64;
        }
        std::hint::black_box(hash.finalize());
        Ok(Response::new(bs::WriteResponse { committed_size }))
    }

    async fn query_write_status(
        &self,
        _: Request<bs::QueryWriteStatusRequest>,
    ) -> Result<Response<bs::QueryWriteStatusResponse>, Status> {
        absent()
    }
}

#[tonic::async_trait]
impl ContentAddressableStorage for Services {
    type GetTreeStream = Answers<re::GetTreeResponse>;

    async fn find_missing_blobs(
        &self,
        _: Request<re::FindMissingBlobsRequest>,
    ) -> Result<Response<re::FindMissingBlobsResponse>, Status> {
        absent()
    }

    async fn batch_update_blobs(
        &self,
        request: Request<re::BatchUpdateBlobsRequest>,
    ) -> Result<Response<re::BatchUpdateBlobsResponse>, Status> {
        let requests = request.into_inner().requests.into_iter();
        let responses = requests.map(|blob| re::batch_update_blobs_response::Response {
            digest: blob.digest,
            ..re::batch_update_blobs_response::Response::default()
        });
        Ok(Response::new(re::BatchUpdateBlobsResponse { responses: responses.collect() }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<re::BatchReadBlobsRequest>,
    ) -> Result<Response<re::BatchReadBlobsResponse>, Status> {
        let mut responses = Vec::new();
        for digest in request.into_inner().digests {
            responses.push(re::batch_read_blobs_response::Response {
                data: self.of_length(digest.size_bytes)?,
                digest: Some(digest),
                ..re::batch_read_blobs_response::Response::default()
            });
        }
        Ok(Response::new(re::BatchReadBlobsResponse { responses }))
    }

    async fn get_tree(
        &self,
        _: Request<re::GetTreeRequest>,
    ) -> Result<Response<Self::GetTreeStream>, Status> {
        absent()
    }

    async fn split_blob(
        &self,
        _: Request<re::SplitBlobRequest>,
    ) -> Result<Response<re::SplitBlobResponse>, Status> {
        absent()
    }

    async fn splice_blob(
        &self,
        _: Request<re::SpliceBlobRequest>,
    ) -> Result<Response<re::SpliceBlobResponse>, Status> {
        absent()
    }
}
