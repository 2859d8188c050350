//! Why there is no connection, in words that say what to do.
//!
//! Only words: whatever the reason, the agent tries again. Its jobs go on meanwhile, and a certificate that is renewed
//! on the coordinator is then good by itself.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use slipway_tls::Peer;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Channel;

use super::server::Server;

/// The connection, whose errors are statuses with one clear message.
#[derive(Clone)]
pub struct Explained {
    channel: Channel,
    server: Arc<Server>,
    /// Whether a server with `http://` answered with TLS.
    answered_tls: Arc<AtomicBool>,
}

impl Explained {
    pub(super) fn new(channel: Channel, server: Server, answered_tls: Arc<AtomicBool>) -> Self {
        Self { channel, server: Arc::new(server), answered_tls }
    }
}

impl Service<http::Request<tonic::body::Body>> for Explained {
    type Response = http::Response<tonic::body::Body>;
    type Error = tonic::Status;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ready = self.channel.poll_ready(context);
        ready.map_err(|error| status(error, &self.server, &self.answered_tls))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let answer = self.channel.call(request);
        let (server, answered_tls) = (Arc::clone(&self.server), Arc::clone(&self.answered_tls));
        Box::pin(async move { answer.await.map_err(|error| status(error, &server, &answered_tls)) })
    }
}

fn status(error: tonic::transport::Error, server: &Server, answered_tls: &AtomicBool) -> tonic::Status {
    let why = match answered_tls.load(Ordering::Relaxed) {
        true => Some(format!("{server} speaks TLS: use https:// in --server")),
        false => explain(&error, server),
    };
    match why {
        Some(why) => tonic::Status::unavailable(why),
        None => tonic::Status::from_error(Box::new(error)),
    }
}

/// What is wrong with the TLS to `server`; none: it is something else.
fn explain(error: &(dyn Error + 'static), server: &Server) -> Option<String> {
    let trust = server.trust()?;
    let url = server.to_string();
    let unknown = match trust.is_pinned() {
        true => "make a new token with `slipway agents token`",
        false => "give the CA that signed it with --ca-file",
    };
    let peer = Peer {
        url: &url,
        host: server.host(),
        trust,
        flag: "--server",
        without_tls: "start the coordinator with --tls-cert and --tls-key",
        unknown,
        pinned_by: "the token for enrolment names",
    };
    let mut next = Some(error);
    while let Some(error) = next {
        // What ends a connection that stood has other reasons than a certificate.
        if error.is::<tonic::ConnectError>() {
            return slipway_tls::explain(error, &peer);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
