//! One attempt's record stream: append, sync in groups, tell how far it is durable.
//!
//! Appending writes to the file at once and returns; syncing follows on a task of the attempt's own, and one sync makes
//! everything durable that was written before it began. So the sender's batches are never held up by a sync of their
//! own, and acknowledgements come as fast as the disk syncs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_proto::v1::Record;
use tokio::sync::watch;

use super::chunk::{self, FRAME_HEAD_BYTES, FrameHead, MAGIC};
use super::{CHUNK_BYTES, MAX_ATTEMPT_BYTES, RecordsError, blocking, io_at};

/// How far an attempt's records are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All records up to this number are durable.
    pub durable: u64,
    /// Nothing more comes: a write failed, and the log has to be opened again.
    pub broken: bool,
}

/// One attempt's record stream.
#[derive(Debug)]
pub struct AttemptLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    tail: Mutex<Tail>,
    progress: watch::Sender<Progress>,
}

/// Where the next batch goes.
#[derive(Debug)]
struct Tail {
    /// The open chunk; none before the first batch.
    chunk: Option<Chunk>,
    /// Number of the next record.
    next: u64,
    /// Bytes of all chunks.
    total_bytes: u64,
    /// Whether anything was written that no sync has begun for.
    unsynced: bool,
    broken: bool,
    /// Whether a task syncs at the moment.
    syncing: bool,
}

#[derive(Debug)]
struct Chunk {
    file: Arc<File>,
    size_bytes: u64,
}

/// File name of the chunk whose first record has this number; names sort as numbers do.
pub(super) fn chunk_name(first: u64) -> String {
    format!("{first:020}.rec")
}

/// The first record numbers of the chunks in a folder, in order.
pub(super) fn chunks(folder: &Path) -> Result<Vec<u64>, RecordsError> {
    let mut firsts = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(firsts),
        Err(error) => return Err(io_at(folder)(error)),
    };
    for entry in entries {
        let name = entry.map_err(io_at(folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".rec"));
        firsts.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

impl AttemptLog {
    /// Opens what is there, cutting a torn tail. Makes nothing on disk before the first record comes.
    pub(super) fn open(folder: PathBuf) -> Result<Self, RecordsError> {
        let mut tail =
            Tail { chunk: None, next: 1, total_bytes: 0, unsynced: false, broken: false, syncing: false };
        let firsts = chunks(&folder)?;
        for first in &firsts {
            let path = folder.join(chunk_name(*first));
            tail.total_bytes += fs::metadata(&path).map_err(io_at(&path))?.len();
        }
        if let Some(&first) = firsts.last() {
            let path = folder.join(chunk_name(first));
            let (chunk, next) = reopen(&path, first)?;
            tail.next = next;
            tail.chunk = Some(chunk);
        }
        let progress = Progress { durable: tail.next - 1, broken: false };
        let shared = Shared { folder, tail: Mutex::new(tail), progress: watch::Sender::new(progress) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How far the records are, and a way to wait for more.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// The highest number up to which all records are durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.progress.borrow().durable
    }

    /// The highest number that was written, durable or not yet.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.tail().next - 1
    }

    pub(super) fn is_broken(&self) -> bool {
        self.shared.tail().broken
    }

    pub(super) fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Appends a batch whose first record has number `first`; records that are there already are left out. They are
    /// written when this returns, and durable when [`AttemptLog::progress`] says so.
    ///
    /// # Errors
    /// [`RecordsError::Gap`] when records are missing before `first`, [`RecordsError::Zero`],
    /// [`RecordsError::TooLong`], [`RecordsError::Io`], [`RecordsError::Broken`].
    pub async fn append(&self, first: u64, mut records: Vec<Record>) -> Result<(), RecordsError> {
        if first == 0 {
            return Err(RecordsError::Zero);
        }
        if records.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let start_sync = blocking(move || {
            let mut tail = shared.tail();
            if tail.broken {
                return Err(RecordsError::Broken);
            }
            let next = tail.next;
            if first > next {
                return Err(RecordsError::Gap { first, next });
            }
            let known = usize::try_from(next - first).unwrap_or(usize::MAX).min(records.len());
            records.drain(..known);
            if records.is_empty() {
                return Ok(false);
            }
            let frame = chunk::encode(next, &records)?;
            let total_bytes = tail.total_bytes + frame.len() as u64;
            if total_bytes > MAX_ATTEMPT_BYTES {
                return Err(RecordsError::TooLong {
                    what: "an attempt's records",
                    size_bytes: total_bytes,
                    limit_bytes: MAX_ATTEMPT_BYTES,
                });
            }
            if let Err(error) = shared.write(&mut tail, &frame) {
                // Half a frame may be in the file: only opening it again finds out.
                shared.give_up(&mut tail);
                return Err(error);
            }
            tail.next += records.len() as u64;
            tail.total_bytes = total_bytes;
            tail.unsynced = true;
            Ok(!std::mem::replace(&mut tail.syncing, true))
        })
        .await?;
        if start_sync {
            tokio::spawn(sync_all(Arc::clone(&self.shared)));
        }
        Ok(())
    }
}

/// Syncs until nothing is left to sync.
async fn sync_all(shared: Arc<Shared>) {
    loop {
        let (file, written) = {
            let mut tail = shared.tail();
            let file = tail.chunk.as_ref().map(|chunk| Arc::clone(&chunk.file));
            match file {
                Some(file) if std::mem::take(&mut tail.unsynced) && !tail.broken => (file, tail.next - 1),
                _ => {
                    tail.syncing = false;
                    return;
                }
            }
        };
        let place = shared.folder.clone();
        match blocking(move || file.sync_data().map_err(io_at(&place))).await {
            Ok(()) => {
                shared.progress.send_modify(|progress| progress.durable = progress.durable.max(written));
            }
            Err(error) => {
                tracing::error!(%error, "an attempt's records cannot be made durable");
                shared.give_up(&mut shared.tail());
            }
        }
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, tail: &mut Tail) {
        tail.broken = true;
        tail.chunk = None;
        self.progress.send_modify(|progress| progress.broken = true);
    }

    fn write(&self, tail: &mut Tail, frame: &[u8]) -> Result<(), RecordsError> {
        if let Some(full) = tail.chunk.take_if(|chunk| chunk.size_bytes >= CHUNK_BYTES) {
            // The sync task looks at the open chunk only, so a closed one has to be durable before that.
            full.file.sync_data().map_err(io_at(&self.folder))?;
        }
        let chunk = match &mut tail.chunk {
            Some(chunk) => chunk,
            none => none.insert(create(&self.folder, tail.next)?),
        };
        (&*chunk.file).write_all(frame).map_err(io_at(&self.folder))?;
        chunk.size_bytes += frame.len() as u64;
        Ok(())
    }
}

fn create(folder: &Path, first: u64) -> Result<Chunk, RecordsError> {
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(io_at(folder))?;
        // The attempt's folder is new in the run's, and that perhaps in the store's.
        for above in folder.ancestors().skip(1).take(2) {
            sync_folder(above)?;
        }
    }
    let path = folder.join(chunk_name(first));
    let mut file = File::options().append(true).create_new(true).open(&path).map_err(io_at(&path))?;
    file.write_all(MAGIC).map_err(io_at(&path))?;
    sync_folder(folder)?;
    Ok(Chunk { file: Arc::new(file), size_bytes: MAGIC.len() as u64 })
}

fn sync_folder(path: &Path) -> Result<(), RecordsError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_at(path))
}

/// Opens the last chunk for appending and cuts what is torn. Returns it and the number of the next record.
fn reopen(path: &Path, first: u64) -> Result<(Chunk, u64), RecordsError> {
    let mut content = Vec::new();
    let mut file = File::options().read(true).append(true).open(path).map_err(io_at(path))?;
    file.read_to_end(&mut content).map_err(io_at(path))?;
    let mut next = first;
    let mut good = MAGIC.len();
    if content.starts_with(MAGIC) {
        while let Some(head) = content.get(good..).and_then(FrameHead::read) {
            let end = good + FRAME_HEAD_BYTES + head.size_bytes as usize;
            let whole =
                content.get(good + FRAME_HEAD_BYTES..end).is_some_and(|records| head.matches(records));
            if !whole || head.first != next {
                break;
            }
            next = head.next();
            good = end;
        }
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
    Ok((Chunk { file: Arc::new(file), size_bytes: good as u64 }, next))
}
