//! What backs the cache: the engine that the options name, and the object store behind it, if there is one.

use std::path::Path;
use std::sync::Arc;

use slipway_cas::cache::breaker::{BreakerOptions, State};
use slipway_cas::cache::{
    Backed, DiskEngine, DiskOptions, Engine, Guarded, ObjectEngine, Quotas, RedisEngine,
};
use slipway_cas::objects::Bucket;

use super::CacheOpenError;
use super::scopes::{OF_PULL_REQUESTS, OF_REPOSITORIES};
use crate::options::{CachePlace, CacheStore, Options};

/// The engines.
pub(super) struct Backing {
    /// What the doors ask.
    pub(super) engine: Arc<dyn Engine>,
    /// The same without what is behind it.
    pub(super) near: Arc<dyn Engine>,
    /// Redis, which may be gone; a disk is not.
    pub(super) redis: Option<Arc<Guarded<RedisEngine>>>,
    /// What is behind, which may be gone too.
    pub(super) store: Option<Store>,
    /// What a repository may have, and its pull requests.
    pub(super) quotas: Option<[u64; 2]>,
}

/// The object store behind the engine.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) guarded: Arc<Guarded<ObjectEngine>>,
    /// The same without a guard, for who keeps house there.
    pub(super) objects: ObjectEngine,
    /// Its address.
    pub(super) url: String,
}

/// [`Quotas`] of these bounds.
pub(super) fn quotas([own, pulls]: [u64; 2]) -> Quotas {
    Quotas::default().with(OF_REPOSITORIES, own).with(OF_PULL_REQUESTS, pulls)
}

impl Backing {
    /// Opens it; `None`: there is to be no cache. Neither Redis nor the object store need be there.
    pub(super) async fn open(options: &Options, folder: &Path) -> Result<Option<Self>, CacheOpenError> {
        let mut redis = None;
        let (near, quotas): (Arc<dyn Engine>, _) = match &options.cache {
            CachePlace::Off => return Ok(None),
            CachePlace::Disk { max_bytes } => {
                let bounds = options.cache_quota.disk_bytes(*max_bytes);
                let disk =
                    DiskOptions { root: folder.to_owned(), max_bytes: *max_bytes, quotas: quotas(bounds) };
                let failed = |reason: String| CacheOpenError { place: folder.display().to_string(), reason };
                let opened = tokio::task::spawn_blocking(move || DiskEngine::open(&disk)).await;
                let opened = opened.map_err(|error| failed(error.to_string()))?;
                (Arc::new(opened.map_err(|error| failed(error.to_string()))?), Some(bounds))
            }
            CachePlace::Redis(url) => {
                let failed = |reason: String| CacheOpenError { place: "in Redis".to_owned(), reason };
                let options_of_redis = url.redis().map_err(failed)?;
                let guarded =
                    RedisEngine::guarded(options_of_redis).map_err(|error| failed(error.to_string()))?;
                let guarded = Arc::clone(redis.insert(Arc::new(guarded)));
                (guarded, options.cache_quota.redis_bytes())
            }
        };
        let Some(store) = options.cache_store.as_ref().map(Store::open).transpose()? else {
            return Ok(Some(Self { engine: Arc::clone(&near), near, redis, store: None, quotas }));
        };
        let behind: Arc<dyn Engine> = Arc::clone(&store.guarded) as _;
        let engine = Arc::new(Backed::new(Arc::clone(&near), behind));
        Ok(Some(Self { engine, near, redis, store: Some(store), quotas }))
    }
}

impl Store {
    fn open(store: &CacheStore) -> Result<Self, CacheOpenError> {
        let failed = |reason: String| CacheOpenError { place: "in an object store".to_owned(), reason };
        let bucket = Bucket::open(&store.address).map_err(|error| failed(error.to_string()))?;
        let objects = ObjectEngine::new(bucket, store.ttl);
        let guarded = Guarded::new(objects.clone(), &store.address.url, BreakerOptions::default());
        Ok(Self { guarded: Arc::new(guarded), objects, url: store.address.url.clone() })
    }

    /// Whether it answers, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.guarded.state() == State::Closed
    }
}
