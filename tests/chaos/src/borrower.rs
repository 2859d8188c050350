//! Puts files into the cache and gets them back all the time, as build tools do, through any coordinator. What a name holds
//! follows from the name: whatever comes back must be just that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;

use crate::door::Door;

/// How many names there are. Together they are more than the cache has room for.
const NAMES: u64 = 300;

/// The largest file in bytes: some are part of their entries, some are one chunk, some are several.
const BYTES_MAX: usize = 2 << 20;

/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(60);

/// What came of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Borrowed {
    /// Files that were taken.
    pub(crate) puts: usize,
    /// Files that came back.
    pub(crate) hits: usize,
    /// Files that were not there, or not to be had.
    pub(crate) misses: usize,
    /// Calls to a coordinator that was away.
    pub(crate) unanswered: usize,
    /// Must be nought: bytes that nobody put there under this name.
    pub(crate) wrong: usize,
    /// Must be nought: answers that would fail a build.
    pub(crate) failures: usize,
}

impl Borrowed {
    fn fail(&mut self, method: &str, path: &str, status: u16) {
        eprintln!("the cache answers {method} {path} with {status}");
        self.failures += 1;
    }
}

pub(crate) struct Borrower {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Borrowed>,
}

impl Borrower {
    pub(crate) fn start(door: Door, seed: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || borrow(&door, Rng::with_seed(seed), &stopped));
        Self { stop, thread }
    }

    /// Whether it works still; it ends early only by a panic.
    pub(crate) fn works(&self) -> bool {
        !self.thread.is_finished()
    }

    /// What came of it.
    ///
    /// # Panics
    /// When the borrower did.
    pub(crate) fn close(self) -> Borrowed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the borrower's count is whole")
    }
}

fn borrow(door: &Door, mut random: Rng, stop: &AtomicBool) -> Borrowed {
    let mut borrowed = Borrowed::default();
    while !stop.load(Ordering::Relaxed) {
        let (number, name) = (random.usize(0..door.count()), random.u64(0..NAMES));
        let path = format!("/cache/files/chaos/{name}");
        if random.bool() {
            match door.put(number, &path, &content(name)) {
                None => borrowed.unanswered += 1,
                Some(200..=299) => borrowed.puts += 1,
                Some(status) => borrowed.fail("PUT", &path, status),
            }
        } else {
            match door.fetch(number, &path) {
                None => borrowed.unanswered += 1,
                Some((200, bytes)) if bytes == content(name) => borrowed.hits += 1,
                Some((200, _)) => borrowed.wrong += 1,
                Some((404, _)) => borrowed.misses += 1,
                Some((status, _)) => borrowed.fail("GET", &path, status),
            }
        }
        std::thread::sleep(PAUSE);
    }
    borrowed
}

/// What this name holds: no two files share a chunk, and none can be compressed.
fn content(name: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(name);
    let length = random.usize(0..BYTES_MAX.ilog2() as usize);
    let mut bytes = vec![0; random.usize(1..2 << length)];
    random.fill(&mut bytes);
    bytes
}
