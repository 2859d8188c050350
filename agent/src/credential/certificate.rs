//! The agent's certificate: its key is made here and never leaves; the coordinator certifies it for a day, and the agent asks again in time.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use slipway_kit::backoff::Backoff;

use super::CredentialError;
use super::file::{self, Certificate, Kept};
use crate::coordinator::{Badge, Coordinator, Issued, now_ms};

/// Waits between tries to renew.
const TRY_FIRST: Duration = Duration::from_secs(1);
const TRY_MAX: Duration = Duration::from_secs(30);

/// The longest time to the next renewal, whatever a coordinator says of its certificates.
const WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A new key and the request to certify it.
pub(super) struct Request {
    key: KeyPair,
    /// PKCS#10, DER.
    pub(super) csr: Vec<u8>,
}

impl Request {
    pub(super) fn new() -> Result<Self, CredentialError> {
        let failed = |error: rcgen::Error| CredentialError::Key(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        // Who the agent is, the coordinator writes into the certificate.
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(failed)?;
        Ok(Self { key, csr: csr.der().to_vec() })
    }

    /// The certificate that came for it.
    pub(super) fn answered(&self, issued: &Issued) -> Certificate {
        let good_from_ms = now_ms();
        Certificate {
            certificate: hex::encode(&issued.certificate),
            key: hex::encode(self.key.serialized_der()),
            good_from_ms,
            good_until_ms: good_from_ms.saturating_add(issued.good_for_ms),
        }
    }
}

impl Certificate {
    pub(super) fn has_ended(&self) -> bool {
        now_ms() >= self.good_until_ms
    }

    /// Has the badge show it.
    pub(super) fn wear(&self, badge: &Badge) -> Result<(), String> {
        let damaged = |_| "it does not hold a certificate".to_owned();
        let certificate = hex::decode(&self.certificate).map_err(damaged)?;
        let key = hex::decode(&self.key).map_err(damaged)?;
        badge.wear(&certificate, &key, self.good_until_ms)
    }

    /// When to ask for the next one: after a third to two thirds of its life, and not all agents at once.
    fn wait(&self) -> Duration {
        let life_ms = self.good_until_ms.saturating_sub(self.good_from_ms);
        let whole = Duration::from_millis(life_ms / 3 * 2).min(WAIT_MAX);
        let passed = Duration::from_millis(now_ms().saturating_sub(self.good_from_ms));
        Backoff::new(whole, whole).next_wait().saturating_sub(passed)
    }
}

/// Keeps an agent's certificate good.
pub struct Renewal {
    pub(super) path: PathBuf,
    pub(super) kept: Kept,
    pub(super) badge: Badge,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Renewal {
    /// Asks for another certificate until there is one.
    ///
    /// # Errors
    /// When it cannot be kept or shown.
    pub(super) async fn renew(&mut self, coordinator: &Coordinator) -> Result<(), CredentialError> {
        let mut backoff = Backoff::new(TRY_FIRST, TRY_MAX);
        loop {
            let request = Request::new()?;
            match coordinator.renew_certificate(&request.csr).await {
                Ok(issued) => {
                    let certificate = request.answered(&issued);
                    let showed_none = self.kept.certificate.as_ref().is_none_or(Certificate::has_ended);
                    certificate.wear(&self.badge).map_err(|reason| file::failed(&self.path, reason))?;
                    self.kept.certificate = Some(certificate);
                    if showed_none {
                        coordinator.reconnect();
                    }
                    return file::write(&self.path, &self.kept);
                }
                Err(status) => {
                    tracing::warn!(reason = status.message(), "the certificate is not renewed yet");
                    coordinator.turn(Some(&status));
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    /// Renews again and again; ends never, or with an agent that has no certificate at once.
    pub(crate) async fn keep(mut self, coordinator: Coordinator) {
        let mut backoff = Backoff::new(TRY_FIRST, TRY_MAX);
        while let Some(certificate) = &self.kept.certificate {
            tokio::time::sleep(certificate.wait()).await;
            match self.renew(&coordinator).await {
                Ok(()) => {
                    backoff.reset();
                    tracing::debug!("the certificate was renewed");
                }
                Err(error) => {
                    tracing::error!(%error, "the certificate cannot be renewed");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }
}
