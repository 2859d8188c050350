//! Records as objects: each chunk is one object, written once.
//!
//! **A stale writer can do no harm.** A chunk's name is the number of its first record, and it is created with
//! `If-None-Match: *`: of two writers (a leader that was replaced and does not know it, and the new one) one gets the name
//! and the other is told. So the chunks of an attempt are always one row without overlaps, whoever wrote them; and since
//! records are numbered by the agent, whoever gets the name writes the same records. The one that was told reads what is
//! there, takes those records as durable, and goes on after them. Names with the writer's epoch in them would have let
//! both write, and readers choose.
//!
//! One chunk of an attempt is on its way at a time, so a crash leaves no gap.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use slipway_cas::objects::object_store::path::Path;
use slipway_cas::objects::object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
    WriteMultipart,
};
use slipway_cas::objects::{Bucket, describe};
use slipway_scheduler::RunId;

use super::chunk::{FRAME_HEAD_BYTES, Frame, FrameHead, MAGIC};
use super::engine::{
    Appender, Engine, Opened, Pace, Part, PartName, Pending, REMOVED_NAME, RunPresence, SealWriter,
};
use super::limits::{OBJECT_CHUNK_AGE, OBJECT_CHUNK_BYTES, SEAL_PART_BYTES};
use super::{AttemptKey, RecordsError};

/// Parts of a sealed log that are sent at a time.
const PARTS_AT_ONCE: usize = 2;

/// Below this prefix are all records.
const PREFIX: &str = "records";

/// Records in an object store.
#[derive(Debug, Clone)]
pub struct ObjectRecords {
    bucket: Arc<Bucket>,
}

impl ObjectRecords {
    /// Records in this bucket.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket: Arc::new(bucket) }
    }

    fn store(&self) -> &dyn ObjectStore {
        &**self.bucket.store()
    }

    fn failed(&self, path: &Path) -> impl FnOnce(Error) -> RecordsError + use<> {
        let place = format!("{}/{path}", self.bucket.url());
        move |error| match error {
            Error::NotFound { .. } => RecordsError::Vanished { place },
            error => RecordsError::Io { place, source: io::Error::other(describe(&error)) },
        }
    }

    async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, RecordsError> {
        self.store().list(Some(folder)).try_collect().await.map_err(self.failed(folder))
    }

    async fn delete(&self, paths: Vec<Path>) -> Result<(), RecordsError> {
        let place = Path::from(PREFIX);
        let paths = futures_util::stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.store().delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&place)(error)),
            }
        }
        Ok(())
    }

    async fn whole(&self, path: &Path) -> Result<Bytes, RecordsError> {
        let found = self.store().get(path).await.map_err(self.failed(path))?;
        found.bytes().await.map_err(self.failed(path))
    }

    /// Number of the record after the last of a chunk.
    async fn end_of(&self, path: &Path, first: u64) -> Result<u64, RecordsError> {
        let content = self.whole(path).await?;
        let damaged = |offset: usize| RecordsError::Damaged {
            place: format!("{}/{path}", self.bucket.url()),
            offset: offset as u64,
        };
        if !content.starts_with(MAGIC) {
            return Err(damaged(0));
        }
        let (mut next, mut offset) = (first, MAGIC.len());
        while offset < content.len() {
            let head = content.get(offset..).and_then(FrameHead::read).ok_or_else(|| damaged(offset))?;
            let end = offset + head.whole_bytes();
            let whole =
                content.get(offset + FRAME_HEAD_BYTES..end).is_some_and(|records| head.matches(records));
            if !whole || head.first != next {
                return Err(damaged(offset));
            }
            (next, offset) = (head.next(), end);
        }
        Ok(next)
    }
}

fn run_path(run: RunId) -> Path {
    Path::from(PREFIX).join(run.to_string())
}

fn attempt_path(key: AttemptKey) -> Path {
    run_path(key.run).join(key.folder_name())
}

fn part_path(key: AttemptKey, part: PartName) -> Path {
    attempt_path(key).join(part.to_string())
}

impl Engine for ObjectRecords {
    fn pace(&self) -> Pace {
        Pace { bytes: OBJECT_CHUNK_BYTES, age: OBJECT_CHUNK_AGE }
    }

    fn place(&self, key: AttemptKey) -> String {
        format!("{}/{}", self.bucket.url(), attempt_path(key))
    }

    fn parts(&self, key: AttemptKey) -> Pending<'_, Vec<Part>> {
        Box::pin(async move {
            let mut parts = Vec::new();
            for object in self.list(&attempt_path(key)).await? {
                let name = object.location.filename().and_then(PartName::parse);
                parts.extend(name.map(|name| Part { name, size_bytes: object.size }));
            }
            parts.sort_unstable();
            Ok(parts)
        })
    }

    fn read(&self, key: AttemptKey, part: PartName, offset: u64, length: usize) -> Pending<'_, Bytes> {
        Box::pin(async move {
            let path = part_path(key, part);
            let range = Some(GetRange::Bounded(offset..offset.saturating_add(length as u64)));
            let options = GetOptions { range, ..GetOptions::default() };
            match self.store().get_opts(&path, options).await {
                Ok(found) => found.bytes().await.map_err(self.failed(&path)),
                // Nothing is at or after the end, which stores tell as an error.
                Err(error) => match self.store().head(&path).await {
                    Ok(meta) if meta.size <= offset => Ok(Bytes::new()),
                    Err(error) => Err(self.failed(&path)(error)),
                    Ok(_) => Err(self.failed(&path)(error)),
                },
            }
        })
    }

    fn open(&self, key: AttemptKey) -> Pending<'_, Opened> {
        Box::pin(async move {
            let parts = self.parts(key).await?;
            let last = parts.iter().rfind(|part| part.name != PartName::Sealed);
            let next = match last {
                Some(&Part { name: name @ PartName::Chunk(first), .. }) => {
                    self.end_of(&part_path(key, name), first).await?
                }
                _ => 1,
            };
            let total_bytes = parts.iter().map(|part| part.size_bytes).sum();
            let appender = ObjectAppender { records: self.clone(), key };
            Ok(Opened { appender: Box::new(appender), next, total_bytes })
        })
    }

    fn seal(&self, key: AttemptKey) -> Pending<'_, Box<dyn SealWriter>> {
        let (records, path) = (self.clone(), part_path(key, PartName::Sealed));
        let writer = ObjectSeal { records, path, head: Some(Bytes::new()), upload: None };
        Box::pin(async move { Ok(Box::new(writer) as Box<dyn SealWriter>) })
    }

    fn remove_chunks(&self, key: AttemptKey) -> Pending<'_, ()> {
        Box::pin(async move {
            let chunks = self.parts(key).await?;
            let chunks = chunks.into_iter().rev().filter(|part| part.name != PartName::Sealed);
            self.delete(chunks.map(|part| part_path(key, part.name)).collect()).await
        })
    }

    fn survey(&self) -> Pending<'_, BTreeMap<RunId, RunPresence>> {
        Box::pin(async move {
            let mut runs: BTreeMap<RunId, RunPresence> = BTreeMap::new();
            let prefix = Path::from(PREFIX);
            let mut objects = self.store().list(Some(&prefix));
            while let Some(object) = objects.try_next().await.map_err(self.failed(&prefix))? {
                let names: Vec<_> = object.location.parts().map(|part| part.as_ref().to_owned()).collect();
                let (Some(run), rest) = (names.get(1).and_then(|name| name.parse().ok()), names.get(2..))
                else {
                    continue;
                };
                let present = runs.entry(run).or_default();
                match rest {
                    Some([name]) => present.removed |= name == REMOVED_NAME,
                    Some([attempt, part]) => {
                        let attempt = AttemptKey::parse_folder(attempt);
                        if let (Some(attempt), Some(part)) = (attempt, PartName::parse(part)) {
                            let found = present.attempts.entry(attempt).or_default();
                            found.sealed |= part == PartName::Sealed;
                            found.chunks |= part != PartName::Sealed;
                        }
                    }
                    _ => {}
                }
            }
            Ok(runs)
        })
    }

    fn is_removed(&self, run: RunId) -> Pending<'_, bool> {
        Box::pin(async move {
            let note = run_path(run).join(REMOVED_NAME);
            match self.store().head(&note).await {
                Ok(_) => Ok(true),
                Err(Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(self.failed(&note)(error)),
            }
        })
    }

    fn remove_logs(&self, run: RunId) -> Pending<'_, ()> {
        Box::pin(async move {
            let note = run_path(run).join(REMOVED_NAME);
            let text = PutPayload::from_static(b"The logs of this run were removed.\n");
            self.store().put(&note, text).await.map_err(self.failed(&note))?;
            let objects = self.list(&run_path(run)).await?;
            self.delete(
                objects.into_iter().map(|object| object.location).filter(|path| *path != note).collect(),
            )
            .await
        })
    }

    fn delete_run(&self, run: RunId) -> Pending<'_, ()> {
        Box::pin(async move {
            let objects = self.list(&run_path(run)).await?;
            self.delete(objects.into_iter().map(|object| object.location).collect()).await
        })
    }
}

struct ObjectAppender {
    records: ObjectRecords,
    key: AttemptKey,
}

impl Appender for ObjectAppender {
    fn append<'a>(&'a mut self, frames: &'a [Frame]) -> Pending<'a, u64> {
        Box::pin(async move {
            let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(0) };
            let path = part_path(self.key, PartName::Chunk(first.first));
            let head = std::iter::once(Bytes::from_static(MAGIC));
            let chunk: PutPayload = head
                .chain(
                    frames
                        .iter()
                        .flat_map(|frame| [Bytes::copy_from_slice(&frame.head), frame.records.clone()]),
                )
                .collect();
            match self.records.store().put_opts(&path, chunk, PutMode::Create.into()).await {
                Ok(_) => Ok(last.last()),
                // A try of ours whose answer was lost, or another writer: what is there counts.
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                    let next = self.records.end_of(&path, first.first).await?;
                    if next != last.last() + 1 {
                        tracing::warn!(%path, "another coordinator wrote this chunk; its records are taken");
                    }
                    Ok(next - 1)
                }
                Err(error) => Err(self.records.failed(&path)(error)),
            }
        })
    }
}

struct ObjectSeal {
    records: ObjectRecords,
    path: Path,
    /// What one request may carry; `None` once there is more.
    head: Option<Bytes>,
    upload: Option<WriteMultipart>,
}

impl SealWriter for ObjectSeal {
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()> {
        Box::pin(async move {
            let failed = self.records.failed(&self.path);
            if let Some(upload) = &mut self.upload {
                upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failed)?;
                upload.put(bytes);
                return Ok(());
            }
            let head = self.head.take().unwrap_or_default();
            if head.is_empty() {
                self.head = Some(bytes);
                return Ok(());
            }
            let upload = self.records.store().put_multipart(&self.path).await.map_err(failed)?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, SEAL_PART_BYTES);
            upload.put(head);
            upload.put(bytes);
            self.upload = Some(upload);
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move {
            let Self { records, path, head, upload } = *self;
            match (upload, head) {
                (Some(upload), _) => upload.finish().await.map(drop).map_err(records.failed(&path)),
                (None, head) => {
                    let bytes = head.unwrap_or_default();
                    records.store().put(&path, bytes.into()).await.map(drop).map_err(records.failed(&path))
                }
            }
        })
    }
}
