//! Keeping house: what the cache holds, what nobody uses any more, and whether all of it is whole.

use serde::Serialize;
use slipway_cas::cache::blobs::{Pruned, Scrubbed, prune};
use slipway_cas::cache::{CacheError, Stats};

use super::Cache;

/// What there is to say about the cache for build tools.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CacheState {
    /// `disk`, `redis` or `off`.
    pub(crate) place: &'static str,
    /// Whether what backs it answers.
    pub(crate) up: bool,
    /// Figures since the coordinator started; none while it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) figures: Option<Figures>,
}

/// [`Stats`], as the API has them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// Values held, where that is known without looking at each.
    values: Option<u64>,
    /// Bytes held.
    stored_bytes: Option<u64>,
    hits: u64,
    misses: u64,
    /// Of those asked for, the share that was there; none were asked for: null.
    hit_rate: Option<f64>,
    puts: u64,
    evicted: u64,
    damaged: u64,
    refused_reads: u64,
    dropped_writes: u64,
}

impl From<Stats> for Figures {
    fn from(stats: Stats) -> Self {
        let asked = stats.hits.saturating_add(stats.misses);
        Self {
            values: stats.values,
            stored_bytes: stats.stored_bytes,
            hits: stats.hits,
            misses: stats.misses,
            hit_rate: (asked > 0).then(|| stats.hits as f64 / asked as f64),
            puts: stats.puts,
            evicted: stats.evicted,
            damaged: stats.damaged,
            refused_reads: stats.refused_reads,
            dropped_writes: stats.dropped_writes,
        }
    }
}

impl CacheState {
    /// There is no cache.
    pub(crate) const OFF: Self = Self { place: "off", up: false, figures: None };
}

impl Cache {
    /// What there is to say about it.
    pub(crate) async fn state(&self) -> CacheState {
        let place = if self.redis.is_some() { "redis" } else { "disk" };
        CacheState { place, up: self.is_up(), figures: self.stats().await.map(Figures::from) }
    }

    /// Removes what was not used for so many seconds, of everybody; a dry run only counts.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub(crate) async fn prune(&self, idle_s: u64, dry_run: bool) -> Result<Pruned, CacheError> {
        prune(&*self.engine, idle_s, dry_run).await
    }

    /// Reads and checks everything, and removes what is damaged or lists what is gone. It takes as long as reading all of it does.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub(crate) async fn check(&self) -> Result<Scrubbed, CacheError> {
        self.blobs.scrub().await
    }
}
