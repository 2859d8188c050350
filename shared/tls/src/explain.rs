//! What is wrong with a server's TLS, in words that say what to do. Only words: whether to try again is the caller's affair.

use std::error::Error;
use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};

use rustls::CertificateError;

use crate::trust::Trust;

/// Who is spoken to, and what there is to do about it where this client runs.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Its URL.
    pub url: &'a str,
    /// The name or address that its certificate must have.
    pub host: &'a str,
    /// Whose certificates are good.
    pub trust: &'a Trust,
    /// The flag that names the server.
    pub flag: &'a str,
    /// What to do about a server without TLS.
    pub without_tls: &'a str,
    /// What to do about a certificate of another authority.
    pub unknown: &'a str,
    /// Who pinned the authority: `the token for enrolment names`.
    pub pinned_by: &'a str,
}

/// What is wrong with the TLS of a connection that was being made; none: it is something else.
#[must_use]
pub fn explain(error: &(dyn Error + 'static), peer: &Peer<'_>) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(in_words(error, peer));
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            // An IO error's source is that of what it holds: look into it here.
            let inner = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
            if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return Some(in_words(error, peer));
            }
            if let UnexpectedEof | ConnectionReset = io.kind() {
                let Peer { url, without_tls, .. } = peer;
                return Some(format!(
                    "{url} ended the connection where TLS begins; if it has none, {without_tls}"
                ));
            }
            next = inner.or(next);
        }
    }
    None
}

/// What an error of TLS says of this server.
#[must_use]
pub fn in_words(error: &rustls::Error, peer: &Peer<'_>) -> String {
    let url = peer.url;
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error, peer),
        rustls::Error::InvalidMessage(_) => format!("{url} does not speak TLS; {}", peer.without_tls),
        rustls::Error::PeerIncompatible(error) => {
            format!("{url} offers no TLS 1.3 with a cipher of today: {error:?}")
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) => {
            format!("{url} offers no TLS 1.3, and nothing older is spoken")
        }
        other => format!("TLS to {url} failed: {other}"),
    }
}

fn certificate(error: &CertificateError, peer: &Peer<'_>) -> String {
    use CertificateError as Wrong;
    let Peer { url, host, flag, pinned_by, unknown, .. } = peer;
    let its = format!("the certificate of {url}");
    let other_name =
        format!("use such a name in {flag}, or make a certificate that has this one as subjectAltName");
    match error {
        Wrong::UnknownIssuer | Wrong::BadSignature => match peer.trust {
            Trust::Pinned(_) => format!(
                "{its} is not from the authority that {pinned_by}: another coordinator answers, or somebody in between; if the \
                 coordinator has another authority now, {unknown}"
            ),
            Trust::Roots { from, .. } => format!("{its} is not from a CA of {from}; {unknown}"),
        },
        Wrong::NotValidForName => format!("{its} is not for `{host}`; {other_name}"),
        Wrong::NotValidForNameContext { presented, .. } => {
            format!("{its} is not for `{host}` but {}; {other_name}", names(presented))
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
