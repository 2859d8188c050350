//! Digests.

use slipway_cas::Digest;
use slipway_proto::v1;

use crate::WireError;

/// A digest from the wire.
///
/// # Errors
/// When it is missing or not 64 hexadecimal digits.
pub fn from_wire(field: &'static str, digest: Option<&v1::Digest>) -> Result<Digest, WireError> {
    let digest = digest.ok_or(WireError::Missing { field })?;
    Digest::from_hex(&digest.sha256, digest.size_bytes)
        .map_err(|_| WireError::invalid(field, &digest.sha256, "64 hexadecimal digits"))
}

/// A digest for the wire.
#[must_use]
pub fn to_wire(digest: &Digest) -> v1::Digest {
    v1::Digest { sha256: digest.hash_hex(), size_bytes: digest.size_bytes() }
}
