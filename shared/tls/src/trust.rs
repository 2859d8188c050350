//! Whose certificates are good.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::version::TLS13;
use rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore};

use crate::pin::{Fingerprint, Pinned};

/// Whose certificates are good; cheap to clone.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that these authorities made.
    Roots {
        /// The authorities.
        roots: Arc<RootCertStore>,
        /// Where they are from, for messages: `this machine's store`.
        from: String,
    },
    /// Those of the one authority with this fingerprint.
    Pinned(Fingerprint),
}

impl Trust {
    /// No server at all: for clients of whoever is spoken to without TLS.
    #[must_use]
    pub fn nobody() -> Self {
        Self::Roots { roots: Arc::new(RootCertStore::empty()), from: "nobody".to_owned() }
    }

    /// A configuration that verifies servers by it, up to the certificate that the client shows.
    ///
    /// # Errors
    /// None with this build of rustls.
    pub fn builder(&self) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13])?;
        Ok(match self {
            Self::Roots { roots, .. } => builder.with_root_certificates(Arc::clone(roots)),
            Self::Pinned(fingerprint) => {
                let pinned = Pinned { fingerprint: *fingerprint, provider };
                // Not less than what the others verify, but by a fingerprint: see there.
                builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
            }
        })
    }

    /// The same for HTTP/1.1, showing no certificate.
    ///
    /// # Errors
    /// None with this build of rustls.
    pub fn for_http(&self) -> Result<ClientConfig, Error> {
        let mut config = self.builder()?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Whether it is one authority, known by a fingerprint.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned(_))
    }
}
