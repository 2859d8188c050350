//! The bytes of uploads: parts, each written once by somebody who then names it in the index.
//!
//! Two engines: a [`folder`] of files, and an object store ([`objects`]). Both pass [`super::conformance`].
//!
//! Invariants: a part is durable when [`Incoming::finish`] returned; one that was never named leaves nothing behind but what
//! [`Bytes::keep_only`] finds; a part that is read whole is checked by its CRC.

mod folder;
mod objects;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Piece;
use futures_util::Stream;
use futures_util::future::Either;
use slipway_cas::objects::Bucket;

use self::folder::Folder;
use self::objects::Objects;
use super::error::ResultsError;
use super::index::{Named, Part};
use super::limits::{SENDING_MAX, WRITING_MAX};

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(crate) struct BytesPlace {
    /// A folder. With a bucket only what was written before there was one is in it.
    pub(crate) folder: PathBuf,
    /// An object store.
    pub(crate) bucket: Option<Bucket>,
}

/// The bytes of all uploads; cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    Folder(Folder),
    Objects(Objects),
}

impl Bytes {
    /// Opens the place. Nothing is sent to an object store.
    pub(super) fn open(place: BytesPlace) -> Result<Self, ResultsError> {
        let BytesPlace { folder, bucket } = place;
        match bucket {
            None => Ok(Self::Folder(Folder::open(folder)?)),
            Some(bucket) => {
                let before = folder.is_dir().then(|| Folder::open(folder)).transpose()?;
                Ok(Self::Objects(Objects::new(bucket, before.filter(|folder| !folder.is_empty()))))
            }
        }
    }

    /// How many parts may be written at a time.
    pub(super) fn writing_max(&self) -> usize {
        match self {
            Self::Folder(_) => WRITING_MAX,
            Self::Objects(_) => SENDING_MAX,
        }
    }

    /// Whether a part of this name would be looked for where this engine writes.
    pub(super) fn is_here(&self, file: &str) -> bool {
        objects::is_ours(file) == matches!(self, Self::Objects(_))
    }

    /// Begins a part of at most so many bytes.
    pub(super) async fn begin(&self, id: i64, limit_bytes: u64) -> Result<Incoming, ResultsError> {
        match self {
            Self::Folder(folder) => Ok(Incoming::File(folder.begin(id, limit_bytes).await?)),
            Self::Objects(objects) => Ok(Incoming::Object(objects.begin(id, limit_bytes))),
        }
    }

    /// Removes parts of an upload. What can't be removed now goes with the upload.
    pub(super) async fn remove_parts(&self, id: i64, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        match self {
            Self::Folder(folder) => folder.remove_parts(id, names).await,
            Self::Objects(objects) => objects.remove_parts(id, names).await,
        }
    }

    /// Removes all of uploads that the index has forgotten. What stays is found by [`Bytes::keep_only`].
    pub(super) async fn remove(&self, ids: Vec<i64>) {
        if ids.is_empty() {
            return;
        }
        match self {
            Self::Folder(folder) => folder.remove(ids).await,
            Self::Objects(objects) => objects.remove(ids).await,
        }
    }

    /// Removes what the index does not name and is older than this. `now_ms`: Unix milliseconds.
    pub(super) async fn keep_only(
        &self,
        named: Named,
        age: Duration,
        now_ms: u64,
    ) -> Result<(), ResultsError> {
        let named = Arc::new(named);
        match self {
            Self::Folder(folder) => folder.keep_only(named, age, now_ms).await,
            Self::Objects(objects) => objects.keep_only(named, age, now_ms).await,
        }
    }

    /// Bytes `from..until` of an upload with these parts. A part that is read whole is checked.
    pub(super) fn read(
        &self,
        id: i64,
        parts: Vec<Part>,
        from: u64,
        until: u64,
    ) -> impl Stream<Item = Result<Piece, ResultsError>> + Send + use<> {
        match self {
            Self::Folder(folder) => Either::Left(folder.read(id, parts, from, until)),
            Self::Objects(objects) => Either::Right(objects.read(id, parts, from, until)),
        }
    }

    /// The SHA-256 of an upload with these parts.
    pub(super) async fn sha256(&self, id: i64, parts: Vec<Part>) -> Result<[u8; 32], ResultsError> {
        match self {
            Self::Folder(folder) => folder.sha256(id, parts).await,
            Self::Objects(objects) => objects.sha256(id, parts).await,
        }
    }
}

/// A part on its way in. Dropped before [`Incoming::finish`], it leaves nothing behind.
pub(super) enum Incoming {
    File(folder::Incoming),
    Object(objects::Incoming),
}

impl Incoming {
    /// Appends bytes.
    pub(super) async fn write(&mut self, bytes: Piece) -> Result<(), ResultsError> {
        match self {
            Self::File(incoming) => incoming.write(bytes).await,
            Self::Object(incoming) => incoming.write(bytes).await,
        }
    }

    /// Makes it durable. It is removed again unless [`Kept::keep`] is called.
    pub(super) async fn finish(self) -> Result<Kept, ResultsError> {
        Ok(match self {
            Self::File(incoming) => {
                let (part, drop) = incoming.finish().await?;
                Kept { part, drop: Unnamed::File(drop) }
            }
            Self::Object(incoming) => {
                let (part, drop) = incoming.finish().await?;
                Kept { part, drop: Unnamed::Object(drop) }
            }
        })
    }
}

/// What removes a part unless it was named.
enum Unnamed {
    File(folder::Unfinished),
    Object(objects::Unfinished),
}

/// A durable part that the index does not name yet.
pub(super) struct Kept {
    pub(super) part: Part,
    drop: Unnamed,
}

impl Kept {
    /// The index names it.
    pub(super) fn keep(self) {
        match self.drop {
            Unnamed::File(drop) => drop.keep(),
            Unnamed::Object(drop) => drop.keep(),
        }
    }
}
