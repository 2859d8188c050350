//! The way from the driver to the projections: entries that have just become durable.
//!
//! Invariant: the driver never waits here and never copies. What finds no room is left out, and whoever makes the projections
//! sees the gap and reads it from the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::limits::{FEED_BATCHES, FEED_BYTES};
use crate::journal::{Entry, Mark};

/// A batch that the driver appended.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The journal's end before it.
    pub before: Mark,
    /// Its last record.
    pub after: Mark,
    /// What was appended, in order.
    pub entries: Vec<Entry>,
}

impl Committed {
    fn size_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.payload.len()).sum()
    }
}

/// The driver's end.
#[derive(Debug)]
pub struct Tap {
    sender: mpsc::Sender<Committed>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// The other end.
#[derive(Debug)]
pub struct Feed {
    receiver: mpsc::Receiver<Committed>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// Both ends.
#[must_use]
pub fn feed() -> (Tap, Feed) {
    let (sender, receiver) = mpsc::channel(FEED_BATCHES);
    let waiting_bytes = Arc::<AtomicUsize>::default();
    (Tap { sender, waiting_bytes: Arc::clone(&waiting_bytes) }, Feed { receiver, waiting_bytes })
}

impl Tap {
    /// Hands a batch over, or lets it go when there is no room. A batch is always taken when nothing waits, so that whoever
    /// reads wakes up.
    pub fn offer(&self, batch: Committed) {
        let size_bytes = batch.size_bytes();
        let waiting = self.waiting_bytes.fetch_add(size_bytes, Ordering::AcqRel);
        let fits = waiting == 0 || waiting + size_bytes <= FEED_BYTES;
        if !fits || self.sender.try_send(batch).is_err() {
            self.waiting_bytes.fetch_sub(size_bytes, Ordering::AcqRel);
        }
    }
}

impl Feed {
    /// The next batch; `None`: the driver is gone.
    pub async fn next(&mut self) -> Option<Committed> {
        let batch = self.receiver.recv().await?;
        self.waiting_bytes.fetch_sub(batch.size_bytes(), Ordering::AcqRel);
        Some(batch)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// A batch that waits already.
    pub fn waiting(&mut self) -> Option<Committed> {
        let batch = self.receiver.try_recv().ok()?;
        self.waiting_bytes.fetch_sub(batch.size_bytes(), Ordering::AcqRel);
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bytes: usize) -> Committed {
        let entries = vec![Entry { time_ms: 1, payload: vec![0; bytes] }];
        Committed { before: Mark::BEGINNING, after: Mark::BEGINNING, entries }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_left_out() {
        let (tap, mut feed) = feed();
        tap.offer(batch(2 * FEED_BYTES));
        tap.offer(batch(1));
        assert_eq!(feed.next().await.map(|batch| batch.size_bytes()), Some(2 * FEED_BYTES));
        assert!(feed.waiting().is_none(), "nothing beside one that fills it");
        for _ in 0..2 * FEED_BATCHES {
            tap.offer(batch(1));
        }
        assert_eq!(std::iter::from_fn(|| feed.waiting()).count(), FEED_BATCHES);
        tap.offer(batch(FEED_BYTES));
        assert!(feed.waiting().is_some(), "room that was given back is room again");
        drop(tap);
        assert!(feed.next().await.is_none());
    }
}
