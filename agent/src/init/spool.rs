//! A job's spool: the file that init appends to and the agent reads, frees and finally deletes.
//!
//! Invariant: init may be at most the capacity ahead of what was released; released space goes back to the file system.
//! What one of several readers still needs ([`Claim`]) is not released.

use super::{SpoolError, SpoolReader};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use slipway_init::limits::SPOOL_CAPACITY_MIN_BYTES;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Released bytes that are collected before a hole is punched, so that small frames don't cost a system call each.
const PUNCH_MIN_BYTES: u64 = 256 * 1024;

/// A job's spool. Cheap to clone; all clones are the same spool.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// Where it is; a sandbox's moves into the folder of the job that takes it.
    path: Mutex<PathBuf>,
    pub(super) file: File,
    capacity_bytes: u64,
    progress: watch::Sender<Progress>,
    limit: watch::Sender<u64>,
    freed: Mutex<Freed>,
    claims: Mutex<Claims>,
}

/// What readers still need: offsets by the number of their claim; of a claim that holds nothing, none.
#[derive(Debug, Default)]
struct Claims {
    next: u64,
    offsets: BTreeMap<u64, Option<u64>>,
}

/// One reader's say in what is released. Dropped, it holds nothing.
#[derive(Debug)]
pub struct Claim {
    spool: Spool,
    number: u64,
}

impl Claim {
    /// What lies from `offset` on is needed.
    pub fn hold(&self, offset: u64) {
        self.set(Some(offset));
    }

    /// Nothing is needed until the next [`Self::hold`].
    pub fn let_go(&self) {
        self.set(None);
    }

    /// What this reader held below `up_to` (the end offset of a frame) is no longer needed. Gives back what nobody else
    /// needs either; does nothing while it holds nothing.
    ///
    /// # Errors
    /// As [`Spool::release`].
    pub fn release(&self, up_to: u64) -> Result<(), SpoolError> {
        let least = {
            let mut claims = self.spool.claims();
            match claims.offsets.get_mut(&self.number) {
                Some(Some(offset)) => *offset = up_to,
                _ => return Ok(()),
            }
            claims.offsets.values().flatten().min().copied().unwrap_or(up_to)
        };
        self.spool.release(least)
    }

    fn set(&self, offset: Option<u64>) {
        self.spool.claims().offsets.insert(self.number, offset);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.spool.claims().offsets.remove(&self.number);
    }
}

/// How far init has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything below is complete frames.
    pub(super) written: u64,
    /// Init is gone: nothing comes any more, and what it wrote without announcing it may be read.
    pub(super) finished: bool,
}

#[derive(Debug)]
struct Freed {
    released: u64,
    punched: u64,
    /// Cleared when the file system has no holes; the space then comes back when the file is deleted.
    supported: bool,
}

impl Spool {
    /// Makes a new spool (mode 0600) that init may fill with `capacity_bytes`
    /// ([`slipway_init::limits::SPOOL_CAPACITY_BYTES`] by default).
    ///
    /// # Errors
    /// When the file exists or can't be made, or the capacity is below
    /// [`slipway_init::limits::SPOOL_CAPACITY_MIN_BYTES`].
    pub fn create(path: &Path, capacity_bytes: u64) -> Result<Self, SpoolError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path);
        let file =
            file.map_err(|source| SpoolError::File { doing: "create", path: path.to_owned(), source })?;
        Self::new(path, file, 0, capacity_bytes)
    }

    /// Opens the spool of a job that an earlier agent process began. `released` is where reading goes on: a frame's end
    /// offset that the earlier agent noted, or 0.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn open(path: &Path, released: u64, capacity_bytes: u64) -> Result<Self, SpoolError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file =
            file.map_err(|source| SpoolError::File { doing: "open", path: path.to_owned(), source })?;
        Self::new(path, file, released, capacity_bytes)
    }

    fn new(path: &Path, file: File, released: u64, capacity_bytes: u64) -> Result<Self, SpoolError> {
        if capacity_bytes < SPOOL_CAPACITY_MIN_BYTES {
            return Err(SpoolError::TooSmall { capacity_bytes, least_bytes: SPOOL_CAPACITY_MIN_BYTES });
        }
        let shared = Shared {
            path: Mutex::new(path.to_owned()),
            file,
            capacity_bytes,
            progress: watch::Sender::new(Progress { written: released, finished: false }),
            limit: watch::Sender::new(released.saturating_add(capacity_bytes)),
            freed: Mutex::new(Freed { released, punched: 0, supported: true }),
            claims: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A reader that begins at `offset`: 0, or the end offset of a frame.
    pub fn reader(&self, offset: u64) -> SpoolReader {
        SpoolReader::new(Arc::clone(&self.shared), self.shared.progress.subscribe(), offset)
    }

    /// A say in what is released; it holds nothing yet.
    pub fn claim(&self) -> Claim {
        let number = {
            let mut claims = self.claims();
            claims.next += 1;
            claims.next
        };
        let claim = Claim { spool: self.clone(), number };
        claim.let_go();
        claim
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.shared.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logical end of what init has announced.
    pub fn written(&self) -> u64 {
        self.shared.progress.borrow().written
    }

    /// Everything below `up_to` (the end offset of a frame) is no longer needed: gives the space back and lets init go
    /// on. Lower offsets than before do nothing. A short file system call, no waiting.
    ///
    /// # Errors
    /// When the file system refuses for another reason than not having holes.
    pub fn release(&self, up_to: u64) -> Result<(), SpoolError> {
        let mut freed = self.shared.freed.lock().unwrap_or_else(PoisonError::into_inner);
        if up_to <= freed.released {
            return Ok(());
        }
        freed.released = up_to;
        let limit = up_to.saturating_add(self.shared.capacity_bytes);
        self.shared.limit.send_replace(limit);
        let hole_bytes = up_to.saturating_sub(freed.punched);
        if !freed.supported || hole_bytes < PUNCH_MIN_BYTES {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.shared.file, flags, freed.punched, hole_bytes) {
            Ok(()) => freed.punched = up_to,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                freed.supported = false;
                let path = self.shared.path();
                tracing::warn!(path = %path.display(), "the file system cannot free parts of a file; spools grow until their job ends");
            }
            Err(errno) => return Err(self.error("free a part of", errno.into())),
        }
        Ok(())
    }

    /// Tells the readers that init is gone (its container has ended): they return what is left, and then `None`.
    pub fn finish(&self) {
        self.shared.progress.send_modify(|progress| progress.finished = true);
    }

    /// Deletes the file. A file that is gone already is fine.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn delete(&self) -> Result<(), SpoolError> {
        match std::fs::remove_file(self.shared.path()) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(self.error("delete", source)),
            _ => Ok(()),
        }
    }

    /// Its file was moved to this path.
    pub fn moved_to(&self, path: &Path) {
        path.clone_into(&mut self.shared.path.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes over init's announcement. `false` when the file isn't that long.
    pub(super) fn announce(&self, written: u64) -> std::io::Result<bool> {
        if self.shared.file.metadata()?.len() < written {
            return Ok(false);
        }
        self.shared.progress.send_if_modified(|progress| {
            let further = progress.written < written;
            progress.written = progress.written.max(written);
            further
        });
        Ok(true)
    }

    /// The offset up to which init may write, now and whenever it changes.
    pub(super) fn limit(&self) -> watch::Receiver<u64> {
        self.shared.limit.subscribe()
    }

    /// A descriptor for init: it can only write.
    pub(super) fn writer(&self) -> std::io::Result<File> {
        OpenOptions::new().write(true).open(self.shared.path())
    }

    fn error(&self, doing: &'static str, source: std::io::Error) -> SpoolError {
        SpoolError::File { doing, path: self.shared.path(), source }
    }
}

impl Shared {
    pub(super) fn path(&self) -> PathBuf {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_one_of_several_readers_needs_stays() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::create(&folder.path().join("spool"), SPOOL_CAPACITY_MIN_BYTES).unwrap();
        let limit = spool.limit();
        let released = || *limit.borrow() - SPOOL_CAPACITY_MIN_BYTES;
        let (fast, slow, idle) = (spool.claim(), spool.claim(), spool.claim());
        fast.hold(0);
        slow.hold(0);
        fast.release(100).unwrap();
        assert_eq!(released(), 0);
        slow.release(60).unwrap();
        assert_eq!(released(), 60);
        // Who holds nothing has no say.
        idle.release(500).unwrap();
        assert_eq!(released(), 60);
        slow.let_go();
        fast.release(120).unwrap();
        assert_eq!(released(), 120);
        slow.hold(120);
        fast.release(200).unwrap();
        assert_eq!(released(), 120);
        drop(slow);
        fast.release(210).unwrap();
        assert_eq!(released(), 210);
    }
}
