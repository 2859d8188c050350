//! The cache for build tools: what backs it, and who may see what of it.
//!
//! The front doors themselves are [`slipway_cache`]'s; this opens the engine that the options name and decides, for each call, in
//! which scopes its sender reads and writes ([`gate`]).

mod backing;
mod for_agents;
mod gate;
mod house;
mod keeper;
mod passes;
mod scopes;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use slipway_cache::reapi::Reapi;
use slipway_cache::{Accounts, Gate};
use slipway_cas::cache::breaker::State;
use slipway_cas::cache::{BlobCache, Compression, Engine, Guarded, Holding, RedisEngine, Stats};

use crate::options::Options;
use crate::results::Results;
use crate::token::Token;
use backing::{Backing, Store};
pub(crate) use for_agents::Moved;
use gate::Tokens;
pub(crate) use house::{
    CacheState, Client as CacheClient, Figures as CacheFigures, Held as CacheHeld, Hour as CacheHour,
};
pub(crate) use keeper::keep;
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
    /// The same without the object store behind it.
    near: Arc<dyn Engine>,
    blobs: BlobCache,
    /// Redis, which may be gone; a disk is not.
    redis: Option<Arc<Guarded<RedisEngine>>>,
    /// The object store behind it, if there is one.
    store: Option<Store>,
    passes: Passes,
    accounts: Accounts,
    /// Bytes that went to agents' own disks, and came from agents.
    moved: Arc<Moved>,
    /// What a repository may have, and its pull requests.
    quotas: Option<[u64; 2]>,
    /// What each owner had when all values were last walked over.
    walked: Arc<Mutex<Vec<Holding>>>,
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
    /// Opens what backs it; `None`: it is off. Redis and an object store need not be there.
    ///
    /// # Errors
    /// [`CacheOpenError`].
    pub(crate) async fn open(
        options: &Options,
        folder: &Path,
        users: Users,
    ) -> Result<Option<Self>, CacheOpenError> {
        let Some(backing) = Backing::open(options, folder).await? else { return Ok(None) };
        let Backing { engine, near, redis, store, quotas } = backing;
        let blobs = BlobCache::new(Arc::clone(&engine), scopes::shared(), Compression::WherePaying);
        let passes = users.passes.clone();
        let accounts = Accounts::default();
        let gate: Arc<dyn Gate> = Arc::new(Tokens::new(users, accounts.clone()));
        let http = slipway_cache::http::router(blobs.clone(), Arc::clone(&gate));
        let reapi = Reapi::new(blobs.clone(), gate);
        let (walked, moved) = (Arc::default(), Arc::default());
        Ok(Some(Self {
            engine,
            near,
            blobs,
            redis,
            store,
            passes,
            accounts,
            moved,
            quotas,
            walked,
            reapi,
            http,
        }))
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

    /// Of the object store behind it, if there is one: whether it answers, and what it has done.
    pub(crate) async fn behind(&self) -> Option<(bool, Stats)> {
        let store = self.store.as_ref()?;
        Some((store.is_up(), store.guarded.stats().await.unwrap_or_default()))
    }

    /// Keeps what a walk over all values found.
    fn note_walked(&self, owners: Vec<Holding>) {
        *self.walked.lock().unwrap_or_else(PoisonError::into_inner) = owners;
    }

    /// What each owner has, now or when it was last looked at.
    async fn holdings(&self) -> Vec<Holding> {
        if self.redis.is_some() {
            return self.walked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        // A cache that cannot be asked keeps nothing that can be told.
        self.engine.owners().await.unwrap_or_default()
    }
}
