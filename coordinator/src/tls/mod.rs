//! TLS of the doors: 1.3 alone, with a certificate from files or of the coordinator's own authority, which is replaced while it serves.
//!
//! Connections that stand go on with the certificate that they began with; a file that cannot be used leaves the one before in use.
//! Agents show certificates of the authority at the gRPC door; whoever shows none is asked for a token there, as before.
//! Deliberately absent: resumption (each connection is verified anew), and older versions.

mod certificate;
mod incoming;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::authority::{Authority, AuthorityError, SERVER_LIFE};
use crate::options::TlsOptions;
use certificate::Current;
pub(crate) use incoming::{Incoming, TlsListener, watch};

/// How often files are looked at, and the age of the coordinator's own certificate.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The largest file of a certificate or key, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or its key.
    #[error("TLS certificate {certificate} with key {key} cannot be used: {reason}")]
    Files {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The coordinator's own certificate.
    #[error("--tls-name: {0}")]
    Own(#[from] AuthorityError),
    /// It is not for the name by which others reach this coordinator.
    #[error(
        "--advertise-http: `{url}`: the certificate is not for `{host}`, and the other coordinators would not trust it; advertise a \
         name that it has, or make one that has this name as subjectAltName"
    )]
    OtherName {
        /// Where they reach it.
        url: String,
        /// The host of that.
        host: String,
    },
    /// What is put together is refused.
    #[error("TLS cannot be served: {0}")]
    Config(String),
}

/// How the doors are served with TLS; cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerTls {
    options: TlsOptions,
    authority: Authority,
    current: Arc<Current>,
    /// For gRPC.
    pub(crate) grpc: Arc<ServerConfig>,
    /// For HTTP.
    pub(crate) http: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files, or makes a certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(options: &TlsOptions, authority: &Authority) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = Arc::new(Current::new(certified(options, authority, &provider)?));
        let refused = |error: &dyn std::fmt::Display| TlsError::Config(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).map_err(|error| refused(&error))?;
        // Whoever enrols has no certificate yet, and clients of the API and of caches never have.
        let agents = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| refused(&error))?;
        let builder =
            || ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13]);
        let grpc = builder().map_err(|error| refused(&error))?.with_client_cert_verifier(agents);
        let http = builder().map_err(|error| refused(&error))?.with_no_client_auth();
        let finish = |mut config: ServerConfig, protocols: &[&[u8]]| {
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Arc::new(config)
        };
        Ok(Self {
            options: options.clone(),
            authority: authority.clone(),
            grpc: finish(grpc.with_cert_resolver(current.clone()), &[b"h2"]),
            http: finish(http.with_cert_resolver(current.clone()), &[b"h2", b"http/1.1"]),
            current,
        })
    }

    /// Whether the certificate is for the host of this URL.
    ///
    /// # Errors
    /// [`TlsError::OtherName`].
    pub(crate) fn check_name(&self, url: &str) -> Result<(), TlsError> {
        let host = crate::options::host(url).unwrap_or_default();
        let key = self.current.get();
        let is_for = |name: &ServerName<'_>| {
            let parsed = key.end_entity_cert().and_then(ParsedCertificate::try_from);
            parsed.and_then(|certificate| verify_server_name(&certificate, name)).is_ok()
        };
        match ServerName::try_from(host.as_str()).is_ok_and(|name| is_for(&name)) {
            true => Ok(()),
            false => Err(TlsError::OtherName { url: url.to_owned(), host }),
        }
    }

    /// Replaces the certificate when its files change, or its time is two thirds over. Never ends by itself.
    pub(crate) async fn keep_fresh(self) {
        let mut stamp = self.options.stamp();
        let mut made = SystemTime::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.options.stamp();
            let is_old = made.elapsed().is_ok_and(|age| age >= SERVER_LIFE * 2 / 3);
            let due = match &self.options {
                TlsOptions::Files { .. } => now != stamp,
                TlsOptions::Own { .. } => is_old,
            };
            if due {
                (stamp, made) = (now, SystemTime::now());
                self.renew().await;
            }
        }
    }

    async fn renew(&self) {
        let (options, authority) = (self.options.clone(), self.authority.clone());
        let made = move || certified(&options, &authority, &ring::default_provider());
        let Ok(made) = tokio::task::spawn_blocking(made).await else { return };
        match made {
            Ok(key) => {
                self.current.replace(key);
                tracing::info!("another certificate is served with from now on");
            }
            Err(error) => tracing::error!(%error, "the certificate of before goes on to be served with"),
        }
    }
}

fn certified(
    options: &TlsOptions,
    authority: &Authority,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    match options {
        TlsOptions::Own { names } => {
            let (chain, key) = authority.for_server(names)?;
            let refused = |error: tokio_rustls::rustls::Error| TlsError::Config(error.to_string());
            CertifiedKey::from_der(chain, key, provider).map_err(refused)
        }
        TlsOptions::Files { certificate, key } => {
            let failed = |reason: String| TlsError::Files {
                certificate: certificate.display().to_string(),
                key: key.display().to_string(),
                reason,
            };
            let pem = read(certificate).map_err(failed)?;
            let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|error| failed(format!("the certificate is not PEM: {error}")))?;
            if chain.is_empty() {
                return Err(failed("there is no certificate in its file".to_owned()));
            }
            let secret = PrivateKeyDer::from_pem_slice(&read(key).map_err(failed)?);
            let secret =
                secret.map_err(|error| failed(format!("there is no private key in its file: {error}")))?;
            CertifiedKey::from_der(chain, secret, provider).map_err(|error| failed(error.to_string()))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;

impl TlsOptions {
    /// Changes whenever the files do.
    fn stamp(&self) -> Vec<(PathBuf, Option<(SystemTime, u64)>)> {
        let Self::Files { certificate, key } = self else { return Vec::new() };
        let of = |path: &PathBuf| {
            let known = std::fs::metadata(path).ok();
            (path.clone(), known.and_then(|known| Some((known.modified().ok()?, known.len()))))
        };
        vec![of(certificate), of(key)]
    }
}
