//! Why there is no connection, in words that say what to do.
//!
//! Only words: whatever the reason, the agent tries again. Its jobs go on meanwhile, and a certificate that is renewed
//! on the coordinator is then good by itself.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustls::CertificateError;
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
    if !server.is_tls() {
        return None;
    }
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    let (mut next, mut connecting) = (Some(error), false);
    while let Some(error) = next {
        next = error.source();
        // What ends a connection that stood has other reasons than a certificate.
        connecting |= error.is::<tonic::ConnectError>();
        if !connecting {
            continue;
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(tls(error, server));
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            // An IO error's source is that of what it holds: look into it here.
            if let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return Some(tls(error, server));
            }
            if let UnexpectedEof | ConnectionReset = io.kind() {
                return Some(format!(
                    "{server} ended the connection where TLS begins; if it has none, {NO_TLS}"
                ));
            }
        }
    }
    None
}

/// What to do about a server without TLS.
const NO_TLS: &str = "start the coordinator with --tls-cert and --tls-key";

fn tls(error: &rustls::Error, server: &Server) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error, server),
        rustls::Error::InvalidMessage(_) => format!("{server} does not speak TLS; {NO_TLS}"),
        rustls::Error::PeerIncompatible(error) => {
            format!("{server} offers no TLS 1.3 with a cipher of today: {error:?}")
        }
        other => format!("TLS to {server} failed: {other}"),
    }
}

fn certificate(error: &CertificateError, server: &Server) -> String {
    use CertificateError as Wrong;
    let its = format!("the certificate of {server}");
    match error {
        Wrong::UnknownIssuer | Wrong::BadSignature if server.is_pinned() => format!(
            "{its} is not from the authority that the token for enrolment names: another coordinator answers, or somebody in \
             between; if the coordinator has another authority now, make a new token with `slipway agents token`"
        ),
        Wrong::UnknownIssuer | Wrong::BadSignature => format!(
            "{its} is not from a CA of {}; give the CA that signed it with --ca-file",
            server.trusted()
        ),
        Wrong::NotValidForName => format!("{its} is not for `{}`; {}", server.host(), OTHER_NAME),
        Wrong::NotValidForNameContext { presented, .. } => {
            format!("{its} is not for `{}` but {}; {OTHER_NAME}", server.host(), names(presented))
        }
        Wrong::Expired | Wrong::ExpiredContext { .. } => {
            format!("{its} has expired; renew it, or set this machine's clock if it is wrong")
        }
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            format!("{its} is not valid yet; set this machine's clock, or the coordinator's")
        }
        other => format!("{its} can't be used: {other}"),
    }
}

/// What to do about a wrong name.
const OTHER_NAME: &str =
    "use such a name in --server, or make a certificate that has this one as subjectAltName";

/// A certificate's names, at most this many characters of them.
fn names(presented: &[String]) -> String {
    const SHOWN_CHARS: usize = 200;
    match presented.is_empty() {
        true => "for no name at all".to_owned(),
        false => format!("for {}", presented.join(", ").chars().take(SHOWN_CHARS).collect::<String>()),
    }
}

#[cfg(test)]
mod tests;
