//! The cache for build tools: what backs it, and who may see what of it.
//!
//! The front doors themselves are [`slipway_cache`]'s; this opens the engine that the options name and decides, for each call, in
//! which scopes its sender reads and writes ([`gate`]).

mod for_agents;
mod gate;
mod house;
mod passes;
mod scopes;

use std::path::Path;
use std::sync::Arc;

use slipway_cache::reapi::Reapi;
use slipway_cache::{Accounts, Gate};
use slipway_cas::cache::breaker::State;
use slipway_cas::cache::{
    BlobCache, Compression, DiskEngine, DiskOptions, Engine, Guarded, Quotas, RedisEngine, Stats,
};

use crate::options::{CachePlace, CacheQuota};
use crate::results::Results;
use crate::token::Token;
pub(crate) use for_agents::Moved;
use gate::Tokens;
pub(crate) use house::{CacheState, Client as CacheClient};
pub(crate) use passes::{PASS_DAYS_MAX, Pass, Passes};

/// Why the cache could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the cache {place}: {reason}")]
pub struct CacheOpenError {
    /// Where it is.
    place: String,
    /// What is wrong.
    reason: String,
}

/// The cache; cheap to clone.
#[derive(Clone)]
pub struct Cache {
    engine: Arc<dyn Engine>,
    blobs: BlobCache,
    /// Redis, which may be gone; a disk is not.
    redis: Option<Arc<Guarded<RedisEngine>>>,
    passes: Passes,
    accounts: Accounts,
    /// Bytes that went to agents' own disks, and came from agents.
    moved: Arc<Moved>,
    /// What a repository may have on the disk, and its pull requests.
    quotas: Option<[u64; 2]>,
    reapi: Reapi,
    http: axum::Router,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cache")
    }
}

/// Who may use it.
pub(crate) struct Users {
    /// Who has it may read and write in every cache.
    pub(crate) cache_token: Token,
    /// The same for whoever may use the API.
    pub(crate) admin_token: Token,
    /// Knows the tokens of jobs.
    pub(crate) results: Results,
    /// Tokens of people's machines that end.
    pub(crate) passes: Passes,
}

impl Cache {
    /// Opens what backs it; `None`: it is off. Redis need not be there.
    ///
    /// # Errors
    /// [`CacheOpenError`].
    pub(crate) async fn open(
        place: &CachePlace,
        quota: CacheQuota,
        folder: &Path,
        users: Users,
    ) -> Result<Option<Self>, CacheOpenError> {
        let (mut redis, mut bounds) = (None, None);
        let engine: Arc<dyn Engine> = match place {
            CachePlace::Off => return Ok(None),
            CachePlace::Disk { max_bytes } => {
                let [own, pulls] = *bounds.insert(quota.disk_bytes(*max_bytes));
                let quotas = Quotas::default()
                    .with(scopes::OF_REPOSITORIES, own)
                    .with(scopes::OF_PULL_REQUESTS, pulls);
                let options = DiskOptions { root: folder.to_owned(), max_bytes: *max_bytes, quotas };
                let failed = |reason: String| CacheOpenError { place: folder.display().to_string(), reason };
                let opened = tokio::task::spawn_blocking(move || DiskEngine::open(&options)).await;
                let opened = opened.map_err(|error| failed(error.to_string()))?;
                Arc::new(opened.map_err(|error| failed(error.to_string()))?)
            }
            CachePlace::Redis(url) => {
                let failed = |reason: String| CacheOpenError { place: "in Redis".to_owned(), reason };
                let options = url.redis().map_err(failed)?;
                let guarded = RedisEngine::guarded(options).map_err(|error| failed(error.to_string()))?;
                Arc::clone(redis.insert(Arc::new(guarded))) as Arc<dyn Engine>
            }
        };
        let blobs = BlobCache::new(Arc::clone(&engine), scopes::shared(), Compression::WherePaying);
        let passes = users.passes.clone();
        let accounts = Accounts::default();
        let gate: Arc<dyn Gate> = Arc::new(Tokens::new(users, accounts.clone()));
        let http = slipway_cache::http::router(blobs.clone(), Arc::clone(&gate));
        let reapi = Reapi::new(blobs.clone(), gate);
        let moved = Arc::default();
        Ok(Some(Self { engine, blobs, redis, passes, accounts, moved, quotas: bounds, reapi, http }))
    }

    /// The services of the remote cache protocol.
    pub(crate) fn reapi(&self) -> &Reapi {
        &self.reapi
    }

    /// The same cache over HTTP, for below `/cache`.
    pub(crate) fn http(&self) -> axum::Router {
        self.http.clone()
    }

    /// All doors on one port, as jobs reach them.
    pub(crate) fn for_jobs(&self) -> axum::Router {
        slipway_cache::on_one_port(self.http(), &self.reapi)
    }

    /// A token for one cache, or all of them, that ends after so many days; and what it says.
    pub(crate) fn make_pass(&self, instance: Option<String>, write: bool, days: u32) -> (String, Pass) {
        self.passes.make(instance, write, days)
    }

    /// Whether what backs it answers, as far as is known: nobody asks just to find out.
    pub(crate) fn is_up(&self) -> bool {
        self.redis.as_ref().is_none_or(|redis| redis.state() == State::Closed)
    }

    /// What it holds and has done; `None` while it cannot be asked.
    pub(crate) async fn stats(&self) -> Option<Stats> {
        self.engine.stats().await.ok()
    }
}
