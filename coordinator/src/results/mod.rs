//! The services that the actions of a job speak to: the cache and the artifacts of GitHub Actions.
//!
//! Unmodified clients come in by three doors: [`twirp`] (`@actions/artifact`, `@actions/cache` and others, in JSON and
//! protobuf), [`v1`] (older cache clients), and [`azure`], where the bytes go up and down under signed addresses as to an
//! Azure block blob. Behind them is one [`index`] in SQLite and one folder of [`files`]. Who may do what stands in the
//! job's [`token`]. docs/RESULTS.md is the page for users.
//!
//! Invariants: nothing is seen before it is whole and durable; a cache entry never changes; a job that is over can
//! neither read nor write; what comes from outside writes no entry that the repository's own runs would find.
//!
//! Deliberately absent: artifacts of other runs and repositories (GitHub's REST API), merging of equal contents, and a
//! promise that a cache entry stays.

mod address;
mod artifacts;
mod azure;
mod block_list;
mod caches;
mod error;
mod files;
mod grant;
mod house;
mod index;
mod kept;
pub mod limits;
pub mod outside;
mod range;
mod scopes;
mod sweep;
mod token;
pub mod tunnel;
mod twirp;
mod v1;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, header};
use axum::middleware;
use axum::routing::{get, post, put};
use slipway_kit::clock::Clock;
use tokio::sync::Semaphore;

pub use error::ResultsError;
pub use kept::KeptResults;
pub(crate) use sweep::run as sweep;

use crate::driver::leases::LeaseTable;
use crate::driver::message::RunLease;
use crate::http::read_refused;
use crate::key::SigningKey;
use address::Permission;
use files::Files;
use index::Index;
pub(crate) use index::Sharing;
pub use index::{Unused, Usage};
use limits::{CALL_MAX_BYTES, SIGNED_FOR, WRITING_MAX};
use token::{Claims, lease_of_word};

/// The results service; cheap to clone.
#[derive(Clone)]
pub struct Results(Arc<Parts>);

struct Parts {
    index: Index,
    files: Files,
    tokens: SigningKey,
    addresses: SigningKey,
    leases: Arc<LeaseTable>,
    clock: Arc<dyn Clock>,
    writing: Semaphore,
}

/// A job, as its token tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobOfToken {
    /// Forge and repository.
    pub(crate) repository: String,
    /// Refs, and whether cache entries of them may be read and written, in the order in which they are looked through.
    pub(crate) refs: Vec<(String, bool, bool)>,
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Results")
    }
}

impl Results {
    /// Opens the folder, making it if need be. Blocks for a moment.
    ///
    /// # Errors
    /// When index or folder can't be used.
    pub(crate) async fn open(
        folder: &Path,
        key: &SigningKey,
        sharing: Sharing,
        leases: Arc<LeaseTable>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ResultsError> {
        let files = Files::open(folder.join("data"))?;
        let index = Index::open(&folder.join("index.sqlite"), sharing)?;
        Ok(Self(Arc::new(Parts {
            index,
            files,
            tokens: key.derive("token"),
            addresses: key.derive("address"),
            leases,
            clock,
            writing: Semaphore::new(WRITING_MAX),
        })))
    }

    /// Removes what a crash left in the folder. Nobody may write meanwhile: only the leader does this, before it serves.
    ///
    /// # Errors
    /// When index or folder can't be used.
    pub(crate) async fn tidy(&self) -> Result<(), ResultsError> {
        let numbers = self.0.index.numbers().await?;
        self.0.files.keep_only(&numbers)
    }

    fn now_ms(&self) -> u64 {
        self.0.clock.unix_ms()
    }

    fn now_s(&self) -> u64 {
        self.now_ms() / 1_000
    }

    /// What the job may do whose token a request carries.
    fn claims(&self, headers: &HeaderMap) -> Result<Claims, ResultsError> {
        let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let claims = Claims::read(&self.0.tokens, authorization, self.now_s())?;
        self.check_live(&claims.lease())?;
        Ok(claims)
    }

    /// The job that goes on whose token an `authorization` header carries.
    ///
    /// # Errors
    /// [`ResultsError::Unauthorized`].
    pub(crate) fn job_of(&self, authorization: Option<&[u8]>) -> Result<JobOfToken, ResultsError> {
        let claims = Claims::read(&self.0.tokens, authorization, self.now_s())?;
        self.check_live(&claims.lease())?;
        let refs =
            claims.scopes().into_iter().map(|it| (it.scope.clone(), it.is_readable(), it.is_writable()));
        Ok(JobOfToken { refs: refs.collect(), repository: claims.repository })
    }

    fn check_live(&self, lease: &RunLease) -> Result<(), ResultsError> {
        if self.0.leases.is_live(lease) {
            return Ok(());
        }
        Err(ResultsError::Unauthorized("the job is over, or was given to another agent".to_owned()))
    }

    /// Whether the lease of a word is live.
    fn is_live(&self) -> impl Fn(&str) -> bool + Send + use<> {
        let leases = Arc::clone(&self.0.leases);
        move |word| lease_of_word(word).is_some_and(|lease| leases.is_live(&lease))
    }

    /// An address below `origin` under which this job may reach an upload.
    fn address(&self, origin: &str, id: i64, permission: Permission, lease: &RunLease) -> String {
        let until_s = self.now_s().saturating_add(SIGNED_FOR.as_secs());
        format!("{origin}{}", address::sign(&self.0.addresses, id, permission, until_s, lease))
    }

    /// Forgets uploads, then removes their files.
    async fn remove(&self, ids: Vec<i64>) -> Result<(), ResultsError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.0.index.forget_all(ids.clone()).await?;
        self.0.files.remove(ids).await;
        Ok(())
    }
}

/// Where the client reached us: it reaches us there again. A job sees the service under a name of its own.
fn origin(headers: &HeaderMap) -> Result<String, ResultsError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| ResultsError::Invalid("the request has no `host`".to_owned()))?;
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    Ok(format!("{scheme}://{host}"))
}

/// Everything that a job may reach; all of it asks for a token or a signed address.
pub(crate) fn router(results: Results) -> Router {
    let calls = Router::new()
        .route("/twirp/github.actions.results.api.v1.CacheService/{method}", post(twirp::cache_service))
        .route("/twirp/github.actions.results.api.v1.ArtifactService/{method}", post(twirp::artifact_service))
        .route("/_apis/artifactcache/cache", get(v1::find))
        .route("/_apis/artifactcache/caches", get(v1::list).post(v1::reserve))
        .layer(DefaultBodyLimit::max(CALL_MAX_BYTES));
    let uploads = Router::new()
        .route("/_apis/artifactcache/caches/{id}", post(v1::commit).patch(v1::upload))
        .route(&format!("{}/{{id}}", address::PATH), put(azure::upload).get(azure::download))
        .layer(DefaultBodyLimit::disable());
    calls.merge(uploads).layer(middleware::from_fn(read_refused)).with_state(results)
}
