//! The agent's own disk as the first tier of the cache for build tools.
//!
//! An agent opens the same front doors for its jobs as its coordinator does ([`slipway_cache`]), over a disk of its own before the
//! coordinator's cache. What does not change is read from the disk; whether something is there, and what a name stands for, is
//! always asked of the coordinator, under the job's token ([`slipway_cache::remote`]). What is written goes to both.
//!
//! Invariants: a request is answered here only if it shows the token of this socket's own job, and while the coordinator says that
//! the job goes on; everything else gets what the coordinator answers ([`crate::tunnel`]). A job sees on this disk what it may see
//! at the coordinator, for both name the same places. A coordinator that is away is a cache that misses, not a build that fails.
//!
//! Deliberately absent: a decision about who may see what. Agents ask.

mod count;
mod gate;
mod line;
pub(crate) mod pieces;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, header};
use slipway_cache::gate::token_of;
use slipway_cache::reapi::Reapi;
use slipway_cache::remote::{Instances, RemoteEngine};
use slipway_cache::{is_of_cache, on_one_port};
use slipway_cas::cache::breaker::BreakerOptions;
use slipway_cas::cache::{
    BlobCache, Compression, DiskEngine, DiskOptions, Engine, Guarded, Quotas, Tiered, WriteMode,
};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::DropGuard;
use tower::ServiceExt as _;

use crate::coordinator::Coordinator;
use gate::JobGate;
use line::Line;
use pieces::Pieces;

/// The folder in the agent's data directory.
const FOLDER: &str = "cache";

/// How errors name the coordinator.
const PLACE: &str = "the coordinator";

/// An agent's disk; none, if it is off or cannot be used.
#[derive(Clone, Default)]
pub struct Tier {
    disk: Option<DiskEngine>,
}

impl std::fmt::Debug for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tier").field("on", &self.disk.is_some()).finish()
    }
}

impl Tier {
    /// Opens the folder in this data directory; of no bytes at all there is none. An agent whose folder cannot be used goes without,
    /// and says so here, once.
    pub async fn open(data_dir: &Path, max_bytes: u64) -> Self {
        if max_bytes == 0 {
            return Self::default();
        }
        let options = DiskOptions { root: data_dir.join(FOLDER), max_bytes, quotas: Quotas::default() };
        let opened = tokio::task::spawn_blocking(move || DiskEngine::open(&options)).await;
        let why = match opened {
            Ok(Ok(disk)) => return Self { disk: Some(disk) },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(why, "this agent keeps no part of the cache on its own disk");
        Self::default()
    }

    /// The doors of one job; none without a disk.
    #[must_use]
    pub fn for_job(&self, coordinator: &Coordinator, token: &str) -> Option<JobTier> {
        let disk = self.disk.clone()?;
        let instances = Instances::default();
        let line = Arc::new(Line::new(coordinator));
        let same = Arc::clone(&line);
        let connect = Box::new(move || same.anew());
        let remote = RemoteEngine::new(connect, token, instances.clone(), PLACE);
        let slow = Guarded::new(remote, PLACE, BreakerOptions::default());
        let engine: Arc<dyn Engine> =
            Arc::new(Tiered::new(Arc::new(disk.clone()), Arc::new(slow), WriteMode::Through));
        let gate = Arc::new(JobGate::new(line, token, instances));
        let cache = BlobCache::new(engine, gate.nowhere().clone(), Compression::WherePaying);
        let http = slipway_cache::http::router(cache.clone(), gate.clone());
        let doors = on_one_port(http, &Reapi::new(cache, gate.clone()));
        let telling = Arc::new(count::tell(&gate));
        Some(JobTier { doors, gate, token: token.into(), pieces: Pieces::new(disk), _telling: telling })
    }
}

/// The doors of one job; clones share them. The last one dropped tells the coordinator what is still to be told.
#[derive(Clone)]
pub struct JobTier {
    doors: Router,
    gate: Arc<JobGate>,
    token: Arc<str>,
    pieces: Pieces,
    _telling: Arc<DropGuard>,
}

impl JobTier {
    /// Whether a request is for these doors, and of this job.
    pub(crate) fn is_asked(&self, request: &Request<Body>) -> bool {
        is_of_cache(request.uri().path()) && self.is_shown(request.headers())
    }

    /// Whether they are open: the coordinator may have no cache, or know nothing of agents' disks.
    pub(crate) async fn is_on(&self) -> bool {
        self.gate.is_on().await
    }

    /// What the disk has of entries of the Actions cache.
    pub(crate) const fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(token_of).unwrap_or_default();
        shown.as_bytes().ct_eq(self.token.as_bytes()).into()
    }

    /// Answers a request that is.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self.doors.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}
