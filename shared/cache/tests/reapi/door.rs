//! A server with the doors of one cache in memory, and clients of it.

use std::sync::Arc;

use bytes::Bytes;
use slipway_cache::reapi::Reapi;
use slipway_cas::Digest;
use slipway_cas::cache::{BlobCache, Compression, Engine, MemoryEngine, Namespace};
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use slipway_proto::reapi::google::bytestream as bs;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

use crate::words::Words;

#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if !self.0.is_empty() {
            let value = MetadataValue::try_from(format!("Bearer {}", self.0)).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Bearer>;

/// The server, and what is behind it.
pub(crate) struct Door {
    pub(crate) engine: Arc<MemoryEngine>,
    channel: Channel,
}

impl Door {
    pub(crate) async fn open() -> Self {
        let engine = Arc::new(MemoryEngine::new(1 << 30));
        Self { channel: serve(engine.clone()).await, engine }
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        Client::new(&self.channel, token)
    }
}

/// A connection to the doors of a cache over this engine.
pub(crate) async fn serve(engine: Arc<dyn Engine>) -> Channel {
    let blobs = BlobCache::new(engine, Namespace::new("none").unwrap(), Compression::WherePaying);
    let reapi = Reapi::new(blobs, Arc::new(Words));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder()
        .add_service(reapi.capabilities())
        .add_service(reapi.blobs())
        .add_service(reapi.actions())
        .add_service(reapi.streams());
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
    Endpoint::try_from(address).unwrap().connect().await.unwrap()
}

/// All services, with one token.
pub(crate) struct Client {
    pub(crate) capabilities: re::capabilities_client::CapabilitiesClient<Service>,
    pub(crate) blobs: re::content_addressable_storage_client::ContentAddressableStorageClient<Service>,
    pub(crate) actions: re::action_cache_client::ActionCacheClient<Service>,
    pub(crate) streams: bs::byte_stream_client::ByteStreamClient<Service>,
}

pub(crate) fn wire(digest: Digest) -> re::Digest {
    re::Digest { hash: digest.hash_hex(), size_bytes: digest.size_bytes() as i64 }
}

pub(crate) fn read_name(digest: Digest) -> String {
    format!("blobs/{}/{}", digest.hash_hex(), digest.size_bytes())
}

pub(crate) fn write_name(digest: Digest) -> String {
    format!("uploads/{}/{}", uuid::Uuid::new_v4(), read_name(digest))
}

/// Messages of a write, with frames of this length.
pub(crate) fn frames(name: &str, bytes: &Bytes, from: usize, length: usize) -> Vec<bs::WriteRequest> {
    let mut messages = Vec::new();
    let mut at = from;
    loop {
        let end = bytes.len().min(at + length);
        let resource_name = if at == from { name.to_owned() } else { String::new() };
        let (write_offset, finish_write) = (at as i64, end == bytes.len());
        messages.push(bs::WriteRequest {
            resource_name,
            write_offset,
            finish_write,
            data: bytes.slice(at..end),
        });
        at = end;
        if finish_write {
            return messages;
        }
    }
}

/// Bytes that do not pack.
pub(crate) fn noise(seed: u64, length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes.into()
}

impl Client {
    pub(crate) fn new(channel: &Channel, token: &str) -> Self {
        let service = || InterceptedService::new(channel.clone(), Bearer(token.to_owned()));
        Self {
            capabilities: re::capabilities_client::CapabilitiesClient::new(service()),
            blobs: re::content_addressable_storage_client::ContentAddressableStorageClient::new(service()),
            actions: re::action_cache_client::ActionCacheClient::new(service()),
            streams: bs::byte_stream_client::ByteStreamClient::new(service()),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &Bytes, frame: usize) -> Result<i64, Status> {
        let name = write_name(Digest::of(bytes));
        self.send(frames(&name, bytes, 0, frame)).await
    }

    pub(crate) async fn send(&mut self, messages: Vec<bs::WriteRequest>) -> Result<i64, Status> {
        let answer = self.streams.write(tokio_stream::iter(messages)).await?;
        Ok(answer.into_inner().committed_size)
    }

    /// Sends this, and no more until there is an answer.
    pub(crate) async fn begin(&mut self, message: bs::WriteRequest) -> Result<i64, Status> {
        let messages = tokio_stream::once(message).chain(tokio_stream::pending());
        Ok(self.streams.write(messages).await?.into_inner().committed_size)
    }

    pub(crate) async fn read(&mut self, name: &str, offset: i64, limit: i64) -> Result<Vec<u8>, Status> {
        let request =
            bs::ReadRequest { resource_name: name.to_owned(), read_offset: offset, read_limit: limit };
        let mut stream = self.streams.read(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(message) = stream.message().await? {
            all.extend_from_slice(&message.data);
        }
        Ok(all)
    }

    pub(crate) async fn missing(&mut self, digests: &[Digest]) -> Result<Vec<re::Digest>, Status> {
        let request = re::FindMissingBlobsRequest {
            blob_digests: digests.iter().copied().map(wire).collect(),
            ..re::FindMissingBlobsRequest::default()
        };
        Ok(self.blobs.find_missing_blobs(request).await?.into_inner().missing_blob_digests)
    }

    pub(crate) async fn update(&mut self, blobs: Vec<(Digest, Bytes, i32)>) -> Result<Vec<i32>, Status> {
        let requests = blobs.into_iter().map(|(digest, data, compressor)| {
            re::batch_update_blobs_request::Request { digest: Some(wire(digest)), data, compressor }
        });
        let request = re::BatchUpdateBlobsRequest {
            requests: requests.collect(),
            ..re::BatchUpdateBlobsRequest::default()
        };
        let answer = self.blobs.batch_update_blobs(request).await?.into_inner();
        Ok(answer.responses.into_iter().map(|response| response.status.unwrap().code).collect())
    }

    pub(crate) async fn put_action(
        &mut self,
        action: Digest,
        result: re::ActionResult,
    ) -> Result<(), Status> {
        let request = re::UpdateActionResultRequest {
            action_digest: Some(wire(action)),
            action_result: Some(result),
            ..re::UpdateActionResultRequest::default()
        };
        self.actions.update_action_result(request).await.map(drop)
    }

    pub(crate) async fn action(&mut self, action: Digest) -> Result<re::ActionResult, Status> {
        let request = re::GetActionResultRequest {
            action_digest: Some(wire(action)),
            ..re::GetActionResultRequest::default()
        };
        Ok(self.actions.get_action_result(request).await?.into_inner())
    }
}
