//! Where the coordinator is and how it is spoken to.
//!
//! Invariant: what goes to another machine in clear text was allowed by its admin; what is `https` is TLS 1.3 with the server's
//! certificate and name checked. There is no way to turn that check off.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use slipway_tls::{Fingerprint, Trust, roots};
use thiserror::Error;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::{Endpoint, Uri};

use super::badge::Badge;

/// A coordinator's checked address, with whom its certificate is trusted from.
#[derive(Clone)]
pub struct Server {
    uri: Uri,
    host: String,
    trust: Option<Trust>,
    /// What this agent shows.
    badge: Badge,
    allow_plaintext: bool,
}

/// Whom to trust.
#[derive(Debug, Clone, Copy)]
pub enum Trusted<'a> {
    /// This machine's store.
    Machine,
    /// The certificates of a file and no others.
    File(&'a Path),
    /// The authority with this fingerprint and no other.
    Pinned(Fingerprint),
}

/// An address or CA file that can't be used; names the flag.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Not an address.
    #[error("--server: `{0}` is not an address such as https://ci.example.com:7443 or http://127.0.0.1:7443")]
    Address(String),
    /// It would be clear text over the network.
    #[error(
        "--server: `{0}` is not on this machine and the token would go over the network in clear text; use https:// \
         with a coordinator that has --tls-cert, or add --allow-plaintext on a network you trust"
    )]
    Plaintext(String),
    /// A token that names an authority, where no certificate is checked.
    #[error(
        "--server: `{0}` is spoken to without TLS, and the token names the coordinator's certificate authority; use https://"
    )]
    Pinned(String),
    /// A CA where no certificate is checked.
    #[error("--ca-file: `{0}` is spoken to without TLS; use https://, or leave the file away")]
    NoTls(String),
    /// The CA file is no CA file.
    #[error("--ca-file: {file}: {reason}")]
    CaFile {
        /// Which.
        file: String,
        /// What is wrong and what would do.
        reason: String,
    },
    /// The machine trusts nobody.
    #[error(
        "--ca-file is missing: this machine has no root certificates{0}; install its package `ca-certificates`, or \
         give the file of the CA that signed the coordinator's certificate"
    )]
    NoSystemRoots(String),
    /// The transport does not take it.
    #[error("--server: `{server}` can't be used with TLS: {reason}")]
    Tls {
        /// The address.
        server: String,
        /// What the transport says.
        reason: String,
    },
}

impl Server {
    /// Checks an address, and for `https` reads whom to trust: the certificates of `ca_file` and no others, or without
    /// one this machine's store. Both are read once, here.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn new(server: &str, ca_file: Option<&Path>, allow_plaintext: bool) -> Result<Self, ServerError> {
        Self::trusting(server, ca_file.map_or(Trusted::Machine, Trusted::File), allow_plaintext)
    }

    /// The same, trusting these.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn trusting(server: &str, whom: Trusted<'_>, allow_plaintext: bool) -> Result<Self, ServerError> {
        let wrong = || ServerError::Address(server.to_owned());
        let uri: Uri = server.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if host.is_empty() || authority.contains('@') || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        let trust = match (tls, whom) {
            (true, Trusted::File(file)) => Some(Trust::Roots {
                roots: Arc::new(file_roots(file)?),
                from: format!("{} (--ca-file)", file.display()),
            }),
            (true, Trusted::Machine) => Some(Trust::Roots {
                roots: Arc::new(roots::of_machine().map_err(ServerError::NoSystemRoots)?),
                from: "this machine's store".to_owned(),
            }),
            (true, Trusted::Pinned(fingerprint)) => Some(Trust::Pinned(fingerprint)),
            (false, Trusted::File(_)) => return Err(ServerError::NoTls(server.to_owned())),
            (false, Trusted::Pinned(_)) => return Err(ServerError::Pinned(server.to_owned())),
            (false, Trusted::Machine) if !allow_plaintext && !is_loopback(&host) => {
                return Err(ServerError::Plaintext(server.to_owned()));
            }
            (false, Trusted::Machine) => None,
        };
        Ok(Self { uri, host, trust, badge: Badge::default(), allow_plaintext })
    }

    /// The same, shown this certificate.
    #[must_use]
    pub fn with_badge(&self, badge: &Badge) -> Self {
        Self { badge: badge.clone(), ..self.clone() }
    }

    /// The leader's address, as this coordinator tells it: trusted as this one is, and never less.
    ///
    /// # Errors
    /// See [`ServerError`]; clear text where this one is spoken to with TLS is [`ServerError::Plaintext`].
    pub(super) fn leader(&self, url: &str) -> Result<Self, ServerError> {
        let Some(trust) = &self.trust else { return Self::new(url, None, self.allow_plaintext) };
        let badge = self.badge.clone();
        if !url.starts_with("https://") {
            return Err(ServerError::Plaintext(url.to_owned()));
        }
        // Checked as clear text that is allowed: only the address is in question here.
        let plain = Self::new(&url.replacen("https://", "http://", 1), None, true)?;
        let uri = url.parse().map_err(|_| ServerError::Address(url.to_owned()))?;
        Ok(Self { uri, trust: Some(trust.clone()), badge, allow_plaintext: false, ..plain })
    }

    /// The endpoint. Its connections are made by whoever uses it: with TLS where there is a configuration of it.
    pub(super) fn endpoint(&self) -> Result<Endpoint, ServerError> {
        let wrong = || ServerError::Address(self.uri.to_string());
        let mut parts = self.uri.clone().into_parts();
        // With `https` the transport would begin TLS once more.
        parts.scheme = Some(Scheme::HTTP);
        let plain = Uri::from_parts(parts).map_err(|_| wrong())?;
        Ok(Endpoint::from(plain).origin(self.uri.clone()))
    }

    /// How TLS is spoken; none: it is not.
    pub(super) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, ServerError> {
        let Some(trust) = &self.trust else { return Ok(None) };
        let failed = |error: rustls::Error| ServerError::Tls {
            server: self.uri.to_string(),
            reason: error.to_string(),
        };
        let builder = trust.builder().map_err(failed)?;
        let mut config = builder.with_client_cert_resolver(Arc::new(self.badge.clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    /// The host's name or address, which its certificate must have.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, if the address has one.
    pub(super) fn port(&self) -> Option<u16> {
        self.uri.port_u16()
    }

    /// Whether it is spoken to with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.trust.is_some()
    }

    /// Whose certificates are good; none: it is spoken to without TLS.
    pub(super) fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl std::fmt::Display for Server {
    /// The address without the path that it never has.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", if self.is_tls() { "https" } else { "http" })
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    host == "localhost" || host.ends_with(".localhost") || address.is_some_and(|ip| ip.is_loopback())
}

fn file_roots(file: &Path) -> Result<RootCertStore, ServerError> {
    let failed = |reason: String| ServerError::CaFile { file: file.display().to_string(), reason };
    roots::of_file(file).map_err(failed)
}

#[cfg(test)]
mod tests;
