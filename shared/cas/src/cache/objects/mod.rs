//! Cached values in an object store: for what should outlive a Redis or a disk that is full.
//!
//! Each value is an object, a header and its bytes ([`envelope`]), by its key below its [`generations`]. A use of a value of
//! the generation before copies it into the present one, before it is said to be there. Nothing asks when an object was
//! used, and nothing is removed but whole generations that are over ([`ObjectEngine::forget`]), what a reader found damaged,
//! and what an admin prunes.
//!
//! Both generations are asked at once: a miss takes one round trip. Requests under way are bounded, and each has a time
//! limit far below the store's own tries: a cache that is late is a miss.
//!
//! [`envelope`]: crate::cache::envelope

mod generations;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use tokio::sync::Semaphore;

use crate::cache::counters::{Counters, add};
use crate::cache::engine::{Engine, EngineError, Found, Keep, Later, Listed, Page, Put, Stats, check_sizes};
use crate::cache::envelope;
use crate::cache::key::Key;
use crate::cache::limits::{OBJECT_BYTES_PER_S, OBJECT_REQUESTS, OBJECT_TIME_LIMIT};
use crate::objects::{Bucket, describe};

use generations::{Generation, Step};

/// What the listing of a folder may take of time, as if it were so many bytes.
const LISTING_BYTES: u64 = 32 << 20;

/// Tells the time, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Values in an object store. Clones share it.
#[derive(Clone)]
pub struct ObjectEngine {
    objects: Arc<Objects>,
}

struct Objects {
    bucket: Bucket,
    ttl: Duration,
    clock: Clock,
    requests: Semaphore,
    counters: Counters,
}

impl ObjectEngine {
    /// Values in this bucket, each of which is kept between half of `ttl` and `ttl` after it was last used. Nothing is sent yet.
    #[must_use]
    pub fn new(bucket: Bucket, ttl: Duration) -> Self {
        let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self::with_clock(bucket, ttl, Arc::new(seconds))
    }

    /// The same by another clock; for tests.
    #[must_use]
    pub fn with_clock(bucket: Bucket, ttl: Duration, clock: Clock) -> Self {
        let requests = Semaphore::new(OBJECT_REQUESTS);
        Self { objects: Arc::new(Objects { bucket, ttl, clock, requests, counters: Counters::default() }) }
    }

    /// Removes the generations that are over; says how many values those had. One process of those that share a bucket
    /// is enough, several do no harm.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: some may be left, which the next call removes.
    pub async fn forget(&self) -> Result<u64, EngineError> {
        self.objects.forget().await.map_err(|error| self.objects.failed(&error))
    }
}

/// What is under a key in one generation.
enum Object {
    Absent,
    /// It is there, and has so many bytes with its header.
    There(u64),
}

impl Objects {
    fn store(&self) -> &Arc<dyn ObjectStore> {
        self.bucket.store()
    }

    fn failed(&self, why: &Error) -> EngineError {
        EngineError::unavailable(self.bucket.url(), describe(why))
    }

    fn present(&self) -> Generation {
        Generation::at((self.clock)(), self.ttl)
    }

    /// One request of at most so many bytes, when its turn comes.
    async fn request<T>(
        &self,
        size_bytes: u64,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        // It is never closed.
        let _turn = self.requests.acquire().await;
        let limit =
            OBJECT_TIME_LIMIT + Duration::from_secs_f64(size_bytes as f64 / OBJECT_BYTES_PER_S as f64);
        match tokio::time::timeout(limit, request).await {
            Ok(result) => result.map_err(|error| self.failed(&error)),
            Err(_) => Err(EngineError::unavailable(self.bucket.url(), format!("no answer in {limit:?}"))),
        }
    }

    async fn look(&self, place: &Path) -> Result<Object, EngineError> {
        let head = async {
            match self.store().head(place).await {
                Ok(meta) => Ok(Object::There(meta.size)),
                Err(Error::NotFound { .. }) => Ok(Object::Absent),
                Err(error) => Err(error),
            }
        };
        self.request(0, head).await
    }

    async fn read(&self, place: &Path) -> Result<Option<Bytes>, EngineError> {
        let most = crate::cache::limits::MAX_VALUE_BYTES as u64;
        let get = async {
            match self.store().get(place).await {
                // What was not written by us is not read whole to find that out.
                Ok(found) if found.meta.size > most + envelope::HEADER_BYTES as u64 => Ok(Some(Bytes::new())),
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.request(most, get).await
    }

    /// Takes a value of the generation before into the present one; whether it was still there.
    async fn renew(&self, from: &Path, to: &Path, size_bytes: u64) -> Result<bool, EngineError> {
        let copy = async {
            match self.store().copy(from, to).await {
                Ok(()) => Ok(true),
                Err(Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.request(size_bytes, copy).await
    }

    async fn get(&self, key: &Key) -> Result<Found, EngineError> {
        let present = self.present();
        let (place, old_place) = (present.place(key), present.before().place(key));
        let bytes = match try_join(self.read(&place), self.look(&old_place)).await? {
            (Some(bytes), _) => Some(bytes),
            (None, Object::Absent) => None,
            (None, Object::There(size_bytes)) => {
                let (bytes, _) =
                    try_join(self.read(&old_place), self.renew(&old_place, &place, size_bytes)).await?;
                bytes
            }
        };
        let Some(bytes) = bytes else { return Ok(Found::Missing) };
        match envelope::open(&key.to_text(), bytes) {
            Some(value) => Ok(Found::Value(value)),
            None => {
                self.remove(&[place, old_place]).await?;
                Ok(Found::Damaged)
            }
        }
    }

    async fn have(&self, key: &Key) -> Result<bool, EngineError> {
        let present = self.present();
        let (place, old_place) = (present.place(key), present.before().place(key));
        match try_join(self.look(&place), self.look(&old_place)).await? {
            (Object::There(_), _) => Ok(true),
            (Object::Absent, Object::Absent) => Ok(false),
            (Object::Absent, Object::There(size_bytes)) => self.renew(&old_place, &place, size_bytes).await,
        }
    }

    async fn put(&self, put: &Put) -> Result<(), EngineError> {
        if put.keep == Keep::Temporary && self.have(&put.key).await? {
            return Ok(());
        }
        let name = put.key.to_text();
        let header = Bytes::copy_from_slice(&envelope::header(&name, &put.value));
        let payload = PutPayload::from_iter([header, put.value.data.clone()]);
        let place = self.present().place(&put.key);
        let mode = match put.keep {
            Keep::Normal => PutMode::Overwrite,
            Keep::Temporary => PutMode::Create,
        };
        let write = async {
            match self.store().put_opts(&place, payload, mode.into()).await {
                // Somebody was faster, with as good a value.
                Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.request(put.value.data.len() as u64, write).await
    }

    async fn remove(&self, places: &[Path]) -> Result<(), EngineError> {
        let remove = |place| async move {
            match self.store().delete(place).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        try_join_all(places.iter().map(|place| self.request(0, remove(place)))).await.map(drop)
    }

    async fn delete(&self, key: &Key) -> Result<u64, EngineError> {
        let present = self.present();
        let (place, old_place) = (present.place(key), present.before().place(key));
        match try_join(self.look(&place), self.look(&old_place)).await? {
            (Object::Absent, Object::Absent) => Ok(0),
            _ => self.remove(&[place, old_place]).await.map(|()| 1),
        }
    }

    /// A step of a walk: a folder, first of the present generation and then of the one before. Stores list in any order they
    /// like, so a walk goes from folder to folder and not from name to name.
    async fn walk(&self, from: Option<String>) -> Result<Page, EngineError> {
        let at = match &from {
            Some(from) => Step::from_text(from),
            None => Some(Step { generation: self.present(), folder: 0 }),
        };
        let Some(at) = at else { return Ok(Page::default()) };
        let now_s = (self.clock)();
        let folder = at.generation.part(at.folder);
        let list = self.store().list(Some(&folder)).try_collect::<Vec<ObjectMeta>>();
        let objects = self.request(LISTING_BYTES, list).await?;
        let listed = |object: ObjectMeta| {
            let key = Generation::key(&object.location)?;
            let written_s = u64::try_from(object.last_modified.timestamp()).unwrap_or_default();
            Some(Listed { key, size_bytes: Some(object.size), idle_s: Some(now_s.saturating_sub(written_s)) })
        };
        let next = at.next(self.present()).map(|step| step.to_text());
        Ok(Page { keys: objects.into_iter().filter_map(listed).collect(), next })
    }

    async fn forget(&self) -> Result<u64, Error> {
        let present = self.present();
        let folders = self.store().list_with_delimiter(Some(&Generation::all())).await?.common_prefixes;
        let mut forgotten = 0;
        for folder in folders {
            if !Generation::of_folder(&folder).is_some_and(|generation| generation.is_over(present)) {
                continue;
            }
            let places = self.store().list(Some(&folder)).map_ok(|object| object.location).boxed();
            let mut removed = self.store().delete_stream(places);
            while let Some(removed) = removed.next().await {
                match removed {
                    Ok(_) => forgotten += 1,
                    // Another coordinator was faster.
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(forgotten)
    }
}

impl Engine for ObjectEngine {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(async move {
            let found = try_join_all(keys.iter().map(|key| self.objects.get(key))).await?;
            self.objects.counters.found(&found);
            Ok(found)
        })
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            check_sizes(&puts)?;
            add(&self.objects.counters.puts, puts.len());
            try_join_all(puts.iter().map(|put| self.objects.put(put))).await.map(drop)
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(try_join_all(keys.iter().map(|key| self.objects.have(key))))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        Box::pin(async move {
            let each: BTreeSet<&Key> = keys.iter().collect();
            let removed = try_join_all(each.into_iter().map(|key| self.objects.delete(key))).await?;
            Ok(removed.into_iter().sum())
        })
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        Box::pin(self.objects.walk(from))
    }

    fn stats(&self) -> Later<'_, Stats> {
        // What a bucket holds only a listing of all of it would say.
        Box::pin(async move { Ok(self.objects.counters.stats()) })
    }
}
