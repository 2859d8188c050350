//! Who wants to know that something about a run changed.
//!
//! A watcher only hears *that*; what, it asks. So a slow one misses nothing and holds up nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_scheduler::RunId;
use tokio::sync::{Notify, watch};

use crate::forge::Place;

/// Watchers by run.
#[derive(Debug, Default)]
pub struct Watchers {
    runs: Mutex<HashMap<RunId, watch::Sender<u64>>>,
    /// What changed; `None`: nobody gathers it.
    changed: Mutex<Option<Changes>>,
    news: Notify,
}

/// What changed. There is never more of it than in the state and the ledger.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Runs.
    pub(crate) runs: BTreeSet<RunId>,
    /// Commits whose sum is told.
    pub(crate) commits: BTreeSet<Place>,
}

impl Watchers {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<u64>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of every change of this run from now on, until the run is retired.
    #[must_use]
    pub fn watch(&self, run: RunId) -> watch::Receiver<u64> {
        let mut runs = self.runs();
        // Runs that nobody watches any more.
        runs.retain(|_, sender| sender.receiver_count() > 0);
        runs.entry(run).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    pub(super) fn changed(&self, run: RunId) {
        if let Some(sender) = self.runs().get(&run) {
            sender.send_modify(|changes| *changes += 1);
        }
        if let Some(changed) = &mut *self.of_all() {
            changed.runs.insert(run);
            self.news.notify_one();
        }
    }

    /// A commit's sum may be another.
    pub(super) fn touched(&self, place: Place) {
        if let Some(changed) = &mut *self.of_all() {
            changed.commits.insert(place);
            self.news.notify_one();
        }
    }

    fn of_all(&self) -> MutexGuard<'_, Option<Changes>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers what changes from now on, for the one who asks [`Watchers::gathered`].
    pub(super) fn gather(&self) {
        self.of_all().get_or_insert_default();
    }

    /// What changed since this was asked last.
    pub(super) fn gathered(&self) -> Changes {
        self.of_all().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Waits until something changed.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn retired(&self, run: RunId) {
        self.runs().remove(&run);
        if let Some(changed) = &mut *self.of_all() {
            changed.runs.insert(run);
            self.news.notify_one();
        }
    }
}
