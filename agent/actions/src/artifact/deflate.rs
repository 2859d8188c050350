//! Compressing on several threads: pieces of files, each for itself and byte-aligned, so that one behind the other they are
//! one deflate stream (RFC 1951; zlib's manual, "Z_SYNC_FLUSH").

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::failure::Failure;
use crate::limits::COMPRESSION_THREADS_MAX;

/// A piece to compress.
struct Job {
    bytes: Vec<u8>,
    is_last: bool,
    done: SyncSender<Result<Piece, Failure>>,
}

/// A piece as it stands in the archive.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Of what it was before.
    pub(super) crc: Hasher,
    pub(super) size_bytes: u64,
}

/// A piece that will be there.
pub(super) type Promised = Receiver<Result<Piece, Failure>>;

/// Threads that compress with one level; 0 leaves the pieces as they are.
pub(super) struct Pool {
    jobs: SyncSender<Job>,
    /// How many there are.
    pub(super) threads: usize,
}

impl Pool {
    pub(super) fn new(level: u32) -> Self {
        let threads =
            std::thread::available_parallelism().map_or(1, usize::from).min(COMPRESSION_THREADS_MAX);
        let (jobs, queue) = sync_channel(threads);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || work(level, &queue));
        }
        Self { jobs, threads }
    }

    /// Has a piece compressed. `is_last`: of its file.
    pub(super) fn begin(&self, bytes: Vec<u8>, is_last: bool) -> Result<Promised, Failure> {
        let (done, promised) = sync_channel(1);
        self.jobs.send(Job { bytes, is_last, done }).map_err(|_| gone())?;
        Ok(promised)
    }
}

/// Waits for a piece.
pub(super) fn wait(promised: &Promised) -> Result<Piece, Failure> {
    promised.recv().map_err(|_| gone())?
}

fn gone() -> Failure {
    Failure::new("the threads that compress ended")
}

fn work(level: u32, queue: &Mutex<Receiver<Job>>) {
    let mut state = Compress::new(Compression::new(level), false);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { bytes, is_last, done }) = job else { return };
        let mut crc = Hasher::new();
        crc.update(&bytes);
        let size_bytes = bytes.len() as u64;
        let bytes = if level == 0 { Ok(bytes) } else { deflate(&mut state, &bytes, is_last) };
        // Nobody waits any more after a failure.
        let _ = done.send(bytes.map(|bytes| Piece { bytes, crc, size_bytes }));
    }
}

fn deflate(state: &mut Compress, bytes: &[u8], is_last: bool) -> Result<Vec<u8>, Failure> {
    state.reset();
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
    loop {
        let taken = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(taken..).unwrap_or_default();
        let status = state
            .compress_vec(rest, &mut out, flush)
            .map_err(|error| Failure::new(format!("cannot compress: {error}")))?;
        let all_taken = state.total_in() == bytes.len() as u64;
        // Room that is left means that nothing waits to be written.
        if status == Status::StreamEnd || (!is_last && all_taken && out.len() < out.capacity()) {
            return Ok(out);
        }
        out.reserve(out.capacity().max(64));
    }
}
