//! What is over goes: uploads of jobs that ended, expired artifacts, cache entries that nobody used or that are too many.

use super::Results;
use super::error::ResultsError;
use super::limits::{CACHE_REPOSITORY_MAX_BYTES, CACHE_UNUSED, SWEEP_EVERY, SWEEP_STEP, TIDY_EVERY};
use crate::options::CacheQuota;

/// Sweeps for as long as the coordinator runs.
pub(crate) async fn run(results: Results, quota: CacheQuota) {
    let mut due = tokio::time::interval(SWEEP_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Again and again: what another coordinator's crash left is too young when this one begins to lead.
    let mut tidied: Option<tokio::time::Instant> = None;
    loop {
        due.tick().await;
        if tidied.is_none_or(|tidied| tidied.elapsed() >= TIDY_EVERY) {
            tidied = Some(tokio::time::Instant::now());
            if let Err(error) = results.tidy_if_shared().await {
                tracing::warn!(%error, "bytes of caches and artifacts that nobody names stay for now");
            }
        }
        if let Err(error) = results.sweep(quota.actions_bytes(CACHE_REPOSITORY_MAX_BYTES)).await {
            tracing::warn!(%error, "old caches and artifacts could not be removed");
        }
    }
}

impl Results {
    /// Removes all that is over now.
    ///
    /// # Errors
    /// [`ResultsError::Failed`].
    pub async fn sweep(&self, allowed_bytes: u64) -> Result<(), ResultsError> {
        let index = &self.0.index;
        let is_live = self.is_live();
        let mut after = 0;
        loop {
            let unfinished = index.unfinished(after, SWEEP_STEP).await?;
            let Some((last, _)) = unfinished.last() else { break };
            after = *last;
            let over = unfinished.into_iter().filter(|(_, lease)| !is_live(lease));
            self.remove(over.map(|(id, _)| id).collect()).await?;
        }
        loop {
            let now_ms = self.now_ms();
            let unused_ms = u64::try_from(CACHE_UNUSED.as_millis()).unwrap_or(u64::MAX);
            let mut over = index.expired_artifacts(now_ms, SWEEP_STEP).await?;
            over.extend(index.unused_caches(now_ms.saturating_sub(unused_ms), SWEEP_STEP).await?);
            over.extend(index.surplus_caches(allowed_bytes, SWEEP_STEP).await?);
            if over.is_empty() {
                return Ok(());
            }
            self.remove(over).await?;
        }
    }
}
