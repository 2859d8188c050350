//! The evictable cache: values that may vanish at any time, and blobs and entries made of them.
//!
//! Bottom up: an [`engine`] keeps small values by [`key`] ([`memory`], [`disk`], [`redis`]); [`guarded`] gives up on
//! one that does not answer, [`tiered`] puts a fast one before a slow one, and [`backed`]
//! a larger one behind; [`blobs`] makes blobs of any length of
//! values and checks every byte; [`entries`] keeps what refers to blobs and answers only when all of them are there.
//!
//! Invariants: no byte is given out that is not of the digest asked for; no answer "present" outlives an eviction,
//! because none is ever kept; an entry is found only if every blob it lists is. A failing engine is a miss or a lost
//! write, never a failed build.
//!
//! What is not here: who may read what (callers choose [`key::Namespace`]s), protocols, and anything that must last
//! (that is [`crate::store`]).

#[cfg(feature = "cache-objects")]
pub mod backed;
pub mod blobs;
pub mod breaker;
pub mod conformance;
mod counters;
#[cfg(feature = "cache-disk")]
pub mod disk;
pub mod engine;
pub mod entries;
pub mod envelope;
mod flights;
pub mod guarded;
pub mod holdings;
pub mod key;
pub mod limits;
pub mod memory;
#[cfg(feature = "cache-objects")]
pub mod objects;
pub mod quotas;
#[cfg(feature = "cache-redis")]
pub mod redis;
pub mod tiered;
pub mod verifying;

#[cfg(feature = "cache-disk")]
pub use disk::{DiskEngine, DiskOptions};
#[cfg(feature = "cache-redis")]
pub use redis::{RedisEngine, RedisOptions};
#[cfg(feature = "cache-objects")]
pub use {backed::Backed, objects::ObjectEngine};
pub use {
    blobs::{BlobCache, BlobReader, BlobWriter, CacheError, Compression, Written},
    engine::{Engine, EngineError, Holding, Stats},
    entries::{Entries, Entry},
    guarded::Guarded,
    key::{Key, Kind, Namespace},
    memory::MemoryEngine,
    quotas::Quotas,
    tiered::{Tiered, WriteMode},
    verifying::Verifying,
};
