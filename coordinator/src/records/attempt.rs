//! One attempt's record stream: append, make durable in groups, tell how far it is.
//!
//! Appending puts a batch into memory and returns; a task of the attempt's own makes durable what waits, all of it at a
//! time, when the engine's pace says so. Until then it is kept here, bounded, and readers see it at once: the live tail
//! runs ahead of durability, and of a reader nobody knows here. The agent keeps what is not acknowledged, so what a crash
//! takes from this memory comes again, under the same numbers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slipway_cas::Digest;
use slipway_wire::record_digest::RecordDigest;
use slipway_wire::records::Records;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::chunk::{self, Frame};
use super::engine::{Appender, Engine, Opened};
use super::limits::{MAX_ATTEMPT_BYTES, PENDING_MAX_BYTES, READ_BYTES};
use super::{AttemptKey, RecordsError};

/// Memory for what is not durable is handed out in units of this many bytes.
pub(super) const MEMORY_UNIT_BYTES: usize = 1_024;

/// How far an attempt's records are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All records up to this number are durable.
    pub durable: u64,
    /// All up to this number came.
    pub written: u64,
    /// Nothing more comes: a write failed, and the log has to be opened again.
    pub broken: bool,
}

/// One attempt's record stream; clones are the same stream.
#[derive(Debug, Clone)]
pub struct AttemptLog {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) key: AttemptKey,
    pub(super) engine: Arc<dyn Engine>,
    memory: Arc<Semaphore>,
    tail: Mutex<Tail>,
    progress: watch::Sender<Progress>,
    /// Wakes the task that waits for its pace.
    hurry: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("key", &self.key).field("progress", &*self.progress.borrow()).finish()
    }
}

/// What came and is not durable.
struct Waiting {
    frame: Frame,
    since: Instant,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Where the next batch goes.
struct Tail {
    /// None while a task makes something durable.
    appender: Option<Box<dyn Appender>>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Number of the next record.
    next: u64,
    /// Bytes of all chunks.
    total_bytes: u64,
    /// Of all records before `next`; unknown of what an earlier process took.
    digest: Option<RecordDigest>,
    /// A task makes things durable.
    working: bool,
    /// What waits is to be made durable whatever the pace is.
    hurried: bool,
    broken: bool,
    closed: bool,
}

impl AttemptLog {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        key: AttemptKey,
        memory: Arc<Semaphore>,
        opened: Opened,
        closed: bool,
    ) -> Self {
        let Opened { appender, next, total_bytes } = opened;
        let tail = Tail {
            appender: Some(appender),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            next,
            total_bytes,
            digest: (next == 1).then(RecordDigest::new),
            working: false,
            hurried: false,
            broken: false,
            closed,
        };
        let progress = watch::Sender::new(Progress { durable: next - 1, written: next - 1, broken: false });
        let tail = Mutex::new(tail);
        Self { shared: Arc::new(Shared { key, engine, memory, tail, progress, hurry: Notify::new() }) }
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

    /// The highest number that came, durable or not yet.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.tail().next - 1
    }

    /// Digest of all records that came; none where an earlier process took some of them.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.shared.tail().digest.as_ref().map(RecordDigest::digest)
    }

    /// Appends a batch whose first record has number `first`; records that are there already are left out. Readers see
    /// them when this returns, and they are durable when [`AttemptLog::progress`] says so. Waits while too much is not
    /// durable yet.
    ///
    /// # Errors
    /// [`RecordsError::Gap`] when records are missing before `first`, [`RecordsError::Zero`],
    /// [`RecordsError::TooLong`], [`RecordsError::Closed`], [`RecordsError::Broken`].
    pub async fn append(&self, first: u64, records: impl Into<Records>) -> Result<(), RecordsError> {
        let mut records = records.into();
        if first == 0 {
            return Err(RecordsError::Zero);
        }
        if records.is_empty() {
            return Ok(());
        }
        self.room().await;
        let units = records.bytes().len().div_ceil(MEMORY_UNIT_BYTES).max(1) as u32;
        let memory = Arc::clone(&self.shared.memory).acquire_many_owned(units).await.ok();
        let mut tail = self.shared.tail();
        if tail.broken {
            return Err(RecordsError::Broken);
        }
        if tail.closed {
            return Err(RecordsError::Closed);
        }
        let next = tail.next;
        if first > next {
            return Err(RecordsError::Gap { first, next });
        }
        let known = usize::try_from(next - first).unwrap_or(usize::MAX);
        if known > 0 {
            records.take_front(known, usize::MAX);
        }
        if records.is_empty() {
            return Ok(());
        }
        let frame = chunk::encode(next, &records)?;
        let total_bytes = tail.total_bytes + frame.whole_bytes() as u64;
        if total_bytes > MAX_ATTEMPT_BYTES {
            return Err(RecordsError::TooLong {
                what: "an attempt's records",
                size_bytes: total_bytes,
                limit_bytes: MAX_ATTEMPT_BYTES,
            });
        }
        if let Some(digest) = &mut tail.digest {
            digest.push_delimited(&frame.records);
        }
        tail.next += u64::from(frame.count);
        tail.total_bytes = total_bytes;
        tail.waiting_bytes += frame.whole_bytes();
        tail.waiting.push_back(Waiting { frame, since: Instant::now(), _memory: memory });
        let written = tail.next - 1;
        let start = !std::mem::replace(&mut tail.working, true);
        let full = tail.waiting_bytes >= self.shared.engine.pace().bytes;
        drop(tail);
        self.shared.progress.send_modify(|progress| progress.written = written);
        if start {
            tokio::spawn(work(Arc::clone(&self.shared)));
        } else if full {
            self.shared.hurry.notify_one();
        }
        Ok(())
    }

    /// Makes what came durable now, whatever the engine's pace is.
    pub fn flush(&self) {
        let mut tail = self.shared.tail();
        if !tail.waiting.is_empty() {
            tail.hurried = true;
            self.shared.hurry.notify_one();
        }
    }

    /// Takes nothing more, and waits until all that came is durable, or failed.
    pub(super) async fn close(&self) -> Progress {
        self.shared.tail().closed = true;
        self.flush();
        let mut progress = self.progress();
        let settled =
            progress.wait_for(|progress| progress.durable >= progress.written || progress.broken).await;
        settled.map_or_else(|_| Progress::default(), |progress| *progress)
    }

    async fn room(&self) {
        let mut progress = self.progress();
        while self.shared.tail().waiting_bytes >= PENDING_MAX_BYTES && progress.changed().await.is_ok() {}
    }
}

/// Makes durable what waits, until nothing does.
async fn work(shared: Arc<Shared>) {
    let pace = shared.engine.pace();
    loop {
        if !pace.age.is_zero() {
            shared.wait_for_pace(pace.bytes, pace.age).await;
        }
        let (mut appender, frames) = {
            let mut tail = shared.tail();
            let nothing = tail.waiting.is_empty() || tail.broken;
            let Some(appender) = tail.appender.take_if(|_| !nothing) else {
                tail.working = false;
                return;
            };
            let mut size_bytes = 0;
            let frames = tail.waiting.iter().map(|waiting| &waiting.frame);
            let frames = frames.take_while(|frame| {
                let fits = size_bytes < pace.bytes;
                size_bytes += frame.whole_bytes();
                fits
            });
            (appender, frames.cloned().collect::<Vec<_>>())
        };
        match appender.append(&frames).await {
            Ok(durable) => shared.is_durable(durable, appender),
            Err(error) => {
                tracing::error!(%error, "an attempt's records cannot be made durable");
                shared.give_up();
            }
        }
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.tail().broken
    }

    async fn wait_for_pace(&self, bytes: usize, age: Duration) {
        loop {
            let due = {
                let mut tail = self.tail();
                let Some(oldest) = tail.waiting.front().map(|waiting| waiting.since) else { return };
                if tail.waiting_bytes >= bytes || std::mem::take(&mut tail.hurried) {
                    return;
                }
                oldest + age
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.hurry.notified() => {}
            }
        }
    }

    fn is_durable(&self, durable: u64, appender: Box<dyn Appender>) {
        let mut tail = self.tail();
        tail.appender = Some(appender);
        while let Some(waiting) = tail.waiting.pop_front() {
            if waiting.frame.last() <= durable {
                tail.waiting_bytes = tail.waiting_bytes.saturating_sub(waiting.frame.whole_bytes());
                continue;
            }
            // Another writer's chunk may end in the middle of a frame of ours.
            if let Some(frame) = waiting.frame.after(durable) {
                tail.waiting_bytes =
                    (tail.waiting_bytes + frame.whole_bytes()).saturating_sub(waiting.frame.whole_bytes());
                tail.waiting.push_front(Waiting { frame, ..waiting });
            }
            break;
        }
        if durable >= tail.next {
            // It had more than came here.
            tail.next = durable + 1;
            tail.digest = None;
        }
        let written = tail.next - 1;
        drop(tail);
        self.progress.send_modify(|progress| {
            progress.durable = progress.durable.max(durable);
            progress.written = progress.written.max(written);
        });
    }

    fn give_up(&self) {
        let mut tail = self.tail();
        tail.broken = true;
        tail.waiting.clear();
        tail.waiting_bytes = 0;
        drop(tail);
        self.progress.send_modify(|progress| progress.broken = true);
    }

    /// Frames from the one with record `wanted` on that are only here yet; none when that record is durable or did not come.
    pub(super) fn recent(&self, wanted: u64) -> Vec<Frame> {
        let tail = self.tail();
        let mut size_bytes = 0;
        let covers = tail.waiting.front().is_some_and(|oldest| oldest.frame.first <= wanted);
        let frames = tail.waiting.iter().map(|waiting| &waiting.frame);
        let frames = frames.skip_while(|frame| frame.last() < wanted).take_while(|frame| {
            let fits = size_bytes < READ_BYTES;
            size_bytes += frame.whole_bytes();
            fits
        });
        if covers { frames.cloned().collect() } else { Vec::new() }
    }
}
