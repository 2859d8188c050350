//! What goes wrong, as clients of gRPC read it.

use slipway_cas::Digest;
use slipway_cas::cache::CacheError;
use slipway_cas::cache::entries::EntryError;
use slipway_proto::reapi::google::rpc;
use tonic::{Code, Status};

use super::re;
use crate::limits::MAX_BLOB_BYTES;
use crate::view::{PutError, ReadOnly};

/// A failed read or write.
pub(super) fn of_cache(error: &CacheError) -> Status {
    let words = error.to_string();
    match error {
        // To a build, a cache that cannot be asked has nothing.
        CacheError::NotFound(_) | CacheError::Gone { .. } | CacheError::Unavailable(_) => {
            Status::not_found(words)
        }
        CacheError::OutOfRange { .. } => Status::out_of_range(words),
        CacheError::Mismatch { .. }
        | CacheError::TooLong { .. }
        | CacheError::TooManyChunks
        | CacheError::BadChunks(_) => Status::invalid_argument(words),
    }
}

pub(super) fn read_only(error: ReadOnly) -> Status {
    Status::permission_denied(error.to_string())
}

pub(super) fn of_put(error: &PutError) -> Status {
    let words = error.to_string();
    match error {
        PutError::ReadOnly(_) => Status::permission_denied(words),
        PutError::Entry(EntryError::TooLarge) => Status::invalid_argument(words),
        PutError::Entry(EntryError::Incomplete(_)) => Status::failed_precondition(words),
    }
}

/// One blob's fate in a batch.
pub(super) fn in_batch(result: Result<(), Status>) -> rpc::Status {
    match result {
        Ok(()) => rpc::Status { code: Code::Ok as i32, ..rpc::Status::default() },
        Err(status) => rpc::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}

/// The digest of a message's field.
pub(super) fn digest(field: &str, digest: Option<&re::Digest>) -> Result<Digest, Status> {
    let digest = digest.ok_or_else(|| Status::invalid_argument(format!("`{field}` is missing")))?;
    let size = u64::try_from(digest.size_bytes).ok().filter(|size| *size <= MAX_BLOB_BYTES);
    let size = size.ok_or_else(|| {
        Status::invalid_argument(format!(
            "`{field}.size_bytes` is {}; blobs have 0 to {MAX_BLOB_BYTES}",
            digest.size_bytes
        ))
    })?;
    Digest::from_hex(&digest.hash, size)
        .map_err(|_| Status::invalid_argument(format!("`{field}.hash` is not a SHA-256 in hexadecimal")))
}

/// Refuses digests that are not by SHA-256.
pub(super) fn function(function: i32) -> Result<(), Status> {
    use re::digest_function::Value;
    match Value::try_from(function) {
        Ok(Value::Unknown | Value::Sha256) => Ok(()),
        _ => Err(Status::invalid_argument(
            "`digest_function` is another one than SHA256, which this cache speaks",
        )),
    }
}

pub(super) fn to_wire(digest: Digest) -> re::Digest {
    // Within `i64`: no blob is longer than the limit.
    re::Digest { hash: digest.hash_hex(), size_bytes: digest.size_bytes() as i64 }
}
