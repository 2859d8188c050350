//! Bytes as objects: `results/<upload>/<part>/<number>`, each of the same size but the last.
//!
//! Objects of a bounded size instead of one that is sent in parts: a coordinator that is killed in the middle leaves objects,
//! which a listing shows, and no unfinished upload, which only the store's own rules would ever remove. They are asked for
//! side by side, too. A part's name ends with the size of its objects.
//!
//! Invariants: memory holds [`OBJECT_BYTES`] twice for each part under way, and [`OBJECT_READ_AHEAD`] pieces of
//! [`OBJECT_READ_BYTES`] for each download; requests are tried a bounded number of times, by the store's client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use slipway_cas::objects::object_store::path::Path;
use slipway_cas::objects::object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload,
};
use slipway_cas::objects::{Bucket, describe};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::error::ResultsError;
use super::super::index::{Named, Part, too_large};
use super::super::limits::{OBJECT_BYTES, OBJECT_READ_AHEAD, OBJECT_READ_BYTES};
use super::folder::Folder;

/// Below this prefix is everything.
const PREFIX: &str = "results";

/// The size of the objects of the part of this name; `None`: it is a file.
fn object_bytes(file: &str) -> Option<u64> {
    file.split_once('-').and_then(|(_, size)| size.parse().ok()).filter(|size| *size > 0)
}

/// Whether a part of this name is objects.
pub(super) fn is_ours(file: &str) -> bool {
    object_bytes(file).is_some()
}

/// The bytes of all uploads in an object store; cheap to clone.
#[derive(Debug, Clone)]
pub(in super::super) struct Objects {
    bucket: Bucket,
    /// What was written before there was an object store.
    before: Option<Folder>,
}

impl Objects {
    pub(super) fn new(bucket: Bucket, before: Option<Folder>) -> Self {
        Self { bucket, before }
    }

    fn store(&self) -> &dyn ObjectStore {
        &**self.bucket.store()
    }

    fn failed(&self, path: &Path) -> impl FnOnce(Error) -> ResultsError + use<> {
        let place = format!("{}/{path}", self.bucket.url());
        move |error| ResultsError::Failed(format!("{place}: {}", describe(&error)))
    }

    /// Begins a part of at most so many bytes.
    pub(super) fn begin(&self, id: i64, limit_bytes: u64) -> Incoming {
        let name = format!("{}-{OBJECT_BYTES}", uuid::Uuid::new_v4().simple());
        let drop = Unfinished { objects: self.clone(), id, name, sending: None, keep: false };
        Incoming {
            drop,
            hash: crc32fast::Hasher::new(),
            size_bytes: 0,
            limit_bytes,
            waiting: Vec::new(),
            waiting_bytes: 0,
            objects: 0,
        }
    }

    pub(super) async fn remove_parts(&self, id: i64, names: Vec<String>) {
        let (ours, before): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_ours(name));
        if let Some(folder) = self.before.as_ref().filter(|_| !before.is_empty()) {
            folder.remove_parts(id, before).await;
        }
        for name in ours {
            self.try_remove(part_path(id, &name)).await;
        }
    }

    pub(super) async fn remove(&self, ids: Vec<i64>) {
        for id in &ids {
            self.try_remove(upload_path(*id)).await;
        }
        if let Some(folder) = &self.before {
            folder.remove(ids).await;
        }
    }

    async fn try_remove(&self, below: Path) {
        let listed = self.store().list(Some(&below)).map_ok(|object| object.location).boxed();
        if let Err(error) = self.delete(listed).await {
            tracing::warn!(%error, "objects of an upload that is over stay for now");
        }
    }

    async fn delete(
        &self,
        paths: stream::BoxStream<'static, Result<Path, Error>>,
    ) -> Result<(), ResultsError> {
        let mut deleted = self.store().delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&Path::from(PREFIX))(error)),
            }
        }
        Ok(())
    }

    /// Removes objects that the index does not name and that are older than this.
    pub(super) async fn keep_only(
        &self,
        named: Arc<Named>,
        age: Duration,
        now_ms: u64,
    ) -> Result<(), ResultsError> {
        if let Some(folder) = &self.before {
            // Nobody else has this folder, and nothing is written into it any more.
            folder.keep_only(Arc::clone(&named), Duration::ZERO, now_ms).await?;
        }
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let of_long_ago = move |changed_ms: i64| {
            u64::try_from(changed_ms).is_ok_and(|changed_ms| changed_ms.saturating_add(age_ms) < now_ms)
        };
        let listed = self.store().list(Some(&Path::from(PREFIX)));
        let over = listed
            .try_filter_map(move |object| {
                let old = of_long_ago(object.last_modified.timestamp_millis());
                let over = old && !is_named(&object.location, &named);
                std::future::ready(Ok(over.then_some(object.location)))
            })
            .inspect_ok(|path| tracing::info!(%path, "an object that no upload names is removed"))
            .boxed();
        self.delete(over).await
    }

    /// Bytes `from..until` of an upload with these parts. A part that is read whole is checked.
    pub(super) fn read(
        &self,
        id: i64,
        parts: Vec<Part>,
        from: u64,
        until: u64,
    ) -> impl Stream<Item = Result<Bytes, ResultsError>> + Send + use<> {
        if let Some(folder) = self.before.as_ref().filter(|_| parts.iter().all(|part| !is_ours(&part.file))) {
            return Either::Left(folder.read(id, parts, from, until));
        }
        let (mut pieces, mut begin) = (Vec::new(), 0_u64);
        for part in parts {
            let end = begin.saturating_add(part.size_bytes);
            let (first, last) = (from.max(begin), until.min(end));
            if first < last {
                pieces.extend(Span::of(id, part, first - begin, last - begin));
            }
            begin = end;
        }
        let objects = self.clone();
        let mut check = crc32fast::Hasher::new();
        let checked = stream::iter(pieces)
            .map(move |piece| {
                let objects = objects.clone();
                async move { Ok::<_, ResultsError>((objects.fetch(&piece).await?, piece)) }
            })
            .buffered(OBJECT_READ_AHEAD)
            .map(move |fetched| {
                let (bytes, piece) = fetched?;
                if piece.is_first {
                    check = crc32fast::Hasher::new();
                }
                check.update(&bytes);
                match piece.checked_by.filter(|crc32| check.clone().finalize() != *crc32) {
                    None => Ok(bytes),
                    Some(_) => Err(damaged(&piece.path)),
                }
            });
        Either::Right(checked)
    }

    async fn fetch(&self, piece: &Span) -> Result<Bytes, ResultsError> {
        let range = Some(GetRange::Bounded(piece.from..piece.until));
        let options = GetOptions { range, ..GetOptions::default() };
        // The client goes on by itself where an answer broke off.
        let fetched = async { self.store().get_opts(&piece.path, options).await?.bytes().await };
        let bytes = fetched.await.map_err(self.failed(&piece.path))?;
        match bytes.len() as u64 == piece.until - piece.from {
            true => Ok(bytes),
            false => Err(damaged(&piece.path)),
        }
    }

    /// The SHA-256 of an upload with these parts.
    pub(super) async fn sha256(&self, id: i64, parts: Vec<Part>) -> Result<[u8; 32], ResultsError> {
        let until = parts.iter().map(|part| part.size_bytes).sum();
        let pieces = self.read(id, parts, 0, until);
        let hash = pieces.try_fold(Sha256::new(), |mut hash, piece| async move {
            let hashed = tokio::task::spawn_blocking(move || {
                hash.update(&piece);
                hash
            });
            hashed.await.map_err(|error| ResultsError::Failed(error.to_string()))
        });
        Ok(hash.await?.finalize().into())
    }
}

fn upload_path(id: i64) -> Path {
    Path::from(PREFIX).join(id.to_string())
}

fn part_path(id: i64, name: &str) -> Path {
    upload_path(id).join(name)
}

fn damaged(path: &Path) -> ResultsError {
    ResultsError::Failed(format!("{path} is not what was written: the object store or a person damaged it"))
}

/// Whether the index names the part that an object belongs to.
fn is_named(path: &Path, named: &Named) -> bool {
    let parts: Vec<_> = path.parts().collect();
    let of = |at: usize| parts.get(at).map(|part| part.as_ref().to_owned());
    let id = of(1).and_then(|id| id.parse::<i64>().ok());
    let files: Option<&BTreeSet<String>> = id.and_then(|id| named.get(&id));
    files.zip(of(2)).is_some_and(|(files, file)| files.contains(&file))
}

/// A piece of a part: within one object.
struct Span {
    path: Path,
    from: u64,
    until: u64,
    /// It begins a part that is read whole, or a part of which nothing is checked.
    is_first: bool,
    /// The part's checksum, on the last piece of a part that is read whole.
    checked_by: Option<u32>,
}

impl Span {
    /// Bytes `from..until` of a part.
    fn of(id: i64, part: Part, from: u64, until: u64) -> impl Iterator<Item = Self> {
        // One that is no object is not there: asking for it tells.
        let object_bytes = object_bytes(&part.file).unwrap_or(u64::MAX);
        let folder = part_path(id, &part.file);
        let whole = from == 0 && until == part.size_bytes;
        let mut at = from;
        std::iter::from_fn(move || {
            if at >= until {
                return None;
            }
            let (object, within) = (at / object_bytes, at % object_bytes);
            let length = OBJECT_READ_BYTES.min(object_bytes - within).min(until - at);
            let piece = Self {
                path: folder.clone().join(object.to_string()),
                from: within,
                until: within + length,
                is_first: at == from,
                checked_by: (whole && at + length == until).then_some(part.crc32),
            };
            at += length;
            Some(piece)
        })
    }
}

/// Removes a part's objects unless the index names it.
pub(super) struct Unfinished {
    objects: Objects,
    id: i64,
    name: String,
    /// The object that is on its way.
    sending: Option<JoinHandle<Result<(), ResultsError>>>,
    keep: bool,
}

impl Unfinished {
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Without a runtime the process is about to end; then they are found when nobody names them for long.
        let (false, Ok(runtime)) = (self.keep, Handle::try_current()) else { return };
        let (objects, path) = (self.objects.clone(), part_path(self.id, &self.name));
        let sending = self.sending.take();
        runtime.spawn(async move {
            if let Some(sending) = sending {
                // Whatever came of it: what arrives after the removal would stay.
                let _ = sending.await;
            }
            objects.try_remove(path).await;
        });
    }
}

/// A part on its way in.
pub(in super::super) struct Incoming {
    drop: Unfinished,
    hash: crc32fast::Hasher,
    size_bytes: u64,
    limit_bytes: u64,
    /// The next object so far.
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    /// How many objects there are.
    objects: u64,
}

impl Incoming {
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), ResultsError> {
        self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        if self.size_bytes > self.limit_bytes {
            return Err(too_large(self.limit_bytes));
        }
        self.hash.update(&bytes);
        while self.waiting_bytes + bytes.len() >= OBJECT_BYTES {
            self.waiting.push(bytes.split_to(OBJECT_BYTES - self.waiting_bytes));
            self.send().await?;
        }
        if !bytes.is_empty() {
            self.waiting_bytes += bytes.len();
            self.waiting.push(bytes);
        }
        Ok(())
    }

    /// Sends what waits as an object, once the one before it is there.
    async fn send(&mut self) -> Result<(), ResultsError> {
        self.sent().await?;
        let payload: PutPayload = std::mem::take(&mut self.waiting).into_iter().collect();
        self.waiting_bytes = 0;
        let path = part_path(self.drop.id, &self.drop.name).join(self.objects.to_string());
        self.objects += 1;
        let objects = self.drop.objects.clone();
        self.drop.sending = Some(tokio::spawn(async move {
            objects.store().put(&path, payload).await.map(drop).map_err(objects.failed(&path))
        }));
        Ok(())
    }

    async fn sent(&mut self) -> Result<(), ResultsError> {
        // It stays where it is while it is waited for: whoever drops this waits for it too.
        let Some(sending) = &mut self.drop.sending else { return Ok(()) };
        let sent = sending.await;
        self.drop.sending = None;
        sent.unwrap_or_else(|error| Err(ResultsError::Failed(error.to_string())))
    }

    pub(super) async fn finish(mut self) -> Result<(Part, Unfinished), ResultsError> {
        if !self.waiting.is_empty() {
            self.send().await?;
        }
        self.sent().await?;
        let part =
            Part { file: self.drop.name.clone(), size_bytes: self.size_bytes, crc32: self.hash.finalize() };
        Ok((part, self.drop))
    }
}
