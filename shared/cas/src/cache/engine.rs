//! What every place for cached values does.
//!
//! An engine may lose a value at any time; it never gives out another one than was stored. Every call takes many keys,
//! so that one over a network asks once. Nothing here knows what a value means: digests are checked a layer above.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::key::Key;

/// An engine's answer, later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// Why an engine could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached or does not answer in time. A build goes on without it: a read is a miss, a write is lost.
    #[error("the cache at {place} is unavailable: {why}")]
    Unavailable {
        /// Which engine.
        place: Arc<str>,
        /// What it said, or that it said nothing.
        why: Arc<str>,
    },
    /// A value longer than [`crate::cache::limits::MAX_VALUE_BYTES`]: the caller's mistake.
    #[error("{key}: {size_bytes} bytes are more than a cached value may have")]
    TooLarge {
        /// The value's key.
        key: String,
        /// The value's length.
        size_bytes: usize,
    },
    /// A value that is not what its key says, given to an engine that checks: the caller's mistake.
    #[error("{key}: the value is not what its key says")]
    Wrong {
        /// The value's key.
        key: String,
    },
}

/// How a value's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    Plain,
    /// One zstd frame.
    Zstd,
}

impl Codec {
    /// The number that stands for it in what is stored.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Zstd => 1,
        }
    }

    /// The codec of a stored number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A value: bytes, maybe packed, and their length when they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// How `data` is packed.
    pub codec: Codec,
    /// The length of the unpacked bytes.
    pub plain_bytes: u32,
    /// What is stored.
    pub data: Bytes,
}

/// How long a value is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until it is old or in the way; using it makes it young.
    Normal,
    /// For [`crate::cache::limits::TEMPORARY_TTL`], until somebody uses it. It never takes the place of a value that
    /// is there.
    Temporary,
}

/// A value to store.
#[derive(Debug, Clone)]
pub struct Put {
    /// Its name.
    pub key: Key,
    /// What it is.
    pub value: Value,
    /// For how long.
    pub keep: Keep,
}

/// What was found under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The value, as it was stored.
    Value(Value),
    /// Nothing.
    Missing,
    /// Something else than was stored. The engine has removed and counted it: to a reader this is a miss.
    Damaged,
}

impl Found {
    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Damaged => None,
        }
    }
}

/// What an engine holds and has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Values held; `None` where the engine cannot say cheaply.
    pub values: Option<u64>,
    /// Bytes held, with what the engine adds to them; `None` as above.
    pub stored_bytes: Option<u64>,
    /// Values asked for and found.
    pub hits: u64,
    /// Values asked for and not found.
    pub misses: u64,
    /// Values stored.
    pub puts: u64,
    /// Values removed to make room.
    pub evicted: u64,
    /// Values found to be damaged, and removed.
    pub damaged: u64,
    /// Values read as missing because the engine could not be asked.
    pub refused_reads: u64,
    /// Values not stored because the engine could not be asked.
    pub dropped_writes: u64,
}

/// What an owner of values holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The owner, as [`Namespace::owner`] says.
    ///
    /// [`Namespace::owner`]: crate::cache::key::Namespace::owner
    pub owner: String,
    /// Its values.
    pub values: u64,
    /// Their bytes, with what the engine adds to them.
    pub size_bytes: u64,
}

/// One key that a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: Key,
    /// Bytes stored under it, where the engine knows.
    pub size_bytes: Option<u64>,
    /// Seconds since it was last used, where the engine knows.
    pub idle_s: Option<u64>,
}

/// A part of a walk over all keys.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Some keys; a key may come twice, and one stored during the walk may be missed.
    pub keys: Vec<Listed>,
    /// Where the walk goes on; `None` at its end.
    pub next: Option<String>,
}

/// A place for values that may be evicted. Object safe, so that programs choose one at start.
///
/// Answers come in the order of the keys asked for.
pub trait Engine: Send + Sync + 'static {
    /// The values; each one found counts as used.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>>;

    /// Stores values; each replaces what was there, but for a temporary one. All may be stored, or some, or none.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]; [`EngineError::TooLarge`], and then nothing was stored.
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()>;

    /// Whether values are there; each one that is counts as used now and is no longer temporary, so that it does not
    /// vanish right after.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>>;

    /// Removes values; says how many were there.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64>;

    /// A part of all keys: from the start, or from where the page before said.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn scan(&self, from: Option<String>) -> Later<'_, Page>;

    /// What it holds and has done.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn stats(&self) -> Later<'_, Stats>;

    /// What each owner holds, those with most bytes first; none where the engine cannot say cheaply.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn owners(&self) -> Later<'_, Vec<Holding>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl EngineError {
    /// That the engine at `place` did not do it.
    pub fn unavailable(place: &str, why: impl std::fmt::Display) -> Self {
        Self::Unavailable { place: place.into(), why: why.to_string().into() }
    }
}

/// Refuses values that are too long, before any is stored.
///
/// # Errors
/// [`EngineError::TooLarge`].
pub fn check_sizes(puts: &[Put]) -> Result<(), EngineError> {
    let too_large = puts.iter().find(|put| put.value.data.len() > crate::cache::limits::MAX_VALUE_BYTES);
    match too_large {
        Some(put) => Err(EngineError::TooLarge { key: put.key.to_text(), size_bytes: put.value.data.len() }),
        None => Ok(()),
    }
}

/// The checksum of a stored value: it covers the key and what says how to read the bytes, so that a value found under
/// another's key is noticed too.
#[must_use]
pub fn checksum(key: &str, value: &Value) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&[value.codec.number()]);
    hasher.update(&value.plain_bytes.to_le_bytes());
    hasher.update(&value.data);
    hasher.finalize()
}
