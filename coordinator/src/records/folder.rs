//! Records as files in a folder: each attempt's chunks are appended to and synced.
//!
//! One process at a time appends (its data directory's lock, or the leader's epoch, sees to that); others may read the
//! same files meanwhile, also over a shared folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use slipway_scheduler::RunId;

use super::chunk::{FRAME_HEAD_BYTES, Frame, FrameHead, MAGIC};
use super::engine::{
    Appender, Engine, Opened, Pace, Part, PartName, Pending, REMOVED_NAME, RunPresence, SEALED_NAME,
    SealWriter,
};
use super::error::io_at;
use super::limits::{FILE_CHUNK_BYTES, PENDING_MAX_BYTES};
use super::{AttemptKey, RecordsError};

/// A sealed log that is being written; whatever has this name is nobody's.
const DRAFT_NAME: &str = "sealed.draft";

/// Records below a folder.
#[derive(Debug)]
pub struct FolderRecords {
    root: PathBuf,
    /// Whether other coordinators have the folder too.
    shared: bool,
}

impl FolderRecords {
    /// Opens the folder, making it if need be.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RecordsError> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(io_at(&root))?;
        Ok(Self { root, shared: false })
    }

    /// The same for a folder that other coordinators have too: who opens an attempt begins a chunk of its own. A leader that
    /// was replaced and does not know it may still write the one before; what it writes there has
    /// numbers that the new chunk has or will have, and came from the same agent: it is the same.
    ///
    /// # Errors
    /// [`RecordsError::Io`].
    pub fn open_shared(root: impl Into<PathBuf>) -> Result<Self, RecordsError> {
        Ok(Self { shared: true, ..Self::open(root)? })
    }

    fn run_folder(&self, run: RunId) -> PathBuf {
        self.root.join(run.to_string())
    }

    fn folder(&self, key: AttemptKey) -> PathBuf {
        self.run_folder(key.run).join(key.folder_name())
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RecordsError> + Send + 'static,
) -> Result<T, RecordsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(RecordsError::Io { place: "worker thread".to_owned(), source: io::Error::other(error) })
        }
    }
}

/// The parts in a folder, in order.
fn parts(folder: &Path) -> Result<Vec<Part>, RecordsError> {
    let mut parts = Vec::new();
    for (name, size_bytes) in entries(folder)? {
        parts.extend(PartName::parse(&name).map(|name| Part { name, size_bytes }));
    }
    parts.sort_unstable();
    Ok(parts)
}

/// Names and sizes of what is in a folder; of none, nothing.
fn entries(folder: &Path) -> Result<Vec<(String, u64)>, RecordsError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_at(folder)(error)),
    };
    let mut entries = Vec::new();
    for entry in read {
        let entry = entry.map_err(io_at(folder))?;
        match (entry.file_name().into_string(), entry.metadata()) {
            (Ok(name), Ok(metadata)) => entries.push((name, metadata.len())),
            // It went away meanwhile.
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            (_, Err(error)) => return Err(io_at(folder)(error)),
            (Err(_), _) => {}
        }
    }
    Ok(entries)
}

fn gone_is_fine(result: io::Result<()>, place: &Path) -> Result<(), RecordsError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(place)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), RecordsError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_at(path))
}

/// Makes an attempt's folder, and durable that it is there.
fn make_folder(folder: &Path) -> Result<(), RecordsError> {
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(io_at(folder))?;
        // The attempt's folder is new in the run's, and that perhaps in the store's.
        for above in folder.ancestors().skip(1).take(2) {
            sync_folder(above)?;
        }
    }
    Ok(())
}

impl Engine for FolderRecords {
    fn pace(&self) -> Pace {
        // As fast as the disk syncs; many batches share a sync.
        Pace { bytes: PENDING_MAX_BYTES, age: Duration::ZERO }
    }

    fn place(&self, key: AttemptKey) -> String {
        self.folder(key).display().to_string()
    }

    fn parts(&self, key: AttemptKey) -> Pending<'_, Vec<Part>> {
        let folder = self.folder(key);
        Box::pin(blocking(move || parts(&folder)))
    }

    fn read(&self, key: AttemptKey, part: PartName, offset: u64, length: usize) -> Pending<'_, Bytes> {
        let path = self.folder(key).join(part.to_string());
        Box::pin(blocking(move || {
            let mut file = File::open(&path).map_err(io_at(&path))?;
            file.seek(SeekFrom::Start(offset)).map_err(io_at(&path))?;
            let mut bytes = Vec::with_capacity(length);
            file.take(length as u64).read_to_end(&mut bytes).map_err(io_at(&path))?;
            Ok(bytes.into())
        }))
    }

    fn open(&self, key: AttemptKey) -> Pending<'_, Opened> {
        let (folder, shared) = (self.folder(key), self.shared);
        Box::pin(blocking(move || {
            let parts = parts(&folder)?;
            let mut appender = FileAppender { folder, chunk: None };
            let mut next = 1;
            if let Some(&Part { name: name @ PartName::Chunk(first), .. }) =
                parts.iter().rfind(|part| part.name != PartName::Sealed)
            {
                let path = appender.folder.join(name.to_string());
                if shared {
                    next = end_of_other(&path, first)?;
                } else {
                    let (chunk, after) = reopen(&path, first)?;
                    (appender.chunk, next) = (Some(chunk), after);
                }
            }
            let total_bytes = parts.iter().map(|part| part.size_bytes).sum();
            Ok(Opened { appender: Box::new(appender), next, total_bytes })
        }))
    }

    fn seal(&self, key: AttemptKey) -> Pending<'_, Box<dyn SealWriter>> {
        let folder = self.folder(key);
        Box::pin(blocking(move || {
            let draft = folder.join(DRAFT_NAME);
            let file = File::create(&draft).map_err(io_at(&draft))?;
            Ok(Box::new(FileSeal { file: Some(file), folder }) as Box<dyn SealWriter>)
        }))
    }

    fn remove_chunks(&self, key: AttemptKey) -> Pending<'_, ()> {
        let folder = self.folder(key);
        Box::pin(blocking(move || {
            for part in parts(&folder)?.iter().rev().filter(|part| part.name != PartName::Sealed) {
                let path = folder.join(part.name.to_string());
                gone_is_fine(fs::remove_file(&path), &path)?;
            }
            Ok(())
        }))
    }

    fn survey(&self) -> Pending<'_, BTreeMap<RunId, RunPresence>> {
        let root = self.root.clone();
        Box::pin(blocking(move || {
            let mut runs: BTreeMap<RunId, RunPresence> = BTreeMap::new();
            for (name, _) in entries(&root)? {
                let Ok(run) = name.parse::<RunId>() else { continue };
                let present = runs.entry(run).or_default();
                let folder = root.join(&name);
                for (name, _) in entries(&folder)? {
                    present.removed |= name == REMOVED_NAME;
                    let Some(attempt) = AttemptKey::parse_folder(&name) else { continue };
                    let found = present.attempts.entry(attempt).or_default();
                    for part in parts(&folder.join(&name))? {
                        found.sealed |= part.name == PartName::Sealed;
                        found.chunks |= part.name != PartName::Sealed;
                    }
                }
            }
            Ok(runs)
        }))
    }

    fn is_removed(&self, run: RunId) -> Pending<'_, bool> {
        let note = self.run_folder(run).join(REMOVED_NAME);
        Box::pin(blocking(move || note.try_exists().map_err(io_at(&note))))
    }

    fn remove_logs(&self, run: RunId) -> Pending<'_, ()> {
        let folder = self.run_folder(run);
        Box::pin(blocking(move || {
            let note = folder.join(REMOVED_NAME);
            File::create(&note).and_then(|note| note.sync_all()).map_err(io_at(&note))?;
            sync_folder(&folder)?;
            for (name, _) in entries(&folder)? {
                if AttemptKey::parse_folder(&name).is_some() {
                    let path = folder.join(name);
                    gone_is_fine(fs::remove_dir_all(&path), &path)?;
                }
            }
            Ok(())
        }))
    }

    fn delete_run(&self, run: RunId) -> Pending<'_, ()> {
        let folder = self.run_folder(run);
        Box::pin(blocking(move || gone_is_fine(fs::remove_dir_all(&folder), &folder)))
    }
}

struct FileAppender {
    folder: PathBuf,
    /// The open chunk; none before the first record.
    chunk: Option<Chunk>,
}

struct Chunk {
    file: File,
    size_bytes: u64,
}

impl Appender for FileAppender {
    fn append<'a>(&'a mut self, frames: &'a [Frame]) -> Pending<'a, u64> {
        let (folder, chunk, frames) = (self.folder.clone(), self.chunk.take(), frames.to_vec());
        Box::pin(async move {
            let (chunk, last) = blocking(move || write(&folder, chunk, &frames)).await?;
            self.chunk = chunk;
            Ok(last)
        })
    }
}

/// Writes frames and syncs them: one sync, unless a chunk gets full in between.
fn write(
    folder: &Path,
    mut open: Option<Chunk>,
    frames: &[Frame],
) -> Result<(Option<Chunk>, u64), RecordsError> {
    let mut rest = frames;
    while let Some(first) = rest.first() {
        let mut chunk = match open.take() {
            Some(chunk) if chunk.size_bytes < FILE_CHUNK_BYTES => chunk,
            // A full one was synced after its last frame.
            _ => create(folder, first.first)?,
        };
        let mut fits = 0;
        let mut size_bytes = chunk.size_bytes;
        while let Some(frame) = rest.get(fits).filter(|_| size_bytes < FILE_CHUNK_BYTES) {
            size_bytes += frame.whole_bytes() as u64;
            fits += 1;
        }
        let (now, later) = rest.split_at(fits);
        let mut slices: Vec<IoSlice<'_>> =
            now.iter().flat_map(|frame| [&frame.head[..], &frame.records]).map(IoSlice::new).collect();
        write_all(&mut chunk.file, &mut slices).map_err(io_at(folder))?;
        chunk.file.sync_data().map_err(io_at(folder))?;
        chunk.size_bytes = size_bytes;
        rest = later;
        open = Some(chunk);
    }
    Ok((open, frames.last().map_or(0, Frame::last)))
}

fn write_all(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn create(folder: &Path, first: u64) -> Result<Chunk, RecordsError> {
    make_folder(folder)?;
    let path = folder.join(PartName::Chunk(first).to_string());
    let mut file = File::options().append(true).create_new(true).open(&path).map_err(io_at(&path))?;
    file.write_all(MAGIC).map_err(io_at(&path))?;
    sync_folder(folder)?;
    Ok(Chunk { file, size_bytes: MAGIC.len() as u64 })
}

/// How far the good frames of a chunk go, in bytes, and the number of the next record. Frames that come again count once.
fn good_frames(content: &[u8], first: u64) -> (usize, u64) {
    let (mut good, mut next) = (MAGIC.len(), first);
    while let Some(head) = content.get(good..).and_then(FrameHead::read) {
        let end = good + head.whole_bytes();
        let whole = content.get(good + FRAME_HEAD_BYTES..end).is_some_and(|records| head.matches(records));
        if !whole || head.first > next {
            break;
        }
        (good, next) = (end, next.max(head.next()));
    }
    (good, next)
}

/// Opens the last chunk for appending and cuts what is torn. Returns it and the number of the next record.
fn reopen(path: &Path, first: u64) -> Result<(Chunk, u64), RecordsError> {
    let mut content = Vec::new();
    let mut file = File::options().read(true).append(true).open(path).map_err(io_at(path))?;
    file.read_to_end(&mut content).map_err(io_at(path))?;
    let (mut good, mut next) = (MAGIC.len(), first);
    if content.starts_with(MAGIC) {
        (good, next) = good_frames(&content, first);
    } else {
        // Not even its header was written whole.
        file.set_len(0).map_err(io_at(path))?;
        file.write_all(MAGIC).map_err(io_at(path))?;
        content.truncate(good);
    }
    if content.len() > good {
        tracing::warn!(path = %path.display(), cut_bytes = content.len() - good, "a torn tail was cut");
        file.set_len(good as u64).map_err(io_at(path))?;
    }
    // What is taken as durable from now on has to be.
    file.sync_all().map_err(io_at(path))?;
    Ok((Chunk { file, size_bytes: good as u64 }, next))
}

/// The number of the record after a chunk that another coordinator wrote, and may still write. One without any record makes
/// room for ours by going under another name: whoever has it open writes there.
fn end_of_other(path: &Path, first: u64) -> Result<u64, RecordsError> {
    let content = fs::read(path).map_err(io_at(path))?;
    let next = if content.starts_with(MAGIC) { good_frames(&content, first).1 } else { first };
    if next == first {
        let aside = path.with_extension(format!("aside-{}", uuid::Uuid::new_v4().simple()));
        fs::rename(path, &aside).map_err(io_at(path))?;
    } else {
        // What is taken as durable from now on has to be.
        File::open(path).and_then(|file| file.sync_all()).map_err(io_at(path))?;
    }
    Ok(next)
}

struct FileSeal {
    /// `None` while a write is under way on another thread, and after one failed.
    file: Option<File>,
    folder: PathBuf,
}

impl FileSeal {
    fn take(&mut self) -> Result<File, RecordsError> {
        self.file.take().ok_or(RecordsError::Broken)
    }
}

impl SealWriter for FileSeal {
    fn write(&mut self, bytes: Bytes) -> Pending<'_, ()> {
        Box::pin(async move {
            let (mut file, folder) = (self.take()?, self.folder.clone());
            let file = blocking(move || {
                file.write_all(&bytes).map_err(io_at(&folder))?;
                Ok(file)
            });
            self.file = Some(file.await?);
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move {
            let (file, folder) = (self.take()?, self.folder);
            blocking(move || {
                file.sync_all().map_err(io_at(&folder))?;
                fs::rename(folder.join(DRAFT_NAME), folder.join(SEALED_NAME)).map_err(io_at(&folder))?;
                sync_folder(&folder)
            })
            .await
        })
    }
}
