//! The coordinator's certificate authority: it certifies the coordinator itself, for whoever trusts no other, and agents that enrol.
//!
//! Its key (Ed25519) follows from a seed, and its certificate from the key, byte for byte: coordinators that share a key have the same, and one
//! that is made again from a backup has it too. Agents know it by its fingerprint, which stands in their tokens for enrolment.
//!
//! An agent's certificate says which agent it is and by which enrolment ([`Member`]). Whether that still counts, whoever checks a call asks the
//! table of credentials: so a certificate is worth nothing as soon as its agent is removed or enrols again, and no list of revoked ones is
//! needed. Certificates end by the system's clock, as whoever verifies them reads it.
//!
//! Deliberately absent: authorities between this one and what it certifies, and names of agents in their certificates.

mod member;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
    date_time_ymd,
};
use slipway_scheduler::AgentId;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};

pub(crate) use member::{Member, member};

/// What comes before the seed in an Ed25519 key's PKCS#8 (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// By how much the clock of whoever verifies may be behind.
const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// For how long the coordinator's own certificate is good. It makes another when a third of that is left.
pub(crate) const SERVER_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);

/// For how long an agent's certificate is good, unless an embedding program says otherwise. The agent asks for another when a third of that is left.
pub const AGENT_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// The authority; cheap to clone.
#[derive(Clone)]
pub(crate) struct Authority(Arc<Parts>);

struct Parts {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    agent_life: Duration,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

/// A certificate that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// What an agent sent is no request for one.
    #[error("the certificate signing request cannot be read, or its signature is not its key's: {0}")]
    Request(String),
    /// A name that no certificate has.
    #[error("`{0}` is no host's name or address")]
    Name(String),
    /// The key, or the system's randomness.
    #[error("a certificate cannot be made: {0}")]
    Make(String),
}

fn make(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Make(error.to_string())
}

/// Parameters of a certificate from now on.
fn lasting(life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - CLOCKS_APART).into();
    params.not_after = (now + life).into();
    params.distinguished_name = DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

impl Authority {
    /// The authority of a seed. `agent_life`: for how long agents' certificates are good.
    ///
    /// # Errors
    /// [`AuthorityError::Make`].
    pub(crate) fn new(seed: &[u8; 32], agent_life: Duration) -> Result<Self, AuthorityError> {
        let pkcs8 = [&ED25519_PKCS8[..], seed].concat();
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ED25519);
        let key = key.map_err(make)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Slipway coordinator");
        // Nothing of it may change from one start to the next.
        params.serial_number = Some(SerialNumber::from(1_u64));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2120, 1, 1);
        let certificate = params.self_signed(&key).map_err(make)?;
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Ok(Self(Arc::new(Parts { issuer: Issuer::new(params, key), certificate, pem, agent_life })))
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }

    /// The same, as files have it.
    pub(crate) fn pem(&self) -> &str {
        &self.0.pem
    }

    /// SHA-256 of its certificate, in hexadecimal.
    pub(crate) fn fingerprint(&self) -> String {
        slipway_cas::Digest::of(&self.0.certificate).hash_hex()
    }

    /// For how long an agent's certificate is good.
    pub(crate) fn agent_life(&self) -> Duration {
        self.0.agent_life
    }

    /// A certificate for a server of these names, with the authority's behind it, and its key.
    ///
    /// # Errors
    /// [`AuthorityError::Name`], [`AuthorityError::Make`].
    pub(crate) fn for_server(
        &self,
        names: &[String],
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), AuthorityError> {
        let key = KeyPair::generate().map_err(make)?;
        let mut params = lasting(SERVER_LIFE);
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => {
                    let name = name.clone().try_into().map_err(|_| AuthorityError::Name(name.clone()))?;
                    SanType::DnsName(name)
                }
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.0.issuer).map_err(make)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate.der().clone(), self.0.certificate.clone()], key.into()))
    }

    /// A certificate (DER) for this enrolment of an agent. Of its request the public key alone is heeded.
    ///
    /// # Errors
    /// [`AuthorityError::Request`], [`AuthorityError::Make`].
    pub(crate) fn for_agent(
        &self,
        csr: &[u8],
        agent: AgentId,
        enrolment: &str,
    ) -> Result<Vec<u8>, AuthorityError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr));
        let mut request = request.map_err(|error| AuthorityError::Request(error.to_string()))?;
        let name = member::name(agent, enrolment).try_into();
        let name = name.map_err(|_| AuthorityError::Name(enrolment.to_owned()))?;
        request.params = lasting(self.0.agent_life);
        request.params.subject_alt_names = vec![SanType::URI(name)];
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = request.signed_by(&self.0.issuer).map_err(make)?;
        Ok(certificate.der().to_vec())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        Authority::new(&[7; 32], AGENT_LIFE).unwrap()
    }

    fn agent() -> AgentId {
        "0b0f5c3e-58f2-4a5c-9d0b-7f1f0a3c9a11".parse().unwrap()
    }

    fn csr(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_same_seed_makes_the_same_authority_byte_for_byte() {
        let (one, other) = (authority(), authority());
        assert_eq!(one.certificate(), other.certificate());
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint().len(), 64);
        let another = Authority::new(&[8; 32], AGENT_LIFE).unwrap();
        assert_ne!(one.fingerprint(), another.fingerprint());
        assert!(one.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn a_request_gets_what_the_enrolment_is_and_nothing_that_it_asks_for() {
        let greedy = csr(|params| {
            params.is_ca = IsCa::NoCa;
            params.subject_alt_names = vec![SanType::DnsName("ci.example.com".try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        for request in [csr(|_| {}), greedy] {
            let certificate = authority().for_agent(&request, agent(), "0123456789ab").unwrap();
            let found = member(&certificate).unwrap();
            assert_eq!((found.agent, found.enrolment.as_str()), (agent(), "0123456789ab"));
            let text = String::from_utf8_lossy(&certificate).into_owned();
            assert!(!text.contains("ci.example.com"));
        }
    }

    #[test]
    fn what_is_no_request_or_not_signed_by_its_key_gets_nothing() {
        let good = csr(|_| {});
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        for wrong in [&b""[..], b"nonsense", &good[1..], &forged] {
            let error = authority().for_agent(wrong, agent(), "0123456789ab").unwrap_err();
            assert!(matches!(error, AuthorityError::Request(_)), "{error:?}");
        }
    }

    #[test]
    fn servers_have_names_and_addresses() {
        let names = ["ci.example.com", "10.0.0.7", "::1"].map(str::to_owned);
        let (chain, _) = authority().for_server(&names).unwrap();
        assert_eq!(chain.len(), 2);
        assert_eq!(chain.last(), Some(authority().certificate()));
        let error = authority().for_server(&["ä b".to_owned()]).unwrap_err();
        assert_eq!(error, AuthorityError::Name("ä b".to_owned()));
    }
}
