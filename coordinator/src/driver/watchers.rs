//! Who wants to know that something about a run changed.
//!
//! A watcher only hears *that*; what, it asks. So a slow one misses nothing and holds up nobody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_scheduler::RunId;
use tokio::sync::watch;

/// Watchers by run.
#[derive(Debug, Default)]
pub struct Watchers {
    runs: Mutex<HashMap<RunId, watch::Sender<u64>>>,
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
    }

    pub(super) fn retired(&self, run: RunId) {
        self.runs().remove(&run);
    }
}
