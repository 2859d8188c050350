//! Moving the write-ahead log into the file, beside the thread that appends.
//!
//! SQLite's own way is that the commit which makes the log too long also moves all of it and syncs the file: some 10 ms in which
//! nothing is decided, a dozen times as long as an append, and under load every hundredth job waits for it. Here a second
//! connection moves it meanwhile. The log can begin anew only when all of it was moved, which while records keep coming is never
//! so; then the appending connection moves the last few pages itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

/// Pages (of 4 KiB) that come to the log before it is moved again. Most pages are in the log several times and are moved once, so
/// that fewer moves are less work.
const MOVE_PAGES: u32 = 4_000;

/// Pages in the log from which on it is to begin anew: 64 MiB.
const RESTART_PAGES: u32 = 16_000;

/// Pages in the log from which on the appending connection moves all of it, whatever the other one does: 256 MiB.
const MOST_PAGES: u32 = 64_000;

/// What the two connections know of the log.
#[derive(Debug, Default)]
struct Log {
    /// Pages in it after the last commit.
    pages: AtomicU32,
    /// From how many on it is moved.
    next: AtomicU32,
    /// It is long, and nearly all of it was moved.
    nearly_moved: AtomicBool,
    /// Nothing more is to be moved.
    stopped: AtomicBool,
}

/// The second connection, in a thread of its own that ends with this.
#[derive(Debug)]
pub(super) struct Checkpoints {
    log: Arc<Log>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Takes the moving of the log from a connection.
    ///
    /// # Errors
    /// When the file cannot be opened a second time.
    pub(super) fn start(appending: &mut Connection, path: &Path) -> rusqlite::Result<Self> {
        let log = Arc::new(Log { next: AtomicU32::new(MOVE_PAGES), ..Log::default() });
        let moving = crate::sqlite::open(path)?;
        // One word waits at most: who is busy with the log will see all of it.
        let (wake, woken) = sync_channel(1);
        let (shared, waker) = (Arc::clone(&log), wake.clone());
        appending.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            let pages = u32::try_from(pages).unwrap_or(0);
            shared.pages.store(pages, Ordering::Relaxed);
            if pages >= shared.next.load(Ordering::Relaxed) {
                let _ = waker.try_send(());
            }
            Ok(())
        }))?;
        let shared = Arc::clone(&log);
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        // Without it the appending connection moves the log when it is longest.
        let thread = thread.spawn(move || move_log(&moving, &woken, &shared)).ok();
        Ok(Self { log, wake, thread })
    }

    /// After a commit: moves the rest of a log that is to begin anew.
    pub(super) fn finish(&self, appending: &Connection) {
        let longest = self.log.pages.load(Ordering::Relaxed) >= MOST_PAGES;
        if self.log.nearly_moved.swap(false, Ordering::Relaxed) || longest {
            match moved(appending) {
                // The next commit begins at the log's beginning.
                Ok(Moved { all: true, .. }) => self.log.next.store(MOVE_PAGES, Ordering::Relaxed),
                // The other connection is at it.
                Ok(Moved { all: false, .. }) => {}
                Err(error) => tracing::warn!(%error, "the journal's log is not moved"),
            }
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.log.stopped.store(true, Ordering::Relaxed);
        // The other end of the hook lives on with its connection. Where a word waits already, that one wakes the thread.
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            // It panicked or not: the log is moved at the next start.
            let _ = thread.join();
        }
    }
}

fn move_log(moving: &Connection, woken: &Receiver<()>, log: &Log) {
    while woken.recv().is_ok() && !log.stopped.load(Ordering::Relaxed) {
        match moved(moving) {
            Ok(Moved { pages, .. }) => {
                log.next.store(pages.saturating_add(MOVE_PAGES), Ordering::Relaxed);
                if pages >= RESTART_PAGES {
                    log.nearly_moved.store(true, Ordering::Relaxed);
                }
            }
            // A disk that is full or gone stops the appends themselves; the log waits.
            Err(error) => tracing::warn!(%error, "the journal's log is not moved"),
        }
    }
}

struct Moved {
    /// How many pages the log had.
    pages: u32,
    /// All of them are in the file.
    all: bool,
}

/// Moves what is in the log, as far as nobody reads it, and waits for nobody.
fn moved(connection: &Connection) -> rusqlite::Result<Moved> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, pages, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Moved { pages: u32::try_from(pages).unwrap_or(0), all: busy == 0 && pages == moved })
    })
}
