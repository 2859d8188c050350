//! The certificate that this agent shows, if it has one. It can be replaced while connections are made; those that stand go on with the
//! one that they began with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// A certificate with its key; cheap to clone, all clones are one.
#[derive(Clone, Default)]
pub struct Badge(Arc<RwLock<Option<Shown>>>);

#[derive(Debug, Clone)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// By this machine's clock, milliseconds since 1970.
    good_until_ms: u64,
}

/// Milliseconds since 1970, by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Badge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Badge(…)")
    }
}

impl Badge {
    /// Shows this certificate (DER) with its key (PKCS#8) from now on, until it ends.
    ///
    /// # Errors
    /// One sentence: they do not belong together.
    pub(crate) fn wear(&self, certificate: &[u8], key: &[u8], good_until_ms: u64) -> Result<(), String> {
        let chain = vec![CertificateDer::from(certificate.to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider);
        let key = Arc::new(key.map_err(|error| format!("the certificate cannot be used: {error}"))?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Shown { key, good_until_ms });
        Ok(())
    }

    fn shown(&self) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        // With one that has ended the connection would come to nothing; without, another one can be asked for.
        (now_ms() < shown.good_until_ms).then_some(shown.key)
    }
}

impl ResolvesClientCert for Badge {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.shown()
    }

    fn has_certs(&self) -> bool {
        self.shown().is_some()
    }
}
