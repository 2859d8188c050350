//! Connections with TLS: the server is verified, and this agent's certificate shown, if it has one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use slipway_kit::peer::Patience;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

use super::server::Server;
use crate::limits::CONNECT_TIMEOUT;

/// Port of an address that has none.
const HTTPS_PORT: u16 = 443;

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Secure {
    host: String,
    port: u16,
    config: Arc<ClientConfig>,
}

impl Secure {
    pub(super) fn new(server: &Server, config: Arc<ClientConfig>) -> Self {
        Self { host: server.host().to_owned(), port: server.port().unwrap_or(HTTPS_PORT), config }
    }
}

async fn connect(secure: Secure) -> io::Result<TlsStream<TcpStream>> {
    let Secure { host, port, config } = secure;
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot connect to {host} port {port}: {error}"))
    })?;
    stream.set_nodelay(true)?;
    Patience::USUAL.watch(&stream)?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

impl Service<Uri> for Secure {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connect(self.clone()));
        Box::pin(async move {
            let connected = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            connected.map(TokioIo::new)
        })
    }
}
