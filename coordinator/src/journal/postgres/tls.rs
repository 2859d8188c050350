//! TLS to the server: rustls on ring, as everywhere in Slipway.
//!
//! No channel binding: what it protects from, a certificate of a trusted CA in wrong hands, `verify-full` with the
//! database's own CA protects from as well.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::limits::CA_FILE_MAX_BYTES;
use super::options::{PostgresOptions, Roots, TlsMode};

/// Makes TLS connections for one set of options.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    /// Whose certificates are good, in words.
    trusted: Arc<str>,
}

impl Tls {
    /// Reads the roots and sets up what is checked.
    ///
    /// # Errors
    /// A CA file that cannot be used, or a machine without roots: in words.
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let checked = matches!(options.tls(), TlsMode::VerifyCa | TlsMode::VerifyFull);
        let roots = if checked { roots(options.roots())? } else { RootCertStore::empty() };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match options.tls() {
            TlsMode::VerifyFull => builder.with_root_certificates(roots).with_no_client_auth(),
            mode => {
                let chain = match mode {
                    TlsMode::VerifyCa => {
                        let chain = WebPkiServerVerifier::builder_with_provider(
                            Arc::new(roots),
                            Arc::clone(&provider),
                        );
                        Some(chain.build().map_err(|error| error.to_string())?)
                    }
                    _ => None,
                };
                let verifier = Arc::new(Lenient { chain, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
        };
        let trusted = match options.roots() {
            Roots::System => "this machine's store".to_owned(),
            Roots::File(path) => format!("{} (sslrootcert)", path.display()),
        };
        Ok(Self { config: Arc::new(config), trusted: trusted.into() })
    }
}

fn roots(from: &Roots) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match from {
        Roots::System => {
            // An odd certificate among a hundred is not our affair.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "this machine has no root certificates; install its package `ca-certificates`, or give \
                            the CA of the server's certificate with sslrootcert"
                        .to_owned(),
                );
            }
        }
        Roots::File(path) => {
            let failed = |reason: String| format!("sslrootcert: {}: {reason}", path.display());
            let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
            if size > CA_FILE_MAX_BYTES {
                return Err(failed(format!("it is larger than {CA_FILE_MAX_BYTES} bytes")));
            }
            let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| failed(format!("it is not PEM: {error}")))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(failed("it has no certificate".to_owned()));
            }
        }
    }
    Ok(roots)
}

/// Checks less than the name and the chain: `verify-ca` the chain alone; `require` and `prefer`, which promise no more than
/// PostgreSQL says they do, neither. That the server has its certificate's key is checked always.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is checked last: whoever fails there passed everything else.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong with the server's TLS, in words that say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TlsError(String);

/// For one host.
pub(super) struct ToHost {
    tls: Tls,
    host: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = ToHost;
    type Error = TlsError;

    fn make_tls_connect(&mut self, host: &str) -> Result<ToHost, TlsError> {
        Ok(ToHost { tls: self.clone(), host: host.to_owned() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for ToHost {
    type Stream = Stream<S>;
    type Error = TlsError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream<S>, TlsError>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host.clone())
                .map_err(|_| TlsError(format!("`{}` is no name that a certificate can have", self.host)))?;
            let connected = TlsConnector::from(Arc::clone(&self.tls.config)).connect(name, stream).await;
            connected.map(Stream).map_err(|error| explain(&error, &self.host, &self.tls.trusted))
        })
    }
}

fn explain(error: &io::Error, host: &str, trusted: &str) -> TlsError {
    use CertificateError as Wrong;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let text = match inner {
        Some(Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature)) => {
            format!(
                "its certificate is not from a CA of {trusted}; give the CA that signed it with sslrootcert"
            )
        }
        Some(Error::InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. })) => {
            format!(
                "its certificate is not for `{host}`; use the name it is for, or make one that has this name as \
                 subjectAltName"
            )
        }
        Some(Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. })) => {
            "its certificate has expired; renew it, or set this machine's clock if it is wrong".to_owned()
        }
        Some(error) => format!("TLS failed: {error}"),
        None => format!("TLS failed: {error}"),
    };
    TlsError(text)
}

/// A TLS stream as the client library wants it.
pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
