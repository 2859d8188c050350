//! What a coordinator adds to any engine: its watermark, which shows a journal that lost something, and retention.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::watermark::{Loss, Watermark};
use super::{Address, Entry, Hash, Journal, JournalError, Leader, Mark, PRUNE_BATCH, Record, Snapshot};

/// How often the watermark is written at most.
const WATERMARK_EVERY: Duration = Duration::from_secs(1);

/// How many batches are pruned after a snapshot at most. More than come between two snapshots, so that it keeps up, and few
/// enough that nobody waits for long.
const PRUNE_BATCHES: usize = 8;

/// A journal whose end is remembered in a file.
pub(super) struct Watched {
    inner: Box<dyn Journal>,
    path: PathBuf,
    watermark: Watermark,
    written: Option<Instant>,
    /// For how long records are kept; `None`: for ever.
    keep: Option<Duration>,
    /// The time of the newest entry appended, Unix milliseconds: what retention counts from. No clock is read here.
    newest_ms: u64,
}

impl Watched {
    /// Compares the journal with what the file at `path` remembers of it.
    ///
    /// # Errors
    /// [`JournalError::Lost`] with `place` when something is missing.
    pub(super) fn open(
        mut inner: Box<dyn Journal>,
        place: &str,
        path: PathBuf,
        keep: Option<Duration>,
    ) -> Result<Self, JournalError> {
        let watermark = Watermark::load(&path).unwrap_or_else(|error| {
            let file = path.display();
            tracing::warn!(%file, %error, "what this coordinator saw of the journal cannot be read; it is not compared");
            Watermark::default()
        });
        if let Some(Loss { known, found, .. }) = watermark.loss(&mut *inner)? {
            return Err(JournalError::Lost { place: place.to_owned(), known, found });
        }
        Ok(Self { inner, path, watermark, written: None, keep, newest_ms: 0 })
    }

    /// Remembers how far the journal was seen.
    fn note<T>(&mut self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        match &result {
            Ok(_) if self.written.is_some_and(|written| written.elapsed() < WATERMARK_EVERY) => {}
            Ok(_) => self.write(false),
            // The next start has to know of it, however soon it comes.
            Err(JournalError::Lost { .. }) => self.write(true),
            Err(_) => {}
        }
        result
    }

    fn write(&mut self, durable: bool) {
        let head = self.inner.head();
        if head.position <= self.watermark.position() && !durable {
            return;
        }
        self.watermark.add(head);
        self.written = Some(Instant::now());
        if let Err(error) = self.watermark.save(&self.path, durable) {
            tracing::warn!(file = %self.path.display(), %error, "how far the journal was seen cannot be written");
        }
    }

    /// Removes what is older than is to be kept.
    fn prune_old(&mut self) {
        let Some(keep) = self.keep else { return };
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let older_than_ms = self.newest_ms.saturating_sub(keep_ms);
        for _ in 0..PRUNE_BATCHES {
            match self.inner.prune(u64::MAX, older_than_ms) {
                Ok(gone) if gone == PRUNE_BATCH as u64 => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(%error, "old records could not be removed"),
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.write(true);
    }
}

impl Journal for Watched {
    fn leader(&mut self) -> Result<Leader, JournalError> {
        let leader = self.inner.leader();
        if let Ok(leader) = &leader {
            self.watermark.epoch = self.watermark.epoch.max(leader.epoch);
        }
        self.note(leader)
    }

    fn take_over(&mut self, seen: u64, address: &Address) -> Result<Option<u64>, JournalError> {
        let taken = self.inner.take_over(seen, address);
        if let Ok(Some(epoch)) = taken {
            self.watermark.epoch = self.watermark.epoch.max(epoch);
        }
        self.note(taken)
    }

    fn wait(&mut self, position: u64, patience: Duration) -> Result<(), JournalError> {
        let waited = self.inner.wait(position, patience);
        self.note(waited)
    }

    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        let appended = self.inner.append(epoch, entries);
        if let (Ok(_), Some(last)) = (&appended, entries.last()) {
            self.newest_ms = last.time_ms;
        }
        self.note(appended)
    }

    fn head(&self) -> Mark {
        self.inner.head()
    }

    fn anchor(&self) -> Mark {
        self.inner.anchor()
    }

    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        self.inner.hash(position)
    }

    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        let read = self.inner.read_few(position, most);
        self.note(read)
    }

    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        let imported = self.inner.import(records, epoch);
        self.note(imported)
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.inner.save_snapshot(snapshot)?;
        self.prune_old();
        Ok(())
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        self.inner.snapshots()
    }

    fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError> {
        self.inner.prune(before, older_than_ms)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::journal::memory::MemoryJournal;
    use crate::journal::watermark::WATERMARK_FILE;
    use crate::journal::{lead, verify};

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    fn watched(inner: &MemoryJournal, folder: &tempfile::TempDir, keep_days: Option<u64>) -> Watched {
        let keep = keep_days.map(|days| Duration::from_millis(days * DAY_MS));
        Watched::open(Box::new(inner.clone()), "memory", folder.path().join(WATERMARK_FILE), keep).unwrap()
    }

    /// A record a day from day 1 on, and a snapshot after each tenth.
    fn fill(journal: &mut Watched, days: u64) {
        let epoch = lead(journal, &Address::default()).unwrap();
        for day in 1..=days {
            let end = journal.append(epoch, &[Entry { time_ms: day * DAY_MS, payload: vec![1] }]).unwrap();
            if end.is_multiple_of(10) {
                journal.save_snapshot(&Snapshot::pack(end, 1, b"state").unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn what_is_older_than_its_retention_goes_with_the_next_snapshot() {
        let (inner, folder) = (MemoryJournal::new(), tempfile::tempdir().unwrap());
        let mut journal = watched(&inner, &folder, Some(30));
        fill(&mut journal, 100);
        assert_eq!(journal.anchor().position, 69, "30 days before day 100");
        assert_eq!(verify(&mut journal).unwrap(), 31);
        let (inner, folder) = (MemoryJournal::new(), tempfile::tempdir().unwrap());
        let mut journal = watched(&inner, &folder, None);
        fill(&mut journal, 100);
        assert_eq!(journal.anchor().position, 0, "without retention everything stays");
    }

    #[test]
    fn the_end_is_remembered_when_it_stops_and_when_it_is_lost() {
        let (inner, folder) = (MemoryJournal::new(), tempfile::tempdir().unwrap());
        let mut journal = watched(&inner, &folder, None);
        fill(&mut journal, 7);
        drop(journal);
        let path = folder.path().join(WATERMARK_FILE);
        let watermark = Watermark::load(&path).unwrap();
        assert_eq!((watermark.position(), watermark.epoch), (7, 1));
        drop(watched(&inner, &folder, None));
        let other = Watched::open(Box::new(MemoryJournal::new()), "memory", path, None);
        assert!(matches!(other.err().unwrap(), JournalError::Lost { known: 7, found: 0, .. }));
    }
}
