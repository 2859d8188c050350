//! Small values by a key of the caller's, which refer to blobs: action results, cache entries by name.
//!
//! An entry is found only if every blob it lists is here; one that lists a lost blob is a miss. The caller says what a
//! value refers to when it stores it, so that no protocol need be known here.
//!
//! Encoded: a version byte; the key's name (empty for actions) with its length as two bytes; the number of references
//! as four; each one's SHA-256 and length (eight bytes); then the value. Numbers have their little end first.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::Digest;
use crate::cache::blobs::{BlobCache, CacheError, Compression, codec};
use crate::cache::engine::{EngineError, Keep, Put};
use crate::cache::key::{Key, Kind};
use crate::cache::limits::{BATCH_KEYS, CHUNK_MAX_BYTES, MAX_NAME_BYTES, MAX_REFERENCES};

const VERSION: u8 = 1;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An action, by its digest.
    Action(Digest),
    /// A name of the caller's, at most [`MAX_NAME_BYTES`] long.
    Name(String),
}

/// A value and the blobs it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The caller's bytes.
    pub value: Bytes,
    /// Blobs without which the value is worth nothing.
    pub references: Vec<Digest>,
}

/// Why an entry was not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntryError {
    /// Too long a name or value, or too many references.
    #[error(
        "a cache entry may have a name of {MAX_NAME_BYTES} bytes, {MAX_REFERENCES} references, and {CHUNK_MAX_BYTES} bytes in all"
    )]
    TooLarge,
    /// The blobs it lists are not all here: upload them first.
    #[error("the entry lists {} blobs that are not in the cache, {} among them; upload them first", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Incomplete(Vec<Digest>),
}

/// The entries of a namespace; the blobs they list are those of the same namespace, or of the one given with each.
#[derive(Clone)]
pub struct Entries {
    blobs: BlobCache,
}

impl Entries {
    /// The entries beside these blobs.
    #[must_use]
    pub const fn new(blobs: BlobCache) -> Self {
        Self { blobs }
    }

    fn key(&self, subject: &Subject) -> Key {
        let (kind, id) = match subject {
            Subject::Action(digest) => (Kind::Action, *digest),
            Subject::Name(name) => (Kind::Named, Digest::of(name.as_bytes())),
        };
        Key { kind, namespace: self.blobs.namespace().clone(), id }
    }

    /// Stores an entry in place of the one before, without asking for its blobs: they may come later. Says whether it
    /// was stored; an engine that failed is no error.
    ///
    /// # Errors
    /// [`EntryError::TooLarge`].
    pub async fn put(&self, subject: &Subject, entry: &Entry) -> Result<bool, EntryError> {
        let bytes = encode(subject, entry).ok_or(EntryError::TooLarge)?;
        let value = codec::pack(bytes, Compression::WherePaying);
        let put = Put { key: self.key(subject), value, keep: Keep::Normal };
        Ok(self.blobs.engine().put_many(vec![put]).await.is_ok())
    }

    /// The same, if all its blobs are here.
    ///
    /// # Errors
    /// [`EntryError::TooLarge`], [`EntryError::Incomplete`].
    pub async fn put_checked(&self, subject: &Subject, entry: &Entry) -> Result<bool, EntryError> {
        match self.blobs.absent(&entry.references).await {
            Ok(absent) if absent.is_empty() => self.put(subject, entry).await,
            Ok(absent) => Err(EntryError::Incomplete(absent)),
            Err(_) => Ok(false),
        }
    }

    /// The entry, if it is here with all its blobs, which stay young with it. An engine that fails is a miss.
    pub async fn get_checked(&self, subject: &Subject) -> Option<Entry> {
        let entry = self.get(subject).await.ok().flatten()?;
        let absent = self.blobs.absent(&entry.references).await.ok()?;
        absent.is_empty().then_some(entry)
    }

    /// The entry as it is, whether or not its blobs are here.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub async fn get(&self, subject: &Subject) -> Result<Option<Entry>, CacheError> {
        let key = self.key(subject);
        let value =
            self.blobs.engine().get_many(std::slice::from_ref(&key)).await?.pop().and_then(|f| f.value());
        Ok(value.and_then(codec::unpack).and_then(|bytes| decode_for(subject, bytes)))
    }

    /// Which of these entries are here, in their order, whether or not their blobs are. Those that are stay young.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub async fn have(&self, subjects: &[Subject]) -> Result<Vec<bool>, CacheError> {
        let keys: Vec<_> = subjects.iter().map(|subject| self.key(subject)).collect();
        let mut there = Vec::with_capacity(keys.len());
        for part in keys.chunks(BATCH_KEYS) {
            there.extend(self.blobs.engine().have_many(part).await?);
        }
        Ok(there)
    }

    /// Removes the entry; says whether it was here.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn delete(&self, subject: &Subject) -> Result<bool, EngineError> {
        Ok(self.blobs.engine().delete_many(&[self.key(subject)]).await? > 0)
    }
}

fn encode(subject: &Subject, entry: &Entry) -> Option<Bytes> {
    let name = match subject {
        Subject::Action(_) => "",
        Subject::Name(name) => name,
    };
    let length = 7 + name.len() + entry.references.len() * 40 + entry.value.len();
    if name.len() > MAX_NAME_BYTES || entry.references.len() > MAX_REFERENCES || length > CHUNK_MAX_BYTES {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(length);
    bytes.put_u8(VERSION);
    bytes.put_u16_le(u16::try_from(name.len()).ok()?);
    bytes.put_slice(name.as_bytes());
    bytes.put_u32_le(u32::try_from(entry.references.len()).ok()?);
    for reference in &entry.references {
        bytes.put_slice(reference.hash());
        bytes.put_u64_le(reference.size_bytes());
    }
    bytes.put_slice(&entry.value);
    Some(bytes.freeze())
}

fn decode_for(subject: &Subject, bytes: Bytes) -> Option<Entry> {
    let (stored, entry) = decode_named(bytes)?;
    let same = match subject {
        Subject::Action(_) => stored.is_empty(),
        Subject::Name(name) => stored == name.as_bytes(),
    };
    same.then_some(entry)
}

/// The entry of these bytes, if they can be stored under this key.
pub(crate) fn decode(key: &Key, bytes: Bytes) -> Option<Entry> {
    let (name, entry) = decode_named(bytes)?;
    (key.kind != Kind::Named || Digest::of(&name) == key.id).then_some(entry)
}

fn decode_named(mut bytes: Bytes) -> Option<(Bytes, Entry)> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let length = usize::from(bytes.try_get_u16_le().ok()?);
    let name = (length <= bytes.len()).then(|| bytes.split_to(length))?;
    let count = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    if count > MAX_REFERENCES || count * 40 > bytes.len() {
        return None;
    }
    let mut references = Vec::with_capacity(count);
    for _ in 0..count {
        let mut hash = [0; 32];
        bytes.try_copy_to_slice(&mut hash).ok()?;
        references.push(Digest::from_parts(hash, bytes.try_get_u64_le().ok()?));
    }
    Some((name, Entry { value: bytes, references }))
}
