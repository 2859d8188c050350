//! Blobs of any length, made of an engine's small values.
//!
//! A blob of at most [`CHUNKED_ABOVE_BYTES`] is one value. A longer one is cut into chunks where its content says so
//! ([`chunking`]), each kept under its own digest, so that blobs share what they have in common; its [`manifest`] lists
//! them and is stored last, after the whole digest was checked. Which of both a blob is follows from its length, so
//! that one question to the engine is enough. The empty blob is always there.
//!
//! Every byte is checked against a digest before it is given out. A presence answer is always asked of the engine and
//! never kept.

pub mod chunking;
pub(crate) mod codec;
mod error;
pub(crate) mod fetch;
pub mod manifest;
mod presence;
mod reader;
mod scrub;
mod small;
mod splice;
mod storing;
mod whole;
mod writer;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::Digest;
use crate::cache::engine::{Engine, EngineError};
use crate::cache::flights::Flights;
use crate::cache::key::{Key, Kind, Namespace};
use crate::cache::limits::{CHUNKED_ABOVE_BYTES, PENDING_CHUNKS_OF_ALL};

pub use codec::Compression;
pub use error::CacheError;
pub use reader::BlobReader;
pub use scrub::{Pruned, Scrubbed, prune};
pub use writer::{BlobWriter, Written};

/// Blobs of one namespace over an engine. Clones share everything; so do other namespaces made of it.
#[derive(Clone)]
pub struct BlobCache {
    shared: Arc<Shared>,
    namespace: Namespace,
}

struct Shared {
    engine: Arc<dyn Engine>,
    compression: Compression,
    /// Chunks being stored by all writers.
    pending: Arc<Semaphore>,
    reads: Flights<Key, Result<Option<Bytes>, EngineError>>,
    writes: Flights<Key, Result<(), EngineError>>,
    temporary_writes: Flights<Key, Result<(), EngineError>>,
}

impl BlobCache {
    /// Blobs kept by `engine`.
    pub fn new(engine: Arc<dyn Engine>, namespace: Namespace, compression: Compression) -> Self {
        let shared = Shared {
            engine,
            compression,
            pending: Arc::new(Semaphore::new(PENDING_CHUNKS_OF_ALL)),
            reads: Flights::default(),
            writes: Flights::default(),
            temporary_writes: Flights::default(),
        };
        Self { shared: Arc::new(shared), namespace }
    }

    /// The same engine's blobs of another namespace.
    #[must_use]
    pub fn of(&self, namespace: Namespace) -> Self {
        Self { shared: Arc::clone(&self.shared), namespace }
    }

    /// The engine beneath.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.shared.engine
    }

    /// Whose blobs these are.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn key(&self, kind: Kind, id: Digest) -> Key {
        Key { kind, namespace: self.namespace.clone(), id }
    }

    /// The key whose value makes the blob present: itself, or its manifest.
    fn head(&self, digest: Digest) -> Key {
        self.key(if is_chunked(digest) { Kind::Manifest } else { Kind::Chunk }, digest)
    }
}

/// Whether a blob of this length is kept as a manifest and chunks.
#[must_use]
pub const fn is_chunked(digest: Digest) -> bool {
    digest.size_bytes() > CHUNKED_ABOVE_BYTES
}
