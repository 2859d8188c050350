//! What a coordinator answers its agents with: `slipway.v1.JobCache` over an engine.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use slipway_cas::cache::engine::{Engine, EngineError};
use slipway_cas::cache::limits::BATCH_KEYS;
use slipway_cas::cache::{Key, Kind, Namespace, Verifying};
use slipway_proto::v1;
use slipway_proto::v1::job_cache_server::{JobCache, JobCacheServer};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Extensions, Request, Response, Status};

use super::wire;
use crate::gate::Scope;
use crate::limits::{
    MAX_INSTANCE_BYTES, REMOTE_GET_QUEUE, REMOTE_INSTANCES, REMOTE_MESSAGE_BYTES, REMOTE_PROGRESS,
    REMOTE_USES, REMOTE_VALUES_BYTES,
};

/// Where a job reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where it reads, nearest first.
    pub read: Vec<Scope>,
    /// Where it writes; `None`: nowhere.
    pub write: Option<Scope>,
}

/// The host's answers.
pub trait Jobs: Send + Sync + 'static {
    /// Where the job with this token reads and writes in this instance.
    ///
    /// # Errors
    /// `unauthenticated`, with words for the client, unless the job goes on, and under a lease of whoever calls.
    fn places(&self, caller: &Extensions, token: &str, instance: &str) -> Result<Places, Status>;

    /// Counts what clients of this job, whose token is good, got from their agent.
    fn count(&self, token: &str, uses: &[v1::CacheUse]);

    /// Counts bytes of values that went to agents, and that came from them.
    fn moved(&self, sent_bytes: u64, taken_bytes: u64);
}

/// The service; cheap to clone.
#[derive(Clone)]
pub struct JobCacheService {
    engine: Arc<dyn Engine>,
    jobs: Arc<dyn Jobs>,
}

/// What a job may use in one call, of all instances that it names.
#[derive(Default)]
struct Allowed {
    /// Namespaces of blobs and entries that are read.
    read: HashSet<Namespace>,
    /// Namespaces of blobs that are written.
    blobs: HashSet<Namespace>,
    /// Namespaces of entries that are written.
    entries: HashSet<Namespace>,
}

impl JobCacheService {
    /// Answers with what `engine` has; what is stored in it is checked first.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, jobs: Arc<dyn Jobs>) -> Self {
        Self { engine: Arc::new(Verifying::new(engine)), jobs }
    }

    /// The same without those checks: for tests of the engine that asks, which stores anything under any key.
    #[must_use]
    pub fn unchecked(engine: Arc<dyn Engine>, jobs: Arc<dyn Jobs>) -> Self {
        Self { engine, jobs }
    }

    /// For a server.
    #[must_use]
    pub fn server(&self) -> JobCacheServer<Self> {
        JobCacheServer::new(self.clone())
            .max_decoding_message_size(REMOTE_MESSAGE_BYTES)
            .max_encoding_message_size(REMOTE_MESSAGE_BYTES)
    }

    fn allowed(&self, caller: &Extensions, token: &str, instances: &[String]) -> Result<Allowed, Status> {
        if instances.len() > REMOTE_INSTANCES {
            return Err(Status::invalid_argument(format!("at most {REMOTE_INSTANCES} instances at once")));
        }
        let mut allowed = Allowed::default();
        // Blobs lie in the same place whatever the instance is.
        let no_instance = String::new();
        for instance in std::iter::once(&no_instance).chain(instances) {
            check_instance(instance)?;
            let Places { read, write } = self.jobs.places(caller, token, instance)?;
            for scope in read {
                allowed.read.extend([scope.blobs, scope.entries]);
            }
            if let Some(write) = write {
                allowed.blobs.insert(write.blobs);
                allowed.entries.insert(write.entries);
            }
        }
        Ok(allowed)
    }

    /// The keys of a question, all of which the job may read.
    fn keys(&self, request: &Request<v1::CacheKeys>) -> Result<Vec<Key>, Status> {
        let asked = request.get_ref();
        if asked.keys.len() > BATCH_KEYS {
            return Err(Status::invalid_argument(format!("at most {BATCH_KEYS} keys at once")));
        }
        let allowed = self.allowed(request.extensions(), &asked.token, &asked.instances)?;
        let keys = asked.keys.iter().map(|text| {
            let key = Key::from_text(text).ok_or_else(|| Status::invalid_argument("a key is none"))?;
            match allowed.read.contains(&key.namespace) {
                true => Ok(key),
                false => Err(Status::permission_denied("the job may not read there")),
            }
        });
        keys.collect()
    }
}

impl Allowed {
    fn may_write(&self, key: &Key) -> bool {
        match key.kind {
            Kind::Chunk | Kind::Manifest => self.blobs.contains(&key.namespace),
            Kind::Action | Kind::Named => self.entries.contains(&key.namespace),
        }
    }
}

fn check_instance(instance: &str) -> Result<(), Status> {
    match instance.len() <= MAX_INSTANCE_BYTES {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!(
            "the cache's name is longer than {MAX_INSTANCE_BYTES} bytes"
        ))),
    }
}

fn status(error: &EngineError) -> Status {
    match error {
        EngineError::Unavailable { .. } => Status::unavailable(error.to_string()),
        EngineError::TooLarge { .. } | EngineError::Wrong { .. } => {
            Status::invalid_argument(error.to_string())
        }
    }
}

fn scope(scope: Scope) -> v1::CacheScope {
    v1::CacheScope { blobs: scope.blobs.as_str().to_owned(), entries: scope.entries.as_str().to_owned() }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl JobCache for JobCacheService {
    type GetStream = Answers<v1::CacheValues>;
    type PutStream = Answers<v1::CachePutProgress>;

    async fn admit(
        &self,
        request: Request<v1::CacheAdmitRequest>,
    ) -> Result<Response<v1::CacheAdmitResponse>, Status> {
        let asked = request.get_ref();
        check_instance(&asked.instance)?;
        if asked.uses.len() > REMOTE_USES {
            return Err(Status::invalid_argument(format!("at most {REMOTE_USES} kinds of clients at once")));
        }
        let Places { read, write } = self.jobs.places(request.extensions(), &asked.token, &asked.instance)?;
        self.jobs.count(&asked.token, &asked.uses);
        let read = read.into_iter().map(scope).collect();
        Ok(Response::new(v1::CacheAdmitResponse { read, write: write.map(scope) }))
    }

    async fn get(&self, request: Request<v1::CacheKeys>) -> Result<Response<Self::GetStream>, Status> {
        let keys = self.keys(&request)?;
        let (answers, stream) = mpsc::channel(REMOTE_GET_QUEUE);
        let this = self.clone();
        tokio::spawn(async move {
            for group in wire::groups(&keys, REMOTE_VALUES_BYTES) {
                let found = match this.engine.get_many(group).await {
                    Ok(found) => found,
                    Err(error) => {
                        let _ = answers.send(Err(status(&error))).await;
                        return;
                    }
                };
                let (mut values, mut bytes) = (Vec::new(), 0);
                for found in found {
                    let value = wire::found(found);
                    if !values.is_empty() && bytes + value.data.len() > REMOTE_VALUES_BYTES {
                        let values = std::mem::take(&mut values);
                        if answers.send(Ok(v1::CacheValues { values })).await.is_err() {
                            return;
                        }
                        bytes = 0;
                    }
                    bytes += value.data.len();
                    this.jobs.moved(value.data.len() as u64, 0);
                    values.push(value);
                }
                if answers.send(Ok(v1::CacheValues { values })).await.is_err() {
                    // Nobody waits for the rest.
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn have(&self, request: Request<v1::CacheKeys>) -> Result<Response<v1::CacheHaveResponse>, Status> {
        let keys = self.keys(&request)?;
        let there = self.engine.have_many(&keys).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::CacheHaveResponse { there }))
    }

    async fn put(&self, request: Request<v1::CachePutRequest>) -> Result<Response<Self::PutStream>, Status> {
        let asked = request.get_ref();
        let allowed = self.allowed(request.extensions(), &asked.token, &asked.instances)?;
        let mut puts = Vec::with_capacity(asked.puts.len());
        let mut bytes = 0;
        for put in request.into_inner().puts {
            let put =
                wire::from_put(put).ok_or_else(|| Status::invalid_argument("a key or value is none"))?;
            if !allowed.may_write(&put.key) {
                return Err(Status::permission_denied("the job may not write there"));
            }
            bytes += put.value.data.len() as u64;
            puts.push(put);
        }
        self.jobs.moved(0, bytes);
        let (answers, stream) = mpsc::channel(1);
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move {
            let mut storing = engine.put_many(puts);
            loop {
                tokio::select! {
                    stored = &mut storing => {
                        let last = stored.map(|()| v1::CachePutProgress { stored: true });
                        let _ = answers.send(last.map_err(|error| status(&error))).await;
                        return;
                    }
                    // A long blob takes a while to be read: whoever waits is to know that it goes on.
                    () = tokio::time::sleep(REMOTE_PROGRESS) => {
                        // Not waited for: what is being stored is looked after here alone. One that was not taken yet says the same.
                        if let Err(TrySendError::Closed(_)) = answers.try_send(Ok(v1::CachePutProgress::default())) {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}
