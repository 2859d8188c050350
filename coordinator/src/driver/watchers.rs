//! Who wants to know that something about a run changed.
//!
//! A watcher only hears *that*; what, it asks. So a slow one misses nothing and holds up nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_scheduler::RunId;
use tokio::sync::{Notify, watch};

/// Watchers by run.
#[derive(Debug, Default)]
pub struct Watchers {
    runs: Mutex<HashMap<RunId, watch::Sender<u64>>>,
    /// Runs that changed; `None`: nobody gathers them. There are never more than runs in the state.
    changed: Mutex<Option<BTreeSet<RunId>>>,
    news: Notify,
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
            changed.insert(run);
            self.news.notify_one();
        }
    }

    fn of_all(&self) -> MutexGuard<'_, Option<BTreeSet<RunId>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers the runs that change from now on, for the one who asks [`Watchers::gathered`].
    pub(super) fn gather(&self) {
        self.of_all().get_or_insert_default();
    }

    /// The runs that changed since this was asked last.
    pub(super) fn gathered(&self) -> BTreeSet<RunId> {
        self.of_all().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Waits until some run changed.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn retired(&self, run: RunId) {
        self.runs().remove(&run);
        if let Some(changed) = &mut *self.of_all() {
            changed.insert(run);
            self.news.notify_one();
        }
    }
}
