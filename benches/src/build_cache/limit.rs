//! What a cache on this Redis and these processors can reach at most: a bare tonic stream that hashes every byte once, and gives each
//! piece to Redis, or takes it from there, and does nothing else. It does not cut, look, check a token, or keep a list.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use redis::aio::MultiplexedConnection;
use sha2::{Digest as _, Sha256};
use slipway_proto::reapi::google::bytestream as bs;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::client::{CONNECTION_WINDOW_BYTES, Client, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES};
use super::redis_server::RedisServer;
use super::streams::FRAME_BYTES;

/// Connections to Redis, and pieces of a stream that are on their way at once: as the cache has them.
const CONNECTIONS: usize = 4;
const PIECES: usize = 8;

/// A client of that server, which goes on as long as the process.
pub(super) struct Limit {
    pub(super) client: Client,
}

impl Limit {
    pub(super) async fn start(redis: &RedisServer) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(redis.connection().await?);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let service = Passing { connections: connections.into(), turn: Arc::default() };
        let streams = bs::byte_stream_server::ByteStreamServer::new(service);
        let server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_service(streams.max_decoding_message_size(MAX_MESSAGE_BYTES));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
        let client = Client::connect(address, "none").await.context("the server of the limit")?;
        Ok(Self { client })
    }
}

#[derive(Clone)]
struct Passing {
    connections: Arc<[MultiplexedConnection]>,
    turn: Arc<AtomicUsize>,
}

/// What Redis has a blob's piece under.
fn key(name: &str, piece: usize) -> String {
    // `uploads/<id>/blobs/<hash>/<bytes>` and `blobs/<hash>/<bytes>` end alike.
    let hash = name.rsplit('/').nth(1).unwrap_or_default();
    format!("limit:{hash}:{piece}")
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

impl Passing {
    fn connection(&self) -> MultiplexedConnection {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        self.connections[turn].clone()
    }
}

/// A blob's pieces on their way to Redis.
struct Storing<'a> {
    passing: &'a Passing,
    name: String,
    piece: usize,
    tasks: JoinSet<redis::RedisResult<()>>,
}

impl Storing<'_> {
    async fn put(&mut self, data: Bytes) -> Result<(), Status> {
        if self.tasks.len() == PIECES {
            self.one().await?;
        }
        let (mut connection, key) = (self.passing.connection(), key(&self.name, self.piece));
        self.piece += 1;
        self.tasks.spawn(async move {
            redis::cmd("SET").arg(key).arg(&data[..]).query_async(&mut connection).await
        });
        Ok(())
    }

    /// Waits for one of them.
    async fn one(&mut self) -> Result<(), Status> {
        let Some(stored) = self.tasks.join_next().await else { return Ok(()) };
        stored.map_err(failed)?.map_err(failed)
    }

    async fn all(&mut self) -> Result<(), Status> {
        while !self.tasks.is_empty() {
            self.one().await?;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl bs::byte_stream_server::ByteStream for Passing {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<bs::ReadResponse, Status>> + Send>>;

    async fn read(&self, request: Request<bs::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let name = request.into_inner().resource_name;
        let length: usize =
            name.rsplit('/').next().and_then(|length| length.parse().ok()).unwrap_or_default();
        let this = self.clone();
        let asked = stream::iter(0..length.div_ceil(FRAME_BYTES)).map(move |piece| {
            let (mut connection, key) = (this.connection(), key(&name, piece));
            // In tasks, so that answers are taken in while earlier ones are sent.
            tokio::spawn(
                async move { redis::cmd("GET").arg(key).query_async::<Vec<u8>>(&mut connection).await },
            )
        });
        let mut hash = Sha256::new();
        let pieces = asked.buffered(PIECES).map(move |piece| {
            let data = piece.map_err(failed)?.map_err(failed)?;
            hash.update(&data);
            Ok(bs::ReadResponse { data: data.into() })
        });
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn write(
        &self,
        request: Request<Streaming<bs::WriteRequest>>,
    ) -> Result<Response<bs::WriteResponse>, Status> {
        let mut incoming = request.into_inner();
        let (mut hash, mut committed_size) = (Sha256::new(), 0);
        let mut storing = Storing { passing: self, name: String::new(), piece: 0, tasks: JoinSet::new() };
        let mut buffer = BytesMut::new();
        while let Some(message) = incoming.message().await? {
            if committed_size == 0 {
                storing.name = message.resource_name;
            }
            hash.update(&message.data);
            committed_size += message.data.len() as i64;
            if buffer.is_empty() && message.data.len() == FRAME_BYTES {
                storing.put(message.data).await?;
                continue;
            }
            buffer.extend_from_slice(&message.data);
            while buffer.len() >= FRAME_BYTES {
                storing.put(buffer.split_to(FRAME_BYTES).freeze()).await?;
            }
        }
        if !buffer.is_empty() {
            storing.put(buffer.freeze()).await?;
        }
        storing.all().await?;
        std::hint::black_box(hash.finalize());
        Ok(Response::new(bs::WriteResponse { committed_size }))
    }

    async fn query_write_status(
        &self,
        _: Request<bs::QueryWriteStatusRequest>,
    ) -> Result<Response<bs::QueryWriteStatusResponse>, Status> {
        Err(Status::unimplemented("this server only moves bytes"))
    }
}
