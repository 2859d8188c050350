//! What the leader does for the cache from time to time: hold quotas where the engine does not by itself, and remove what
//! nobody used for long from the object store behind it.

use std::time::Duration;

use slipway_cas::cache::EngineError;
use slipway_cas::cache::holdings::hold;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Cache;
use super::backing::quotas;

/// How often all values are walked over where quotas are to be held.
const WALK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long a walk waits between its steps of some hundred values, so that whoever reads and writes does not wait for it.
const WALK_PAUSE: Duration = Duration::from_millis(2);
/// How often the object store is looked through for what is over.
const FORGET_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// Keeps house for as long as this coordinator leads.
pub(crate) async fn keep(cache: Cache) {
    let mut due = interval(WALK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forgot: Option<Instant> = None;
    loop {
        due.tick().await;
        if let Err(error) = cache.hold_quotas().await {
            tracing::info!(%error, "what each repository keeps in the cache could not be looked at");
        }
        if forgot.is_none_or(|forgot| forgot.elapsed() >= FORGET_EVERY) {
            forgot = Some(Instant::now());
            if let Err(error) = cache.forget().await {
                tracing::warn!(%error, "what nobody uses any more stays in the object store for now");
            }
        }
    }
}

impl Cache {
    /// Adds up what each repository keeps, and makes room among what those keep that have too much. Nothing where the engine does
    /// that itself.
    async fn hold_quotas(&self) -> Result<(), EngineError> {
        let Some(redis) = &self.redis else { return Ok(()) };
        let quotas = self.quotas.map(quotas).unwrap_or_default();
        let held = hold(&**redis, &quotas, || sleep(WALK_PAUSE)).await?;
        if held.removed > 0 {
            let (values, bytes) = (held.removed, held.removed_bytes);
            tracing::info!(values, bytes, "removed from the cache what repositories had beyond their quota");
        }
        self.note_walked(held.owners);
        Ok(())
    }

    /// Removes from the object store what nobody used for long.
    async fn forget(&self) -> Result<(), EngineError> {
        let Some(store) = &self.store else { return Ok(()) };
        let values = store.objects.forget().await?;
        if values > 0 {
            tracing::info!(values, "removed from the object store what nobody used any more");
        }
        Ok(())
    }
}
