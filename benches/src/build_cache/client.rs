//! A client of the remote cache, as build tools are: one connection for all calls.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use slipway_cas::Digest;
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use slipway_proto::reapi::google::bytestream as bs;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Windows of HTTP/2 as the coordinator has them, on every side: else the baseline would be one of windows.
pub(super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// The longest message, in bytes: a full batch and what is around it.
pub(super) const MAX_MESSAGE_BYTES: usize = 5 << 20;

#[derive(Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Bearer>;

/// The services that are measured; clones share the connection.
#[derive(Clone)]
pub(super) struct Client {
    blobs: re::content_addressable_storage_client::ContentAddressableStorageClient<Service>,
    streams: bs::byte_stream_client::ByteStreamClient<Service>,
}

/// A blob and its name.
#[derive(Clone)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

impl Blob {
    /// One that does not pack, and that no other number has.
    pub(super) fn noise(number: u64, length: usize) -> Self {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(number).fill(&mut bytes);
        Self { digest: Digest::of(&bytes), bytes: bytes.into() }
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect()
            .await?;
        let bearer = Bearer(format!("Bearer {token}").parse()?);
        let service = || InterceptedService::new(channel.clone(), bearer.clone());
        let blobs = re::content_addressable_storage_client::ContentAddressableStorageClient::new(service());
        Ok(Self {
            blobs: blobs.max_decoding_message_size(MAX_MESSAGE_BYTES),
            streams: bs::byte_stream_client::ByteStreamClient::new(service()),
        })
    }

    /// Writes a blob as a stream of pieces of `frame` bytes.
    pub(super) async fn write(&mut self, blob: &Blob, frame: usize) -> anyhow::Result<()> {
        let name = format!("uploads/{}/{}", uuid::Uuid::new_v4(), resource(blob.digest));
        let (bytes, length) = (blob.bytes.clone(), blob.bytes.len());
        let messages = (0..length.div_ceil(frame)).map(move |number| {
            let (at, end) = (number * frame, length.min((number + 1) * frame));
            bs::WriteRequest {
                resource_name: if number == 0 { name.clone() } else { String::new() },
                write_offset: at as i64,
                finish_write: end == length,
                data: bytes.slice(at..end),
            }
        });
        let answer = self.streams.write(tokio_stream::iter(messages)).await?.into_inner();
        ensure!(answer.committed_size == length as i64, "{} bytes were taken", answer.committed_size);
        Ok(())
    }

    /// Reads a blob and drops its bytes.
    pub(super) async fn read(&mut self, digest: Digest) -> anyhow::Result<()> {
        let mut received = 0;
        self.read_with(digest, |piece| received += piece.len() as u64).await?;
        ensure!(received == digest.size_bytes(), "{received} bytes of {digest} came");
        Ok(())
    }

    /// Reads a blob and checks that it is the one.
    pub(super) async fn read_checked(&mut self, digest: Digest) -> anyhow::Result<()> {
        let mut all = Vec::new();
        self.read_with(digest, |piece| all.extend_from_slice(piece)).await?;
        ensure!(digest.matches(&all), "what was read is not {digest}");
        Ok(())
    }

    async fn read_with(&mut self, digest: Digest, mut take: impl FnMut(&Bytes)) -> anyhow::Result<()> {
        let request = bs::ReadRequest { resource_name: resource(digest), ..bs::ReadRequest::default() };
        let mut stream = self.streams.read(request).await?.into_inner();
        while let Some(message) = stream.message().await? {
            take(&message.data);
        }
        Ok(())
    }

    /// Writes blobs in one call.
    pub(super) async fn update(&mut self, blobs: &[Blob]) -> anyhow::Result<()> {
        let requests = blobs.iter().map(|blob| re::batch_update_blobs_request::Request {
            digest: Some(wire(blob.digest)),
            data: blob.bytes.clone(),
            compressor: 0,
        });
        let request = re::BatchUpdateBlobsRequest {
            requests: requests.collect(),
            ..re::BatchUpdateBlobsRequest::default()
        };
        let answer = self.blobs.batch_update_blobs(request).await?.into_inner();
        let good =
            answer.responses.iter().filter(|one| one.status.as_ref().is_none_or(|status| status.code == 0));
        ensure!(good.count() == blobs.len(), "a batch was not taken");
        Ok(())
    }

    /// Reads blobs in one call.
    pub(super) async fn read_batch(&mut self, digests: &[Digest]) -> anyhow::Result<()> {
        let request = re::BatchReadBlobsRequest {
            digests: digests.iter().copied().map(wire).collect(),
            ..re::BatchReadBlobsRequest::default()
        };
        let answer = self.blobs.batch_read_blobs(request).await?.into_inner();
        let bytes: u64 = answer.responses.iter().map(|one| one.data.len() as u64).sum();
        let wanted: u64 = digests.iter().map(Digest::size_bytes).sum();
        ensure!(bytes == wanted, "a batch of {wanted} bytes brought {bytes}");
        Ok(())
    }

    /// How many of these are not there.
    pub(super) async fn missing(&mut self, digests: &[Digest]) -> anyhow::Result<usize> {
        let request = re::FindMissingBlobsRequest {
            blob_digests: digests.iter().copied().map(wire).collect(),
            ..re::FindMissingBlobsRequest::default()
        };
        Ok(self.blobs.find_missing_blobs(request).await?.into_inner().missing_blob_digests.len())
    }

    /// Fails unless all of these are there: a cache that is gone drops writes without a word.
    pub(super) async fn ensure_kept(&mut self, blobs: &[Blob]) -> anyhow::Result<()> {
        let digests: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
        let missing = self.missing(&digests).await.context("asking what was kept")?;
        ensure!(missing == 0, "{missing} of {} blobs were not kept", blobs.len());
        Ok(())
    }
}

fn resource(digest: Digest) -> String {
    format!("blobs/{}/{}", digest.hash_hex(), digest.size_bytes())
}

fn wire(digest: Digest) -> re::Digest {
    re::Digest { hash: digest.hash_hex(), size_bytes: digest.size_bytes() as i64 }
}
