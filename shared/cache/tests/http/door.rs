//! The doors behind a real socket, with an engine that can be taken away, and a client that sends its bytes as they are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use slipway_cas::cache::breaker::{BreakerOptions, State};
use slipway_cas::cache::engine::{Found, Later, Page, Put};
use slipway_cas::cache::{
    BlobCache, Compression, Engine, EngineError, Guarded, Key, MemoryEngine, Namespace, Stats,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::words::Words;

/// A memory that answers nothing while it is dead, keeps nothing while it is full, and counts who asks.
pub(crate) struct Mortal {
    pub(crate) memory: MemoryEngine,
    dead: AtomicBool,
    full: AtomicBool,
    asked: AtomicUsize,
}

impl Mortal {
    fn ask<'a, T: 'a + Send>(&'a self, call: Later<'a, T>) -> Later<'a, T> {
        // Only when it is waited for: a guard makes calls that it then lets go.
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.dead.load(Ordering::SeqCst) {
                return Err(EngineError::unavailable("a test", "it is dead"));
            }
            call.await
        })
    }
}

impl Engine for Mortal {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        self.ask(self.memory.get_many(keys))
    }
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        match self.full.load(Ordering::SeqCst) {
            // Pushed out as soon as it was there.
            true => self.ask(Box::pin(async { Ok(()) })),
            false => self.ask(self.memory.put_many(puts)),
        }
    }
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.ask(self.memory.have_many(keys))
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.ask(self.memory.delete_many(keys))
    }
    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.ask(self.memory.scan(from))
    }
    fn stats(&self) -> Later<'_, Stats> {
        self.ask(self.memory.stats())
    }
}

/// Shared, so that a test keeps its hand on it behind the guard.
struct Shared(Arc<Mortal>);

impl Engine for Shared {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        self.0.get_many(keys)
    }
    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        self.0.put_many(puts)
    }
    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.0.have_many(keys)
    }
    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.0.delete_many(keys)
    }
    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.0.scan(from)
    }
    fn stats(&self) -> Later<'_, Stats> {
        self.0.stats()
    }
}

/// A server of all doors.
pub(crate) struct Door {
    pub(crate) engine: Arc<Mortal>,
    guarded: Arc<Guarded<Shared>>,
    address: std::net::SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::open_with(Duration::from_millis(10)).await
    }

    /// With a breaker that pauses so long.
    pub(crate) async fn open_with(pause: Duration) -> Self {
        let breaker = BreakerOptions { failures: 2, pause, max_pause: pause };
        let engine = Arc::new(Mortal {
            memory: MemoryEngine::new(1 << 30),
            dead: AtomicBool::new(false),
            full: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        });
        let guarded = Arc::new(Guarded::new(Shared(engine.clone()), "a test", breaker));
        let shared: Arc<dyn Engine> = guarded.clone();
        let blobs = BlobCache::new(shared, Namespace::new("none").unwrap(), Compression::WherePaying);
        let router = Router::new().nest("/cache", slipway_cache::http::router(blobs, Arc::new(Words)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { engine, guarded, address }
    }

    pub(crate) fn kill(&self) {
        self.engine.dead.store(true, Ordering::SeqCst);
    }

    pub(crate) fn fill(&self) {
        self.engine.full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn revive(&self) {
        self.engine.dead.store(false, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> usize {
        self.engine.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn is_left_alone(&self) -> bool {
        self.guarded.state() == State::Open
    }

    /// Sends a request below `/cache`; the token may be empty.
    pub(crate) async fn send(&self, token: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send_with(token, method, path, &[], body).await
    }

    pub(crate) async fn send_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} /cache{path} HTTP/1.1\r\nhost: cache\r\nconnection: close\r\n");
        if !token.is_empty() {
            head += &format!("authorization: Bearer {token}\r\n");
        }
        if !headers.iter().any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding")) {
            head += &format!("content-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut read, mut write) = stream.split();
        // A server that refuses may answer before all is sent.
        let send = async {
            let _ = write.write_all(head.as_bytes()).await;
            let _ = write.write_all(body).await;
        };
        let mut raw = Vec::new();
        let (_, got) = tokio::join!(send, read.read_to_end(&mut raw));
        got.unwrap();
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(raw[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: raw[end + 4..].to_vec() }
    }

    /// Sends a part of what was announced, and closes.
    pub(crate) async fn break_off(&self, token: &str, path: &str, length_bytes: u64, part: &[u8]) {
        let head = format!(
            "PUT /cache{path} HTTP/1.1\r\nhost: cache\r\nauthorization: Bearer {token}\r\ncontent-length: {length_bytes}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(part).await.unwrap();
        stream.shutdown().await.unwrap();
        // Its server has noticed when it closes as well.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    pub(crate) async fn status(&self, token: &str, method: &str, path: &str, body: &[u8]) -> u16 {
        self.send(token, method, path, body).await.status
    }
}

/// Bytes that do not pack.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}
