//! Keeping house, for whoever administers it.

use std::time::Duration;

use super::Results;
use super::error::ResultsError;
use super::index::{Unused, Usage};
use super::limits::{SWEEP_STEP, USAGE_LISTED_MAX};

impl Results {
    /// What each repository has, those with most bytes first.
    ///
    /// # Errors
    /// [`ResultsError::Failed`].
    pub(crate) async fn usage(&self) -> Result<Vec<Usage>, ResultsError> {
        self.0.index.usage(USAGE_LISTED_MAX).await
    }

    /// Removes the cache entries that nobody used for so long; a dry run only counts.
    ///
    /// # Errors
    /// [`ResultsError::Failed`].
    pub(crate) async fn prune_caches(&self, unused: Duration, dry_run: bool) -> Result<Unused, ResultsError> {
        let unused_ms = u64::try_from(unused.as_millis()).unwrap_or(u64::MAX);
        let since_ms = self.now_ms().saturating_sub(unused_ms);
        let counted = self.0.index.count_unused(since_ms).await?;
        if dry_run {
            return Ok(counted);
        }
        loop {
            let over = self.0.index.unused_caches(since_ms, SWEEP_STEP).await?;
            if over.is_empty() {
                return Ok(counted);
            }
            self.remove(over).await?;
        }
    }
}
