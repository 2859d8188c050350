//! A connection that this agent answers.
//!
//! Request by request: what shows the job's token and is for the cache of build tools is answered here, and what it may read of the
//! Actions cache if this agent has it ([`saved`]); everything else goes on to the coordinator over a connection of its own that opens
//! when it is first needed, so that it gets what it would get without this agent's disk.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, Version};
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::passed_on::pass_on;
use super::saved;
use super::through::{self, Way};
use crate::limits::{TIER_STREAM_WINDOW_BYTES, TIER_WINDOW_BYTES, TUNNEL_PIECE_BYTES};
use crate::tier::JobTier;

/// Answers one connection to its end. `start` was read from it already.
pub(super) async fn serve(start: BytesMut, stream: UnixStream, way: Way, tier: JobTier) {
    let attempt = way.lease.attempt;
    let (read, write) = stream.into_split();
    let stream = tokio::io::join(io::Cursor::new(start).chain(read), write);
    let onward = Arc::new(Onward { way, open: Mutex::default() });
    let answer = service_fn(move |request: Request<Incoming>| {
        let (tier, onward) = (tier.clone(), Arc::clone(&onward));
        async move {
            let request = request.map(Body::new);
            let is_asked = tier.is_asked(&request);
            if is_asked && tier.is_on().await {
                Ok(tier.answer(request).await)
            } else if saved::is_download(&request) {
                saved::answer(request, tier.pieces(), &onward).await
            } else {
                onward.ask(request).await
            }
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http2()
        .initial_stream_window_size(TIER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(TIER_WINDOW_BYTES);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%attempt, error, "a job's connection ended");
    }
}

/// The way on to the coordinator, for what is not answered here.
pub(super) struct Onward {
    way: Way,
    open: Mutex<Open>,
}

/// A connection of each version, while it stands. Its bytes are carried by tasks that end with this.
#[derive(Default)]
struct Open {
    first: Option<http1::SendRequest<Body>>,
    second: Option<http2::SendRequest<Body>>,
    carried: JoinSet<()>,
}

impl Onward {
    /// The coordinator's answer.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) async fn ask(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        let answer = match request.version() {
            Version::HTTP_2 => {
                let mut sender = self.second().await.map_err(io::Error::other)?;
                sender.send_request(request).await
            }
            _ => {
                // A client of HTTP/1 has one request under way.
                let mut open = self.open.lock().await;
                let sender = self.first(&mut open).await.map_err(io::Error::other)?;
                sender.send_request(pass_on(request)).await
            }
        };
        answer.map(|answer| answer.map(Body::new)).map_err(io::Error::other)
    }

    async fn first<'a>(&self, open: &'a mut Open) -> hyper::Result<&'a mut http1::SendRequest<Body>> {
        let mut stands = open.first.take();
        if let Some(sender) = &mut stands
            && sender.ready().await.is_err()
        {
            stands = None;
        }
        let sender = match stands {
            Some(sender) => sender,
            None => {
                let stream = self.carry(&mut open.carried);
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                open.carried.spawn(async move {
                    // What went wrong is the request's to say.
                    let _ = connection.await;
                });
                sender
            }
        };
        Ok(open.first.insert(sender))
    }

    async fn second(&self) -> hyper::Result<http2::SendRequest<Body>> {
        let mut open = self.open.lock().await;
        if let Some(sender) = open.second.clone().filter(|sender| !sender.is_closed()) {
            return Ok(sender);
        }
        let stream = self.carry(&mut open.carried);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        open.carried.spawn(async move {
            let _ = connection.await;
        });
        open.second = Some(sender.clone());
        Ok(sender)
    }

    /// A connection to the coordinator; one that is refused is closed.
    fn carry(&self, carried: &mut JoinSet<()>) -> DuplexStream {
        while carried.try_join_next().is_some() {}
        let (near, far) = tokio::io::duplex(TUNNEL_PIECE_BYTES);
        let (read, write) = tokio::io::split(far);
        carried.spawn(through::carry(BytesMut::new(), read, write, self.way.clone()));
        near
    }
}
