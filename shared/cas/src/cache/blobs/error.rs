//! Why a blob could not be read or written.

use crate::Digest;
use crate::cache::engine::EngineError;
use crate::cache::limits::MAX_CHUNKS;
use crate::store::StoreError;

/// Why the cache could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The blob is not here, or not all of it.
    #[error("no blob {0}")]
    NotFound(Digest),
    /// A part of the blob went while it was being read: it was evicted or found damaged.
    #[error("blob {blob} lost its chunk {chunk} while it was read; upload it again")]
    Gone {
        /// The blob being read.
        blob: Digest,
        /// The part that is not there any more.
        chunk: Digest,
    },
    /// A read that starts after the blob's end.
    #[error("offset {offset} is beyond the end of blob {blob}")]
    OutOfRange {
        /// The blob.
        blob: Digest,
        /// Where the read was to start.
        offset: u64,
    },
    /// The bytes written are not those that were announced.
    #[error("the bytes written are {actual}, not the announced {expected}")]
    Mismatch {
        /// What was announced: a digest, or a hash alone.
        expected: String,
        /// What the bytes are.
        actual: Digest,
    },
    /// More bytes than the writer was opened for.
    #[error("the blob is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit the writer was opened with.
        limit_bytes: u64,
    },
    /// A blob of more chunks than a manifest may list.
    #[error("a blob may have {MAX_CHUNKS} chunks at most")]
    TooManyChunks,
    /// A chunk list that cannot be the blob's: its lengths do not add up, or one is longer than a chunk may be.
    #[error("the chunks listed cannot make up blob {0}: check their number and lengths")]
    BadChunks(Digest),
    /// The engine cannot be asked. To a build this is a miss, or a write that is lost.
    #[error(transparent)]
    Unavailable(EngineError),
}

impl CacheError {
    /// Whether a reader is to be told that the blob is not here: the engine does not have it, all of it, or an answer.
    #[must_use]
    pub const fn is_miss(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Gone { .. } | Self::Unavailable(_))
    }
}

impl From<EngineError> for CacheError {
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error)
    }
}

/// What [`crate::store::Expected::check`] says, as the cache says it.
pub(super) fn mismatch(error: StoreError, actual: Digest) -> CacheError {
    match error {
        StoreError::Mismatch { expected, actual } => CacheError::Mismatch { expected, actual },
        other => CacheError::Mismatch { expected: other.to_string(), actual },
    }
}
