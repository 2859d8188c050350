//! A key that signs identity tokens: made by `rsa`, which cannot be trusted to sign in constant time; used by ring, which can and makes none.
//!
//! It is kept as a private JWK (RFC 7517, RFC 7518 section 6.3), sealed by whoever keeps it. Its id is its thumbprint (RFC 7638), so
//! that the id of two keys is never the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::limits::KEY_BITS;

/// The public exponent that `rsa` takes, 65537, in base64url.
pub(super) const EXPONENT: &str = "AQAB";

/// Why a key cannot be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key for identity tokens {0}")]
pub(crate) struct KeyFault(String);

/// The parts of a key, big-endian in base64url.
#[derive(Serialize, Deserialize)]
pub(super) struct PrivateJwk {
    pub(super) n: String,
    e: String,
    d: String,
    p: String,
    q: String,
    dp: String,
    dq: String,
    qi: String,
}

/// A key that signs.
pub(super) struct Signer(KeyPair);

/// The system's randomness for `rsa`.
struct Random(SystemRandom);

impl TryRng for Random {
    type Error = KeyFault;

    fn try_next_u32(&mut self) -> Result<u32, KeyFault> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, KeyFault> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), KeyFault> {
        self.0.fill(to).map_err(|_| KeyFault("cannot be made: the system has no randomness".to_owned()))
    }
}

impl TryCryptoRng for Random {}

impl PrivateJwk {
    /// A new key. Takes a processor for a good part of a second.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn make() -> Result<Self, KeyFault> {
        let failed = || KeyFault("cannot be made".to_owned());
        let mut key = rsa::PrivateKey::new(&mut Random(SystemRandom::new()), KEY_BITS)
            .map_err(|error| KeyFault(format!("cannot be made: {error}")))?;
        key.precompute().map_err(|_| failed())?;
        let text = |number: &rsa::BoxedUint| URL_SAFE_NO_PAD.encode(number.to_be_bytes_trimmed_vartime());
        let [p, q] = key.primes() else { return Err(failed()) };
        Ok(Self {
            n: text(key.n()),
            e: text(key.e()),
            d: text(key.d()),
            p: text(p),
            q: text(q),
            dp: text(key.dp().ok_or_else(failed)?),
            dq: text(key.dq().ok_or_else(failed)?),
            qi: text(&key.crt_coefficient().ok_or_else(failed)?),
        })
    }

    /// Its id.
    pub(super) fn id(&self) -> String {
        let members = format!(r#"{{"e":"{EXPONENT}","kty":"RSA","n":"{}"}}"#, self.n);
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }

    /// The key, ready to sign.
    ///
    /// # Errors
    /// When its parts make no key.
    pub(super) fn signer(&self) -> Result<Signer, KeyFault> {
        let damaged = || KeyFault("is damaged".to_owned());
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| damaged());
        let parts = KeyPairComponents {
            public_key: PublicKeyComponents { n: bytes(&self.n)?, e: bytes(&self.e)? },
            d: bytes(&self.d)?,
            p: bytes(&self.p)?,
            q: bytes(&self.q)?,
            dP: bytes(&self.dp)?,
            dQ: bytes(&self.dq)?,
            qInv: bytes(&self.qi)?,
        };
        KeyPair::from_components(&parts).map(Signer).map_err(|_| damaged())
    }
}

impl Signer {
    /// The RS256 signature (RFC 7518, section 3.3) of a text.
    ///
    /// # Errors
    /// When the key's parts do not fit each other.
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
            .map_err(|_| KeyFault("is damaged: it cannot sign".to_owned()))?;
        Ok(signature)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    #[test]
    fn a_key_is_made_kept_and_signs() {
        let made = PrivateJwk::make().unwrap();
        assert_eq!(made.e, EXPONENT);
        let n = URL_SAFE_NO_PAD.decode(&made.n).unwrap();
        assert_eq!((n.len() * 8, n[0] >> 7), (KEY_BITS, 1));
        let kept: PrivateJwk = serde_json::from_slice(&serde_json::to_vec(&made).unwrap()).unwrap();
        assert_eq!(kept.id(), made.id());
        assert_eq!(made.id().len(), 43);
        let signature = kept.signer().unwrap().sign(b"text").unwrap();
        let public = RsaPublicKeyComponents { n, e: vec![1, 0, 1] };
        public.verify(&RSA_PKCS1_2048_8192_SHA256, b"text", &signature).unwrap();
        assert!(public.verify(&RSA_PKCS1_2048_8192_SHA256, b"test", &signature).is_err());
        let damaged = PrivateJwk { n: made.p.clone(), ..kept };
        assert!(damaged.signer().is_err());
    }
}
