//! What of a job has to be removed from the engine, kept where a clean-up finds it however the job ended.

use std::sync::{Mutex, PoisonError};

/// What was made outside of the job's folder.
#[derive(Debug, Default)]
pub(super) struct Things {
    container: Mutex<Option<String>>,
    network: Mutex<Option<String>>,
}

impl Things {
    pub(super) fn set_container(&self, id: &str) {
        *self.container.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_owned());
    }

    pub(super) fn set_network(&self, name: &str) {
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
    }

    pub(super) fn take_container(&self) -> Option<String> {
        self.container.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_network(&self) -> Option<String> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
