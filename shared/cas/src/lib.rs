//! Content-addressed blobs: digests, the store trait and its engines.
//!
//! Without the feature `store` this crate is pure (no IO, no async), which is what the scheduler and the workflow
//! language depend on.

pub mod digest;

pub use digest::{Digest, DigestError};
