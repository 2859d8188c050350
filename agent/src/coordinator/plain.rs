//! Connections without TLS, which notice a server that has it: HTTP/2 alone would only say that a frame is too large.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use slipway_kit::peer::Patience;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

use super::server::Server;
use crate::limits::CONNECT_TIMEOUT;

/// First byte of a TLS alert (RFC 8446, section 5.1), which a TLS server answers to anything else. An HTTP/2 server
/// begins with a SETTINGS frame, the first byte of whose length is 0.
const TLS_ALERT: u8 = 21;

/// Port of an address that has none.
const HTTP_PORT: u16 = 80;

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Plain {
    host: String,
    port: u16,
    answered_tls: Arc<AtomicBool>,
}

impl Plain {
    pub(super) fn new(server: &Server, answered_tls: Arc<AtomicBool>) -> Self {
        Self { host: server.host().to_owned(), port: server.port().unwrap_or(HTTP_PORT), answered_tls }
    }
}

impl Service<Uri> for Plain {
    type Response = TokioIo<Watched>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { host, port, answered_tls } = self.clone();
        answered_tls.store(false, Ordering::Relaxed);
        Box::pin(async move {
            let connecting = TcpStream::connect((host.as_str(), port));
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            let stream =
                connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot connect to {host} port {port}: {error}"))
                })?;
            stream.set_nodelay(true)?;
            Patience::USUAL.watch(&stream)?;
            Ok(TokioIo::new(Watched { stream, begun: false, broken: None, answered_tls }))
        })
    }
}

/// A connection whose first byte from the server is looked at, even when the server has closed it before that was read.
pub(super) struct Watched {
    stream: TcpStream,
    begun: bool,
    /// Why writing failed, while the first byte is still looked for.
    broken: Option<io::Error>,
    answered_tls: Arc<AtomicBool>,
}

impl Watched {
    fn look(&mut self, read: &[u8]) {
        if let Some(first) = read.first().filter(|_| !self.begun) {
            self.begun = true;
            self.answered_tls.store(*first == TLS_ALERT, Ordering::Relaxed);
        }
    }

    /// Passes a result of writing on. A failure waits for what the server said last: it ended the connection, so that
    /// comes, or the end or an error does.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Err(error)) if !self.begun => {
                self.broken = Some(error);
                self.last_words(context)
            }
            other => other,
        }
    }

    fn last_words(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut first = [0];
        let mut buffer = ReadBuf::new(&mut first);
        // An error in reading says no more than the one in writing, which is passed on.
        let _ = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
        self.look(buffer.filled());
        Poll::Ready(Err(self.broken.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.look(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.last_words(context);
        }
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.last_words(context);
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
