//! What an App shows to say who it is: a JSON Web Token (RFC 7519), signed with RS256 (RFC 7518).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;

/// How long a token says that it lasts, in seconds. GitHub takes ten minutes at most.
const LASTS_S: u64 = 9 * 60;

/// How much earlier it says it was made: clocks differ.
const EARLIER_S: u64 = 60;

/// A token for the App of this id, made now (Unix seconds).
///
/// # Errors
/// Signing failed; the text says nothing of the key.
pub(super) fn token(key: &RsaKeyPair, app: &str, now_s: u64) -> Result<String, String> {
    let part = |value: serde_json::Value| BASE64.encode(value.to_string());
    let head = part(json!({"alg": "RS256", "typ": "JWT"}));
    let claims = part(json!({"iat": now_s.saturating_sub(EARLIER_S), "exp": now_s + LASTS_S, "iss": app}));
    let signed = format!("{head}.{claims}");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "the App's key cannot sign".to_owned())?;
    Ok(format!("{signed}.{}", BASE64.encode(signature)))
}
