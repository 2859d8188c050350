//! `X-Hub-Signature-256`: HMAC-SHA256 of the raw body (GitHub docs, "Validating webhook deliveries").

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header's value for a body that is sent.
pub(crate) fn of(secret: &str, body: &[u8]) -> String {
    // A key of any length will do.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(body));
    mac.map_or_else(|_| String::new(), |mac| format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// Whether the header's value signs the body with the secret. Compares in constant time.
pub(crate) fn is_valid(secret: &str, body: &[u8], header: Option<&str>) -> bool {
    let Some(given) = header.and_then(|value| value.strip_prefix("sha256=")) else { return false };
    let Ok(given) = hex::decode(given) else { return false };
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}
