//! Content-addressed blobs: digests, the store trait and its engines.
//!
//! Invariant: a blob that can be read has exactly the bytes its digest names; a blob whose `put` returned survives a
//! power cut (engines that keep anything at all). Nothing here knows what a blob means, who may read it or when it
//! may go: that is its callers' business.
//!
//! Beside the durable [`store`] there is the [`cache`], which may lose what it holds at any time (feature `cache`).
//!
//! Without the feature `store` this crate is pure (no IO, no async), which is what the scheduler and the workflow
//! language depend on.

pub mod digest;

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "store")]
pub mod conformance;
#[cfg(feature = "store")]
pub mod folder;
#[cfg(feature = "store")]
pub mod memory;
#[cfg(feature = "objects")]
pub mod objects;
#[cfg(feature = "store")]
pub mod store;

pub use digest::{Digest, DigestError};
#[cfg(feature = "store")]
pub use {
    folder::FolderStore,
    memory::MemoryStore,
    store::{BlobWriter, Collected, Expected, Named, Pending, Store, StoreError},
};
