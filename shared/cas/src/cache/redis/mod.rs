//! Cached values in Redis: one server, one that Sentinels name, or a cluster; with or without TLS.
//!
//! Each value is a key of its own below a named prefix, `slipway:<kind>:<namespace>:<sha256>-<bytes>`, so that other
//! programs' keys live beside them, no blob meets Redis' limit of 512 MiB for one value, and a cluster shares the load.
//! Every key has a time to live, renewed by each use: whatever is forgotten goes by itself. A value carries a header
//! with its length and checksum ([`envelope`](crate::cache::envelope)).
//!
//! Calls are pipelined: one round trip for many keys, on one of several connections, since one alone limits large
//! transfers. Each has a time limit that grows with its bytes. A broken connection is made anew, once a call: all calls
//! here may be repeated. Nothing is connected when the engine is made, so that a program starts without Redis.
//!
//! What Redis evicts is Redis' business (`maxmemory-policy allkeys-lru` is what this wants).

mod cluster;
mod commands;
mod connect;
mod node;
mod options;
mod renewed;
mod sentinel;
mod topology;

use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::{Pipeline, Value as Reply};

use crate::cache::counters::{Counters, add};
use crate::cache::engine::{Engine, EngineError, Found, Keep, Later, Listed, Page, Put, Stats, check_sizes};
use crate::cache::envelope;
use crate::cache::guarded::Guarded;
use crate::cache::key::{KEY_TEXT_BYTES, Key};
use crate::cache::limits::SCAN_KEYS;

pub use options::{OptionsError, RedisOptions, Servers, Tls};

use commands::{Read, Request};
use renewed::Renewed;
use topology::Topology;

/// Values in Redis. Clones share the connections.
#[derive(Clone)]
pub struct RedisEngine {
    redis: Arc<Redis>,
}

struct Redis {
    options: RedisOptions,
    topology: Arc<Topology>,
    renewed: Renewed,
    counters: Counters,
}

impl RedisEngine {
    /// An engine for these servers; connects to none yet.
    ///
    /// # Errors
    /// [`OptionsError`] when certificates or addresses are unusable.
    pub fn new(options: RedisOptions) -> Result<Self, OptionsError> {
        let topology = Arc::new(Topology::new(&options)?);
        let renewed = Renewed::new(options.ttl.min(options.temporary_ttl));
        Ok(Self { redis: Arc::new(Redis { options, topology, renewed, counters: Counters::default() }) })
    }

    /// The same behind a circuit breaker: what a program uses.
    ///
    /// # Errors
    /// As [`RedisEngine::new`].
    pub fn guarded(options: RedisOptions) -> Result<Guarded<Self>, OptionsError> {
        let (place, breaker) = (options.place(), options.breaker);
        Ok(Guarded::new(Self::new(options)?, &place, breaker))
    }

    fn text(&self, key: &Key) -> String {
        let prefix = &self.redis.options.prefix;
        let mut text =
            String::with_capacity(prefix.len() + key.namespace.as_str().len() + KEY_TEXT_BYTES + 1);
        text.push_str(prefix);
        text.push(':');
        key.push_text(&mut text);
        text
    }

    /// What the checksum of a value covers of its key's text: all but the prefix.
    fn name<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.redis.options.prefix.len() + 1..).unwrap_or_default()
    }

    /// Asks for every key, wherever it is; the replies in the order of the requests.
    async fn ask(&self, requests: Vec<Request>) -> Result<Vec<Reply>, EngineError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.redis
            .topology
            .ask(requests)
            .await
            .map_err(|why| EngineError::unavailable(&self.redis.options.place(), why))
    }

    /// What Redis has under each of these keys, which are young again then.
    async fn values(&self, keys: &[Key], texts: &[String]) -> Result<Vec<Reply>, EngineError> {
        if keys.len() >= ONE_READ_FROM_KEYS && self.redis.topology.is_one() && self.redis.renewed.all(keys) {
            let replies = self.ask(vec![Request::get_all(texts)]).await?;
            if let Some(values) = commands::values(replies, keys.len()) {
                return Ok(values);
            }
        }
        let ttl = self.redis.options.ttl.as_secs();
        self.ask(texts.iter().map(|text| Request::get(text, ttl)).collect()).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Found>, EngineError> {
        let texts: Vec<_> = keys.iter().map(|key| self.text(key)).collect();
        let replies = self.values(keys, &texts).await?;
        let mut found = Vec::with_capacity(keys.len());
        let mut damaged = Vec::new();
        for (text, reply) in texts.iter().zip(replies) {
            found.push(match commands::read(reply) {
                Read::Missing => Found::Missing,
                Read::Bytes(bytes) => match envelope::open(self.name(text), bytes) {
                    Some(value) => Found::Value(value),
                    None => {
                        damaged.push(Request::delete(text));
                        Found::Damaged
                    }
                },
            });
        }
        self.redis.counters.found(&found);
        self.ask(damaged).await?;
        Ok(found)
    }

    async fn put(&self, puts: Vec<Put>) -> Result<(), EngineError> {
        check_sizes(&puts)?;
        add(&self.redis.counters.puts, puts.len());
        self.redis.renewed.forget(puts.iter().filter(|put| put.keep == Keep::Temporary).map(|put| &put.key));
        let request = |put: &Put| {
            let ttl = match put.keep {
                Keep::Normal => self.redis.options.ttl,
                Keep::Temporary => self.redis.options.temporary_ttl,
            };
            let text = self.text(&put.key);
            Request::set(&text, self.name(&text), &put.value, ttl.as_secs(), put.keep)
        };
        // Spread over the connections by bytes: a long value on one does not hold up those on the others.
        let mut parts = vec![Vec::new()];
        let mut bytes = 0;
        for put in &puts {
            if bytes > PART_BYTES {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += put.value.data.len();
            if let Some(part) = parts.last_mut() {
                part.push(request(put));
            }
        }
        for replies in try_join_all(parts.into_iter().map(|part| self.ask(part))).await? {
            if let Some(refused) = replies.iter().find_map(commands::refusal) {
                // Out of memory, read-only: the same to the caller as not being there.
                return Err(EngineError::unavailable(&self.redis.options.place(), refused));
            }
        }
        // Their time to live began just now.
        self.redis.renewed.note(puts.iter().filter(|put| put.keep == Keep::Normal).map(|put| &put.key));
        Ok(())
    }

    /// Whether these are there, each of which is young again then.
    async fn have(&self, keys: &[Key]) -> Result<Vec<bool>, EngineError> {
        if keys.len() >= TOUCH_FROM_KEYS && self.redis.topology.is_one() {
            let replies = self.ask(vec![Request::touch_all(&self.redis.options.prefix, keys)]).await?;
            match replies.first().and_then(commands::number) {
                Some(0) => return Ok(vec![false; keys.len()]),
                Some(there) if there == keys.len() as u64 && self.redis.renewed.all(keys) => {
                    return Ok(vec![true; keys.len()]);
                }
                _ => {}
            }
        }
        let ttl = self.redis.options.ttl.as_secs();
        let replies = self.ask(keys.iter().map(|key| Request::renew(&self.text(key), ttl)).collect()).await?;
        let there: Vec<_> = replies.iter().map(|reply| commands::number(reply) == Some(1)).collect();
        self.redis.renewed.note(keys.iter().zip(&there).filter(|(_, there)| **there).map(|(key, _)| key));
        Ok(there)
    }

    /// A step of a walk: of one server after the other.
    async fn walk(&self, from: Option<String>) -> Result<Page, EngineError> {
        let failed = |why: String| EngineError::unavailable(&self.redis.options.place(), why);
        let start = from.as_deref().unwrap_or("0 0");
        let (node, cursor) = start.split_once(' ').unwrap_or(("0", "0"));
        let (node, cursor) = (node.parse::<usize>().unwrap_or(0), cursor.parse::<u64>().unwrap_or(0));
        let pattern = format!("{}:[cman]:*", self.redis.options.prefix);
        let mut scan = Pipeline::new();
        scan.cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_KEYS);
        let Some(reply) = self.redis.topology.ask_node(node, &scan).await.map_err(failed)? else {
            return Ok(Page::default());
        };
        let (next, texts) =
            commands::scanned(reply.into_iter().next()).ok_or_else(|| failed("no scan".into()))?;
        let mut about = Pipeline::new();
        for text in &texts {
            // Neither is a use; `STRLEN` would be, and the next command would say that nothing is old.
            about.cmd("MEMORY").arg("USAGE").arg(text).cmd("OBJECT").arg("IDLETIME").arg(text);
        }
        let replies = match texts.is_empty() {
            true => Vec::new(),
            false => self.redis.topology.ask_node(node, &about).await.map_err(failed)?.unwrap_or_default(),
        };
        let prefix = format!("{}:", self.redis.options.prefix);
        let keys = texts.iter().zip(replies.chunks(2)).filter_map(|(text, about)| {
            let key = Key::from_text(text.strip_prefix(&prefix)?)?;
            let (size_bytes, idle_s) =
                (about.first().and_then(commands::number), about.get(1).and_then(commands::number));
            Some(Listed { key, size_bytes, idle_s })
        });
        let next = if next == 0 { format!("{} 0", node + 1) } else { format!("{node} {next}") };
        Ok(Page { keys: keys.collect(), next: Some(next) })
    }
}

/// From so many keys on it is first asked, with one command, whether all are there or none: fewer are renewed at once.
const TOUCH_FROM_KEYS: usize = 32;

/// From so many keys on values whose time to live was renewed lately are read with one command.
const ONE_READ_FROM_KEYS: usize = 8;

/// Bytes after which a call's values go on over another connection.
const PART_BYTES: usize = 1 << 20;

impl Engine for RedisEngine {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(self.get(keys))
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(self.put(puts))
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(self.have(keys))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        Box::pin(async move {
            self.redis.renewed.forget(keys.iter());
            let replies = self.ask(keys.iter().map(|key| Request::delete(&self.text(key))).collect()).await?;
            Ok(replies.iter().filter_map(commands::number).sum())
        })
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        Box::pin(self.walk(from))
    }

    fn stats(&self) -> Later<'_, Stats> {
        // What Redis holds is not only ours: its own `INFO` says that.
        Box::pin(async move { Ok(self.redis.counters.stats()) })
    }
}
