//! One job's connection to the coordinator's cache.

use std::sync::{PoisonError, RwLock};

use crate::coordinator::{CacheClient, Coordinator};

/// A connection that is made anew when it failed: the leader may be another coordinator then.
pub(super) struct Line {
    coordinator: Coordinator,
    client: RwLock<CacheClient>,
}

impl Line {
    pub(super) fn new(coordinator: &Coordinator) -> Self {
        let client = RwLock::new(coordinator.job_cache());
        Self { coordinator: coordinator.clone(), client }
    }

    /// A client over it.
    pub(super) fn client(&self) -> CacheClient {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client over a new one.
    pub(super) fn anew(&self) -> CacheClient {
        let client = self.coordinator.job_cache();
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client.clone();
        client
    }
}
