//! The engine of an agent that asks its coordinator, over real gRPC.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_cache::Scope;
use slipway_cache::remote::service::Places;
use slipway_cache::remote::{Instances, JobCacheService, Jobs, RemoteEngine};
use slipway_cas::Digest;
use slipway_cas::cache::conformance::{self, key, put};
use slipway_cas::cache::engine::{Found, Holding, Later, Page, Put};
use slipway_cas::cache::{
    BlobCache, Compression, Engine, EngineError, Key, Kind, MemoryEngine, Namespace, Stats,
};
use slipway_proto::v1;
use slipway_proto::v1::job_cache_client::JobCacheClient;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Extensions, Status};

const TOKEN: &str = "the job's";

/// Each instance is a place of its own, which is written too unless its name ends with `-ro`.
#[derive(Default)]
struct ByInstance {
    sent: AtomicU64,
    taken: AtomicU64,
    hits: AtomicU64,
}

impl Jobs for ByInstance {
    fn places(&self, _: &Extensions, token: &str, instance: &str) -> Result<Places, Status> {
        if token != TOKEN {
            return Err(Status::unauthenticated("not that one"));
        }
        let Ok(place) = Namespace::new(instance) else { return Ok(Places { read: Vec::new(), write: None }) };
        let scope = Scope { blobs: place.clone(), entries: place };
        let write = (!instance.ends_with("-ro")).then(|| scope.clone());
        Ok(Places { read: vec![scope], write })
    }

    fn count(&self, _: &str, uses: &[v1::CacheUse]) {
        self.hits.fetch_add(uses.iter().map(|told| told.hits).sum(), Ordering::Relaxed);
    }

    fn moved(&self, sent_bytes: u64, taken_bytes: u64) {
        self.sent.fetch_add(sent_bytes, Ordering::Relaxed);
        self.taken.fetch_add(taken_bytes, Ordering::Relaxed);
    }
}

/// A server, ended with this.
struct Served {
    url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(service: JobCacheService) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving =
        Server::builder().add_service(service.server()).serve_with_incoming(TcpListenerStream::new(listener));
    let task = tokio::spawn(async move { serving.await.unwrap() });
    Served { url, task }
}

fn client(url: &str) -> JobCacheClient<Channel> {
    JobCacheClient::new(Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy())
}

fn remote(url: &str, token: &str, places: &[&str]) -> RemoteEngine<Channel> {
    let instances = Instances::default();
    for place in places {
        instances.learn([&Namespace::new(place).unwrap()], place);
    }
    let url = url.to_owned();
    RemoteEngine::new(Box::new(move || client(&url)), token, instances, "the server")
}

/// What a job cannot do is done behind the server's back.
struct WithHouse {
    remote: RemoteEngine<Channel>,
    behind: MemoryEngine,
    _served: Arc<Served>,
}

impl Engine for WithHouse {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        self.remote.get_many(keys)
    }
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        self.remote.put_many(puts)
    }
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.remote.have_many(keys)
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.behind.delete_many(keys)
    }
    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.behind.scan(from)
    }
    fn stats(&self) -> Later<'_, Stats> {
        self.remote.stats()
    }
    fn owners(&self) -> Later<'_, Vec<Holding>> {
        self.behind.owners()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_an_engine() {
    let empty = async || {
        let behind = MemoryEngine::new(64 << 20);
        let service = JobCacheService::unchecked(Arc::new(behind.clone()), Arc::<ByInstance>::default());
        let served = Arc::new(serve(service).await);
        let remote = remote(&served.url, TOKEN, &["main", "a", "b", "walk", "model"]);
        Arc::new(WithHouse { remote, behind, _served: served }) as Arc<dyn Engine>
    };
    conformance::check(empty, fastrand::u64(..)).await;
}

#[tokio::test]
async fn a_job_moves_nothing_but_what_it_may() {
    let behind = MemoryEngine::new(64 << 20);
    let jobs = Arc::<ByInstance>::default();
    let served = serve(JobCacheService::new(Arc::new(behind.clone()), jobs.clone())).await;
    let bytes = "some bytes";
    let (ours, theirs) = (key(Kind::Chunk, "ours", bytes), key(Kind::Chunk, "theirs", bytes));
    let read_only = key(Kind::Chunk, "base-ro", bytes);
    for place in [&theirs, &read_only] {
        behind.put_many(vec![put(place, bytes)]).await.unwrap();
    }
    let engine = remote(&served.url, TOKEN, &["ours", "base-ro"]);
    engine.put_many(vec![put(&ours, bytes)]).await.unwrap();
    assert_eq!(jobs.taken.load(Ordering::Relaxed), bytes.len() as u64);
    let found = engine.get_many(&[ours.clone(), read_only.clone()]).await.unwrap();
    assert!(found.into_iter().all(|found| found.value().unwrap().data == bytes));
    assert_eq!(jobs.sent.load(Ordering::Relaxed), 2 * bytes.len() as u64);

    // One key that it may not have spoils the call.
    assert!(engine.get_many(&[ours.clone(), theirs.clone()]).await.is_err());
    assert!(engine.have_many(&[ours.clone(), theirs.clone()]).await.is_err());
    for place in [theirs, read_only] {
        let other = Key { id: Digest::of(b"other"), ..place };
        assert!(engine.put_many(vec![put(&other, "other")]).await.is_err());
        assert_eq!(behind.have_many(&[other]).await.unwrap(), [false]);
    }
    // Nor is a value taken that is not what its key says.
    let wrong = key(Kind::Chunk, "ours", "another");
    assert!(engine.put_many(vec![put(&wrong, bytes)]).await.is_err());
    assert_eq!(engine.have_many(&[wrong, ours.clone()]).await.unwrap(), [false, true]);
    // And nothing is a job's to remove or list.
    assert_eq!(engine.delete_many(std::slice::from_ref(&ours)).await.unwrap(), 0);
    assert_eq!(engine.have_many(&[ours]).await.unwrap(), [true]);
    assert!(engine.scan(None).await.unwrap().keys.is_empty());
}

#[tokio::test]
async fn without_the_job_s_token_there_is_nothing() {
    let served =
        serve(JobCacheService::new(Arc::new(MemoryEngine::new(1 << 20)), Arc::<ByInstance>::default())).await;
    let key = key(Kind::Chunk, "ours", "x");
    let instances = Instances::default();
    instances.learn([&key.namespace], "ours");
    let url = served.url.clone();
    let engine = RemoteEngine::new(Box::new(move || client(&url)), "another's", instances.clone(), "it");
    assert!(!instances.take_refused());
    assert!(engine.have_many(std::slice::from_ref(&key)).await.is_err());
    assert!(instances.take_refused(), "whoever remembers what the job may do hears of it");
    assert!(!instances.take_refused());
    assert!(engine.get_many(std::slice::from_ref(&key)).await.is_err());
    assert!(engine.put_many(vec![put(&key, "x")]).await.is_err());
    let request = v1::CacheAdmitRequest { token: "another's".to_owned(), ..v1::CacheAdmitRequest::default() };
    let refused = client(&served.url).admit(request).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "not that one"));
}

#[tokio::test]
async fn a_question_has_its_bounds() {
    let jobs = Arc::<ByInstance>::default();
    let served = serve(JobCacheService::new(Arc::new(MemoryEngine::new(1 << 20)), jobs.clone())).await;
    let mut client = client(&served.url);
    let token = TOKEN.to_owned();
    let text = key(Kind::Chunk, "ours", "x").to_text();
    let keys = |instances: usize, keys: Vec<String>| v1::CacheKeys {
        token: TOKEN.to_owned(),
        instances: (0..instances).map(|_| "ours".to_owned()).collect(),
        keys,
    };
    let there = client.have(keys(16, vec![text.clone(); 2_048])).await.unwrap().into_inner().there;
    assert_eq!(there, vec![false; 2_048]);
    for wrong in [
        keys(17, Vec::new()),
        keys(1, vec![text.clone(); 2_049]),
        keys(1, vec![format!("{text}x")]),
        v1::CacheKeys { instances: vec!["x".repeat(257)], ..keys(1, vec![text.clone()]) },
    ] {
        assert_eq!(client.have(wrong.clone()).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(client.get(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let told = v1::CacheUse { door: "http".to_owned(), hits: 3, ..v1::CacheUse::default() };
    let admit = |times: usize| v1::CacheAdmitRequest {
        token: token.clone(),
        instance: "ours".to_owned(),
        uses: vec![told.clone(); times],
    };
    assert_eq!(client.admit(admit(65)).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(jobs.hits.load(Ordering::Relaxed), 0, "of what is refused nothing counts");
    let places = client.admit(admit(2)).await.unwrap().into_inner();
    assert_eq!(places.write.unwrap().entries, "ours");
    assert_eq!(jobs.hits.load(Ordering::Relaxed), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_go_there_and_come_back_in_bounded_messages() {
    let behind: Arc<dyn Engine> = Arc::new(MemoryEngine::new(256 << 20));
    let jobs = Arc::<ByInstance>::default();
    let served = serve(JobCacheService::new(Arc::clone(&behind), jobs)).await;
    let place = Namespace::new("ours").unwrap();
    let engine = Arc::new(remote(&served.url, TOKEN, &["ours"]));
    let blobs = BlobCache::new(engine, place.clone(), Compression::WherePaying);
    let mut long = vec![0; 20 << 20];
    fastrand::Rng::with_seed(7).fill(&mut long);
    let mut writer = blobs.writer(u64::MAX);
    writer.write(long.clone().into()).await.unwrap();
    let digest = Digest::of(&long);
    let written = writer.finish(slipway_cas::Expected::Digest(digest)).await.unwrap();
    assert!(written.kept);
    // At the other end it is a blob like any.
    let there = BlobCache::new(behind, place, Compression::Off);
    assert!(there.missing(&[digest]).await.is_empty());
    assert!(there.read_all(digest).await.unwrap() == long);
    assert!(blobs.read_all(digest).await.unwrap() == long);
    // Many values of more than a message.
    let many: Vec<_> = long.chunks(1 << 20).map(|part| (Digest::of(part), part.to_vec().into())).collect();
    let digests: Vec<_> = many.iter().map(|(digest, _)| *digest).collect();
    assert!(blobs.write_many(many).await.into_iter().all(|written| written.is_ok()));
    assert!(there.missing(&digests).await.is_empty());
    let read = blobs.read_many(&digests).await;
    assert!(read.into_iter().map(Option::unwrap).eq(long.chunks(1 << 20)));
}

/// Takes connections and never says anything.
async fn silent() -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    (url, task)
}

#[tokio::test]
async fn a_server_that_is_gone_or_silent_is_unavailable() {
    let key = key(Kind::Chunk, "ours", "x");
    let (url, task) = silent().await;
    for url in [url.as_str(), "http://127.0.0.1:1"] {
        let engine = remote(url, TOKEN, &["ours"]);
        let had = engine.have_many(std::slice::from_ref(&key)).await.map(drop);
        let got = engine.get_many(std::slice::from_ref(&key)).await.map(drop);
        let stored = engine.put_many(vec![put(&key, "x")]).await;
        for answer in [had, got, stored] {
            assert!(matches!(answer, Err(EngineError::Unavailable { .. })), "{url}: {answer:?}");
        }
    }
    task.abort();
}
