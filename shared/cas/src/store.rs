//! What every blob store does.
//!
//! The trait is object safe, so that programs choose an engine at start. Large blobs are written and read in pieces;
//! [`Store::get`] is for those that are known to be small.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::Digest;

/// The longest piece [`Store::read`] returns, in bytes.
pub const MAX_PIECE_BYTES: usize = 1 << 20;

/// A store's answer, later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The blob is not here.
    #[error("no blob {0}")]
    NotFound(Digest),
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
    /// The stored bytes changed after they were written: the disk or a person damaged them.
    #[error("blob {0} is damaged in the store; restore it from a backup or delete it")]
    Damaged(Digest),
    /// The engine's device failed.
    #[error("blob store {place}: {source}")]
    Io {
        /// Which file or folder.
        place: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// What the writer of a blob announced about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: any bytes will do.
    Anything,
    /// The SHA-256 alone.
    Hash([u8; 32]),
    /// Hash and length.
    Digest(Digest),
}

impl Expected {
    /// Whether `actual` is what was announced.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] when it is not.
    pub fn check(&self, actual: Digest) -> Result<(), StoreError> {
        let expected = match self {
            Self::Anything => return Ok(()),
            Self::Hash(hash) if hash == actual.hash() => return Ok(()),
            Self::Digest(digest) if *digest == actual => return Ok(()),
            Self::Hash(hash) => hex::encode(hash),
            Self::Digest(digest) => digest.to_string(),
        };
        Err(StoreError::Mismatch { expected, actual })
    }
}

/// The hashes of blobs that somebody names: these stay.
pub type Named = Arc<HashSet<[u8; 32]>>;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Collected {
    /// One more.
    pub fn add(&mut self, size_bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(size_bytes);
    }
}

/// A blob on its way in. Dropped before [`BlobWriter::finish`] returned, it leaves nothing behind.
pub trait BlobWriter: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] beyond the writer's limit, [`StoreError::Io`].
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()>;

    /// Checks the whole, makes it durable and visible, and names it.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`], [`StoreError::Io`].
    fn finish(self: Box<Self>, expected: Expected) -> Pending<'static, Digest>;
}

/// A place for blobs.
pub trait Store: Send + Sync + 'static {
    /// Stores a small blob; storing one that is there already is cheap, and renews it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest>;

    /// Starts a blob that comes in pieces and has at most `limit_bytes`.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn writer(&self, limit_bytes: u64) -> Pending<'_, Box<dyn BlobWriter>>;

    /// The whole blob, checked against its digest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`], [`StoreError::Io`].
    fn get(&self, digest: Digest) -> Pending<'_, Bytes>;

    /// Bytes from `offset` on: at most `length` and at most [`MAX_PIECE_BYTES`], none at or after the end. A piece
    /// is not checked against the digest: whoever reads all of them does that.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`].
    fn read(&self, digest: Digest, offset: u64, length: usize) -> Pending<'_, Bytes>;

    /// Whether the blob is here.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn exists(&self, digest: Digest) -> Pending<'_, bool>;

    /// Whether the blob is here; if so, it is as new as one that is put now. `false` also for one that can be made so only
    /// by putting it again.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn renew(&self, digest: Digest) -> Pending<'_, bool>;

    /// Removes the blob; says whether it was here.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn delete(&self, digest: Digest) -> Pending<'_, bool>;

    /// Removes what nobody names and nobody put or renewed since `before`. A blob that is put or renewed meanwhile is
    /// there when that returns, whichever comes first; so `before` has to be long ago, as clocks differ.
    ///
    /// # Errors
    /// [`StoreError::Io`]: what was not looked at by then stays, and nothing else is harmed.
    fn collect(&self, before: SystemTime, named: Named) -> Pending<'_, Collected>;
}
