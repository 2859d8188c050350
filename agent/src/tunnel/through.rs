//! A connection as one call: bytes in both directions.

use bytes::BytesMut;
use slipway_kit::backoff::Backoff;
use slipway_proto::v1::TunnelData;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::coordinator::Client;
use crate::lease::Lease;
use crate::limits::{
    RECONNECT_FIRST, TUNNEL_CONNECT_MAX, TUNNEL_LINGER_MAX, TUNNEL_PIECE_BYTES, TUNNEL_QUEUE,
    TUNNEL_RETRY_MAX,
};

/// The way of one job to the coordinator.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) client: Client,
    pub(super) lease: Lease,
}

/// Carries one connection to its end. `start` was read from it already.
pub(super) async fn carry(
    start: BytesMut,
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    way: Way,
) {
    let Way { client, lease } = way;
    let (messages, incoming) = match open(client, lease).await {
        Ok(opened) => opened,
        Err(status) => {
            // The job sees a connection that was closed.
            tracing::debug!(attempt = %lease.attempt, reason = status.message(), "a job's connection is refused");
            return;
        }
    };
    let over = CancellationToken::new();
    let up = async {
        let lingers = async {
            over.cancelled().await;
            tokio::time::sleep(TUNNEL_LINGER_MAX).await;
        };
        tokio::select! {
            () = up(start, read, messages) => {}
            () = lingers => {}
        }
    };
    let down = async {
        let ended = down(incoming, write).await;
        over.cancel();
        ended
    };
    let ((), ended) = tokio::join!(up, down);
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

/// From the job to the coordinator, until the job has said everything. What a coordinator that has answered no longer takes is
/// thrown away.
async fn up(mut buffer: BytesMut, mut read: impl AsyncRead + Unpin, messages: mpsc::Sender<TunnelData>) {
    loop {
        while !buffer.is_empty() {
            let data = buffer.split_to(buffer.len().min(TUNNEL_PIECE_BYTES)).freeze();
            if messages.send(TunnelData { lease: None, data }).await.is_err() {
                buffer.clear();
            }
        }
        buffer.reserve(TUNNEL_PIECE_BYTES);
        match read.read_buf(&mut buffer).await {
            // A job that is gone has said everything too.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// From the coordinator to the job, until the coordinator has said everything.
async fn down(mut incoming: Streaming<TunnelData>, mut write: impl AsyncWrite + Unpin) -> Result<(), Status> {
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
