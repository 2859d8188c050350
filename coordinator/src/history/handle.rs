//! Asking for a rebuild and hearing how far it is; and asking what the tables say.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::feed::{self, Feed, Tap};
use super::reader::{AskError, Reader};
use super::tables::{Row, Statement};

/// How far a rebuild is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The last position of the journal that the tables have.
    pub position: u64,
    /// Where the journal ended when the rebuild began.
    pub end: u64,
    /// What there is, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Counts>,
    /// Why it is held up; it goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Progress {
    /// Whether nothing more is told.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.done.is_some() || self.error.is_some()
    }
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Runs.
    pub runs: u64,
    /// Jobs.
    pub jobs: u64,
    /// Attempts.
    pub attempts: u64,
    /// Steps.
    pub steps: u64,
    /// Entries of the audit trail.
    pub audit: u64,
    /// Attempts that had records and have no steps: their logs were removed before their steps were projected.
    pub attempts_without_steps: u64,
    /// Test cases.
    pub tests: u64,
}

/// Why no rebuild begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// One goes on.
    #[error("a rebuild goes on already; wait for its end")]
    Busy,
    /// Nothing is projected here.
    #[error("this coordinator makes no projections")]
    Off,
}

/// A rebuild that was asked for. There is one at a time.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) progress: watch::Sender<Progress>,
    _only: OwnedSemaphorePermit,
}

/// What hears of a rebuild's progress.
pub type Rebuilding = watch::Receiver<Progress>;

/// Asks for rebuilds, and for what there is; cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    orders: Option<mpsc::Sender<Order>>,
    only: Arc<Semaphore>,
    reader: Reader,
}

/// What the projections' task works with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) feed: Feed,
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// The ends of everything, for a coordinator that makes projections.
pub(crate) fn parts(reader: Reader) -> (History, Tap, Parts) {
    let (tap, feed) = feed::feed();
    let (sender, orders) = mpsc::channel(1);
    (History { orders: Some(sender), only: Arc::new(Semaphore::new(1)), reader }, tap, Parts { feed, orders })
}

impl History {
    /// Of a coordinator that makes no projections.
    #[must_use]
    pub fn off() -> Self {
        Self { orders: None, only: Arc::new(Semaphore::new(0)), reader: Reader::off() }
    }

    /// The rows of a statement whose columns are `bigint` or `text`, as they are now.
    ///
    /// # Errors
    /// [`AskError`].
    pub(crate) async fn ask(&self, statement: Statement) -> Result<Vec<Row>, AskError> {
        self.reader.rows(statement).await
    }

    /// Has all rows made again that the journal still has the entries of.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub fn rebuild(&self) -> Result<Rebuilding, RebuildError> {
        let orders = self.orders.as_ref().ok_or(RebuildError::Off)?;
        let only = Arc::clone(&self.only).try_acquire_owned().map_err(|_| RebuildError::Busy)?;
        let (told, progress) = watch::channel(Progress { position: 0, end: 0, done: None, error: None });
        // There is room: nobody else has the permit.
        orders.try_send(Order { progress: told, _only: only }).map_err(|_| RebuildError::Off)?;
        Ok(progress)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_rebuild_goes_on_at_a_time() {
        let (history, _tap, mut parts) = parts(Reader::off());
        let first = history.rebuild().unwrap();
        assert_eq!(history.rebuild().unwrap_err(), RebuildError::Busy);
        let order = parts.orders.try_recv().unwrap();
        assert_eq!(history.clone().rebuild().unwrap_err(), RebuildError::Busy, "it goes on still");
        drop(order);
        assert!(first.has_changed().is_err(), "whoever waits hears that nothing more comes");
        history.rebuild().unwrap();
        drop(parts);
        let (history, _, parts) = super::parts(Reader::off());
        drop(parts);
        assert_eq!(history.rebuild().unwrap_err(), RebuildError::Off);
        assert_eq!(History::off().rebuild().unwrap_err(), RebuildError::Off);
    }
}
