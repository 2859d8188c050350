//! The job's way to its caches and artifacts, without a route to the coordinator.
//!
//! Init relays a port of the container's loopback to the socket `run/relay.sock` (docs/INIT.md). This serves that socket
//! and carries each connection to the coordinator as one `Agents.Tunnel` call: HTTP/2 gives each its own flow control, so
//! nothing is buffered here beyond one piece in each direction. Each job's calls run over a connection of their own: neither
//! logs and lease renewals nor another job ever wait behind its cache.
//!
//! Invariant: nothing is read from a connection before the coordinator took it, so that one that comes while the
//! coordinator is away can wait for it and loses nothing. What stood when a connection broke is the client's to repeat.
//!
//! Deliberately absent: any knowledge of what is carried, and of who may connect. The socket is open to the whole job;
//! what may be done is decided by the token that each request carries.

pub mod variables;

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use slipway_kit::backoff::Backoff;
use slipway_proto::v1::TunnelData;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::coordinator::Client;
use crate::init::{InitError, bind_socket};
use crate::lease::Lease;
use crate::limits::{
    RECONNECT_FIRST, TUNNEL_CONNECT_MAX, TUNNEL_PIECE_BYTES, TUNNEL_QUEUE, TUNNEL_RETRY_MAX,
    TUNNELS_PER_JOB_MAX,
};

/// A job's socket that is served until this is dropped; its connections end with it.
#[derive(Debug)]
pub struct Tunnel {
    task: JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnel {
    /// Serves the socket in a job's run folder. Replaces one that an earlier agent left.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn serve(run_dir: &Path, client: Client, lease: Lease) -> Result<Self, InitError> {
        let listener = bind_socket(run_dir, slipway_init::limits::RELAY_SOCKET_NAME)?;
        Ok(Self { task: tokio::spawn(accept(listener, client, lease)) })
    }
}

async fn accept(listener: UnixListener, client: Client, lease: Lease) {
    let places = Arc::new(Semaphore::new(TUNNELS_PER_JOB_MAX));
    // Dropped with this task, and all connections with it.
    let mut carried = JoinSet::new();
    loop {
        // Further ones wait in the kernel.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let client = client.clone();
                carried.spawn(async move {
                    let _place = place;
                    carry(stream, client, lease).await;
                });
            }
            Err(error) => {
                tracing::warn!(attempt = %lease.attempt, %error, "cannot accept on a job's relay socket");
                tokio::time::sleep(RECONNECT_FIRST).await;
            }
        }
        while carried.try_join_next().is_some() {}
    }
}

/// Carries one connection to its end.
async fn carry(stream: UnixStream, client: Client, lease: Lease) {
    let (messages, incoming) = match open(client, lease).await {
        Ok(opened) => opened,
        Err(status) => {
            // The job sees a connection that was closed.
            tracing::debug!(attempt = %lease.attempt, reason = status.message(), "a job's connection is refused");
            return;
        }
    };
    let (read, write) = stream.into_split();
    let up = async {
        up(read, messages).await;
        // The other direction ends the connection.
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        () = up => Ok(()),
        ended = down(incoming, write) => ended,
    };
    if let Err(status) = ended {
        tracing::debug!(attempt = %lease.attempt, reason = status.message(), "a job's connection broke");
    }
}

type Opened = (mpsc::Sender<TunnelData>, Streaming<TunnelData>);

/// Opens a call. A coordinator that is away for a while is waited for.
async fn open(mut client: Client, lease: Lease) -> Result<Opened, Status> {
    let give_up = tokio::time::Instant::now() + TUNNEL_CONNECT_MAX;
    let mut backoff = Backoff::new(RECONNECT_FIRST, TUNNEL_RETRY_MAX);
    loop {
        let (messages, outgoing) = mpsc::channel(TUNNEL_QUEUE);
        let first = TunnelData { lease: Some(lease.to_wire()), data: bytes::Bytes::new() };
        // There is room for it.
        messages.try_send(first).map_err(|error| Status::internal(error.to_string()))?;
        match client.tunnel(ReceiverStream::new(outgoing)).await {
            Ok(answer) => return Ok((messages, answer.into_inner())),
            Err(status) if status.code() != Code::Unavailable || tokio::time::Instant::now() >= give_up => {
                return Err(status);
            }
            Err(_) => tokio::time::sleep(backoff.next_wait()).await,
        }
    }
}

/// From the job to the coordinator, until the job has said everything.
async fn up(mut read: OwnedReadHalf, messages: mpsc::Sender<TunnelData>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(TUNNEL_PIECE_BYTES);
        match read.read_buf(&mut buffer).await {
            // A job that is gone has said everything too.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while !buffer.is_empty() {
            let data = buffer.split_to(buffer.len().min(TUNNEL_PIECE_BYTES)).freeze();
            if messages.send(TunnelData { lease: None, data }).await.is_err() {
                return;
            }
        }
    }
}

/// From the coordinator to the job, until the coordinator has said everything.
async fn down(mut incoming: Streaming<TunnelData>, mut write: OwnedWriteHalf) -> Result<(), Status> {
    while let Some(message) = incoming.message().await? {
        if write.write_all(&message.data).await.is_err() {
            // The job is gone.
            return Ok(());
        }
    }
    // A job that is gone needs no end either.
    let _ = write.shutdown().await;
    Ok(())
}
