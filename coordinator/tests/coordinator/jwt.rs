//! JSON Web Tokens as those who are shown them read them (RFC 7519), without the code that is tested.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

/// A token, not checked yet.
pub(crate) struct Jwt<'a> {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// `None`: it is none.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let part = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { header: part(header)?, claims: part(claims)?, signed, signature })
    }

    /// Whether it is an RS256 one by the owner of this key.
    pub(crate) fn is_by(&self, key: &RsaPublicKeyComponents<Vec<u8>>) -> bool {
        let signed = key.verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature);
        self.header["alg"] == "RS256" && signed.is_ok()
    }
}
