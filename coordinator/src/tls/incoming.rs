//! Connections with TLS, each handed on when its handshake is over. Whoever is slow with that holds nobody up but the last of many.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use slipway_kit::peer::Patience;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How many handshakes go on at once; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 512;

/// How long one may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections wait to be served.
const READY_MAX: usize = 64;

/// How long nothing is accepted after the system refused: it has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A connection, and whose.
type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// The connections; it ends with the listener's owner.
pub(crate) struct Incoming {
    ready: mpsc::Receiver<Accepted>,
    address: SocketAddr,
}

impl Incoming {
    /// Accepts from now on, until `closing` is raised or nobody takes them any more.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(crate) fn new(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (hand_on, ready) = mpsc::channel(READY_MAX);
        tokio::spawn(accept(listener, TlsAcceptor::from(config), hand_on, closing));
        Ok(Self { ready, address })
    }
}

/// Has the system notice when the other end vanishes. A connection that it does not watch is served all the same.
pub(crate) fn watch(stream: &TcpStream) {
    if let Err(error) = Patience::USUAL.watch(stream) {
        tracing::debug!(%error, "a connection is not watched");
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    hand_on: mpsc::Sender<Accepted>,
    closing: CancellationToken,
) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hand_on.closed() => return,
            () = closing.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, hand_on) = (acceptor.clone(), hand_on.clone());
        tokio::spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            watch(&stream);
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            drop(turn);
            match shaken {
                // A door that is closed takes nobody.
                Ok(Ok(stream)) => drop(hand_on.send((stream, peer)).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection came to nothing"),
                Err(_) => tracing::debug!(%peer, "a handshake took too long"),
            }
        });
    }
}

/// For gRPC.
impl futures_util::Stream for Incoming {
    type Item = io::Result<TlsStream<TcpStream>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|accepted| accepted.map(|(stream, _)| Ok(stream)))
    }
}

/// For HTTP.
pub(crate) struct TlsListener(pub(crate) Incoming);

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        match self.0.ready.recv().await {
            Some(accepted) => accepted,
            // It was told to close; whoever serves is told by the same.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.address)
    }
}
