//! The way in from a job: connections that agents carry to its caches and artifacts, each as one `Agents.Tunnel` call.
//!
//! A job can't be expected to have a route to the coordinator, nor to be let through a firewall; its agent has a
//! connection already. One call for each of the job's connections (rather than one that all share) leaves the rest to
//! HTTP/2: each has its own flow control, so that a slow download holds up no other and nobody buffers for anybody; its
//! end is the call's end. Agents open another HTTP/2 connection for each job that uses it, so that logs, renewals of leases
//! and other jobs never wait behind bytes of a cache.
//!
//! Invariant: a tunnel reaches [`super::router`] and the cache for build tools, and nothing else. The call must name a live lease;
//! what may be done is decided by the token in each request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::serve::Listener;
use bytes::Bytes;
use futures_util::Stream;
use slipway_proto::v1::TunnelData;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, mpsc};
use tokio_util::io::StreamReader;
use tokio_util::sync::{CancellationToken, PollSender};
use tonic::Status;

use super::limits::{TUNNEL_BACKLOG, TUNNEL_MESSAGE_BYTES, TUNNEL_QUEUE};

type Incoming = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What goes back through a tunnel.
pub type Outgoing = mpsc::Receiver<Result<TunnelData, Status>>;

/// Hands connections to the server that answers them; cheap to clone.
#[derive(Clone)]
pub struct Tunnels {
    accepted: mpsc::Sender<Connection>,
    waiting: Arc<Mutex<Option<mpsc::Receiver<Connection>>>>,
}

impl Default for Tunnels {
    fn default() -> Self {
        let (accepted, waiting) = mpsc::channel(TUNNEL_BACKLOG);
        Self { accepted, waiting: Arc::new(Mutex::new(Some(waiting))) }
    }
}

impl Tunnels {
    /// Takes a connection of a job in; the receiver gives what is to be sent back.
    ///
    /// # Errors
    /// When the coordinator is stopping.
    pub async fn open(
        &self,
        incoming: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Outgoing, Status> {
        let (sender, outgoing) = mpsc::channel(TUNNEL_QUEUE);
        let incoming: Incoming = Box::pin(incoming);
        let connection = Connection { reader: StreamReader::new(incoming), sender: PollSender::new(sender) };
        let stopping = |_| Status::unavailable("the coordinator is stopping");
        self.accepted.send(connection).await.map_err(stopping)?;
        Ok(outgoing)
    }
}

/// Answers tunnels, as `router` does, until the coordinator stops.
///
/// # Errors
/// Never, as things are; the server's own type says so.
pub(crate) async fn serve(tunnels: Tunnels, router: Router, closing: CancellationToken) -> io::Result<()> {
    let Some(waiting) = tunnels.waiting.lock().await.take() else { return Ok(()) };
    axum::serve(Waiting(waiting), router).with_graceful_shutdown(closing.cancelled_owned()).await
}

struct Waiting(mpsc::Receiver<Connection>);

impl Listener for Waiting {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            // Nobody is left who could open one.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A job's connection, as the server sees it.
struct Connection {
    reader: StreamReader<Incoming, Bytes>,
    sender: PollSender<Result<TunnelData, Status>>,
}

fn gone<T>(_: T) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.sender.poll_reserve(context)).map_err(gone)?;
        let data = bytes.get(..bytes.len().min(TUNNEL_MESSAGE_BYTES)).unwrap_or(bytes);
        let message = TunnelData { lease: None, data: Bytes::copy_from_slice(data) };
        self.sender.send_item(Ok(message)).map_err(gone)?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}
