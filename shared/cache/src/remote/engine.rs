//! The engine of an agent that asks its coordinator.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use slipway_cas::cache::engine::{Engine, EngineError, Found, Later, Page, Put, Stats, check_sizes};
use slipway_cas::cache::limits::BATCH_KEYS;
use slipway_cas::cache::{Key, Namespace};
use slipway_proto::v1;
use slipway_proto::v1::job_cache_client::JobCacheClient;
use tokio::time::{Instant, sleep_until};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{Code, Status};

use super::wire;
use crate::limits::{
    REMOTE_BYTES_PER_S, REMOTE_INSTANCES, REMOTE_MESSAGE_BYTES, REMOTE_PATIENCE, REMOTE_VALUES_BYTES,
};

/// Which instance the entries of a namespace belong to, as the coordinator said: they are asked for by that. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    known: Arc<Mutex<HashMap<Namespace, String>>>,
    refused: Arc<AtomicBool>,
}

/// Instances that are remembered; a job that uses more has those forgotten that it began with.
const INSTANCES_KNOWN: usize = 1_024;

impl Instances {
    /// The entries in these places are of `instance`.
    pub fn learn<'a>(&self, places: impl IntoIterator<Item = &'a Namespace>, instance: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= INSTANCES_KNOWN {
            known.clear();
        }
        known.extend(places.into_iter().map(|place| (place.clone(), instance.to_owned())));
    }

    /// Whether the coordinator refused the job since this was last asked: what it said about places holds no more.
    pub fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// Those of these keys, each once.
    fn of<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
        let mut instances = Vec::new();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(instance) = known.get(&key.namespace)
                && instances.len() < REMOTE_INSTANCES
                && !instances.contains(instance)
            {
                instances.push(instance.clone());
            }
        }
        instances
    }
}

/// Makes a client; again after one has failed, for the leader may be another.
pub type Connect<S> = Box<dyn Fn() -> JobCacheClient<S> + Send + Sync>;

/// A coordinator's cache, asked for one job.
pub struct RemoteEngine<S> {
    connect: Connect<S>,
    client: RwLock<JobCacheClient<S>>,
    token: String,
    instances: Instances,
    place: Arc<str>,
    /// When the coordinator last said anything: while it does, a slow call is no dead one.
    heard: Mutex<Instant>,
    hits: AtomicU64,
    misses: AtomicU64,
    puts: AtomicU64,
}

impl<S> RemoteEngine<S>
where
    S: GrpcService<Body> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<StdError>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// Asks with a job's token, over a client that `connect` makes at once; `place` names the coordinator in errors.
    #[must_use]
    pub fn new(connect: Connect<S>, token: &str, instances: Instances, place: &str) -> Self {
        let client = RwLock::new(sized(connect()));
        Self {
            connect,
            client,
            token: token.to_owned(),
            instances,
            place: place.into(),
            heard: Mutex::new(Instant::now()),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
            puts: AtomicU64::default(),
        }
    }

    fn client(&self) -> JobCacheClient<S> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits for a call that moves so many bytes, as long as the coordinator says anything at all.
    async fn patiently<T>(
        &self,
        bytes: usize,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, EngineError> {
        let mut call = pin!(call);
        let patience = REMOTE_PATIENCE + Duration::from_secs(bytes as u64 / REMOTE_BYTES_PER_S);
        let began = Instant::now();
        let result = loop {
            let until = self.heard().max(began) + patience;
            tokio::select! {
                biased;
                result = &mut call => break result,
                () = sleep_until(until) => {
                    if self.heard().max(began) + patience <= until {
                        break Err(Status::unavailable("it does not answer"));
                    }
                }
            }
        };
        if result.is_ok() {
            self.hear();
        }
        result.map_err(|status| {
            match status.code() {
                Code::Unavailable => {
                    let again = sized((self.connect)());
                    *self.client.write().unwrap_or_else(PoisonError::into_inner) = again;
                }
                Code::Unauthenticated | Code::PermissionDenied => {
                    self.instances.refused.store(true, Ordering::Relaxed);
                }
                _ => {}
            }
            EngineError::unavailable(&self.place, status.message())
        })
    }

    fn keys(&self, keys: &[Key]) -> v1::CacheKeys {
        v1::CacheKeys {
            token: self.token.clone(),
            instances: self.instances.of(keys.iter()),
            keys: wire::texts(keys),
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Found>, EngineError> {
        let mut client = self.client();
        let request = self.keys(keys);
        let call = async {
            let mut messages = client.get(request).await?.into_inner();
            let mut found = Vec::with_capacity(keys.len());
            while let Some(message) = messages.message().await? {
                self.hear();
                found.extend(message.values.into_iter().map(wire::from_found));
            }
            match found.len() == keys.len() {
                true => Ok(found),
                false => Err(Status::internal("it answered for another number of values")),
            }
        };
        let bytes = keys.iter().map(wire::expected).fold(0, usize::saturating_add);
        let found = self.patiently(bytes.min(REMOTE_VALUES_BYTES), call).await?;
        let hits = found.iter().filter(|found| matches!(found, Found::Value(_))).count() as u64;
        self.hits.fetch_add(hits, Ordering::Relaxed);
        self.misses.fetch_add(found.len() as u64 - hits, Ordering::Relaxed);
        Ok(found)
    }

    async fn have(&self, keys: &[Key]) -> Result<Vec<bool>, EngineError> {
        let mut client = self.client();
        let request = self.keys(keys);
        let call = async {
            let there = client.have(request).await?.into_inner().there;
            match there.len() == keys.len() {
                true => Ok(there),
                false => Err(Status::internal("it answered for another number of values")),
            }
        };
        self.patiently(0, call).await
    }

    async fn put(&self, puts: Vec<Put>) -> Result<(), EngineError> {
        let mut client = self.client();
        let instances = self.instances.of(puts.iter().map(|put| &put.key));
        let bytes = puts.iter().map(|put| put.value.data.len()).sum();
        let puts = puts.into_iter().map(wire::put).collect();
        let request = v1::CachePutRequest { token: self.token.clone(), instances, puts };
        let call = async {
            let mut messages = client.put(request).await?.into_inner();
            let mut stored = false;
            while let Some(message) = messages.message().await? {
                self.hear();
                stored |= message.stored;
            }
            if stored { Ok(()) } else { Err(Status::internal("it did not say that all is stored")) }
        };
        self.patiently(bytes, call).await
    }
}

fn sized<S>(client: JobCacheClient<S>) -> JobCacheClient<S>
where
    S: GrpcService<Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    client.max_decoding_message_size(REMOTE_MESSAGE_BYTES).max_encoding_message_size(REMOTE_MESSAGE_BYTES)
}

impl<S> Engine for RemoteEngine<S>
where
    S: GrpcService<Body> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<StdError>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(async move {
            let mut found = Vec::with_capacity(keys.len());
            for part in keys.chunks(BATCH_KEYS) {
                found.extend(self.get(part).await?);
            }
            Ok(found)
        })
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            check_sizes(&puts)?;
            self.puts.fetch_add(puts.len() as u64, Ordering::Relaxed);
            let (mut message, mut bytes) = (Vec::new(), 0);
            for put in puts {
                let more = wire::size(put.value.data.len());
                if !message.is_empty() && bytes + more > REMOTE_VALUES_BYTES {
                    self.put(std::mem::take(&mut message)).await?;
                    bytes = 0;
                }
                bytes += more;
                message.push(put);
            }
            match message.is_empty() {
                true => Ok(()),
                false => self.put(message).await,
            }
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(async move {
            let mut there = Vec::with_capacity(keys.len());
            for part in keys.chunks(BATCH_KEYS) {
                there.extend(self.have(part).await?);
            }
            Ok(there)
        })
    }

    /// Removes nothing: what the coordinator has is not a job's to remove, and what is damaged there it notices by itself.
    fn delete_many<'a>(&'a self, _: &'a [Key]) -> Later<'a, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Lists nothing.
    fn scan(&self, _: Option<String>) -> Later<'_, Page> {
        Box::pin(std::future::ready(Ok(Page::default())))
    }

    fn stats(&self) -> Later<'_, Stats> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (hits, misses, puts) = (read(&self.hits), read(&self.misses), read(&self.puts));
        Box::pin(std::future::ready(Ok(Stats { hits, misses, puts, ..Stats::default() })))
    }
}
