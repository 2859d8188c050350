//! The services that the actions of a job speak to: the cache and the artifacts of GitHub Actions.
//!
//! Unmodified clients come in by three doors: [`twirp`] (`@actions/artifact`, `@actions/cache` and others, in JSON and
//! protobuf), [`v1`] (older cache clients), and [`azure`], where the bytes go up and down under signed addresses as to an
//! Azure block blob. Behind them is one [`index`], in SQLite or PostgreSQL, and [`bytes`] in a folder or an object store. Who
//! may do what stands in the job's [`token`]. docs/RESULTS.md is the page for users.
//!
//! Invariants: nothing is seen before it is whole and durable; a cache entry never changes; a job that is over can
//! neither read nor write; what comes from outside writes no entry that the repository's own runs would find.
//!
//! Deliberately absent: artifacts of other repositories (GitHub's REST API), merging of equal contents, and a
//! promise that a cache entry stays.

mod address;
mod artifacts;
mod azure;
mod block_list;
mod bytes;
mod caches;
pub mod conformance;
mod download;
mod error;
mod for_people;
mod grant;
mod house;
mod index;
mod kept;
pub mod limits;
pub mod outside;
mod range;
mod scopes;
mod sweep;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod token;
pub mod tunnel;
mod twirp;
mod v1;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, header};
use axum::middleware;
use axum::routing::{get, post, put};
use slipway_cas::objects::Bucket;
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
use bytes::Bytes;
pub(crate) use bytes::BytesPlace;
pub(crate) use for_people::ArtifactView;
use index::{Index, Taken};
pub(crate) use index::{IndexPlace, Sharing};
pub use index::{Unused, Usage};
use limits::{CALL_MAX_BYTES, ORPHAN_AGE, SIGNED_FOR};
use token::Claims;
pub(crate) use token::{lease_of_word, lease_word};

/// The results service; cheap to clone.
#[derive(Clone)]
pub struct Results(Arc<Parts>);

struct Parts {
    index: Index,
    bytes: Bytes,
    /// Where an index is that was a file, if this one is not.
    before: PathBuf,
    /// How old bytes are that nobody names before they are removed.
    orphan_age: Duration,
    tokens: SigningKey,
    addresses: SigningKey,
    leases: Arc<LeaseTable>,
    clock: Arc<dyn Clock>,
    writing: Semaphore,
}

/// The file of an index in a folder.
pub(crate) const INDEX_FILE: &str = "index.sqlite";

/// Where caches and artifacts are.
#[derive(Debug, Clone)]
pub(crate) struct ResultsPlaces {
    /// The folder of bytes and of an index in a file; with neither, where they may be from before.
    pub(crate) folder: PathBuf,
    /// The index.
    pub(crate) index: IndexPlace,
    /// The object store of the bytes; none: the folder.
    pub(crate) bucket: Option<Bucket>,
}

impl ResultsPlaces {
    /// All of it in one folder.
    pub(crate) fn folder(folder: &Path, sharing: Sharing) -> Self {
        let index = IndexPlace::File(folder.join(INDEX_FILE), sharing);
        Self { folder: folder.to_owned(), index, bucket: None }
    }
}

/// A job, as its token tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobOfToken {
    /// The lease under which it goes on.
    pub(crate) lease: RunLease,
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
    /// Opens the places, making them if need be.
    ///
    /// # Errors
    /// When one can't be used.
    pub(crate) async fn open(
        places: ResultsPlaces,
        key: &SigningKey,
        leases: Arc<LeaseTable>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ResultsError> {
        let ResultsPlaces { folder, index, bucket } = places;
        let before = folder.join(INDEX_FILE);
        if bucket.is_none() || matches!(index, IndexPlace::File(..)) {
            std::fs::create_dir_all(&folder).map_err(error::io_at(&folder))?;
        }
        // One process alone knows that nothing is under way when it starts.
        let orphan_age = match (&index, &bucket) {
            (IndexPlace::File(_, Sharing::Alone), None) => Duration::ZERO,
            _ => ORPHAN_AGE,
        };
        let index = Index::open(&index).await?;
        let bytes = Bytes::open(BytesPlace { folder: folder.join("data"), bucket })?;
        let writing = Semaphore::new(bytes.writing_max());
        Ok(Self(Arc::new(Parts {
            index,
            bytes,
            before,
            orphan_age,
            tokens: key.derive("token"),
            addresses: key.derive("address"),
            leases,
            clock,
            writing,
        })))
    }

    /// This coordinator leads in this epoch: takes over the index of a single coordinator, if there was one. Where nobody else
    /// can be writing, what a crash left goes before anything is served; else the sweep looks for it.
    ///
    /// # Errors
    /// When index or bytes can't be used.
    pub(crate) async fn lead(&self, epoch: u64) -> Result<(), ResultsError> {
        self.0.index.lead(epoch);
        let bytes = self.0.bytes.clone();
        let taken = self.0.index.take_over(&self.0.before, move |file| bytes.is_here(file)).await?;
        if let Some(Taken { taken, left }) = taken {
            let file = self.0.before.display();
            tracing::info!(%file, taken, left, "caches and artifacts of this index are in the database now");
            if left > 0 {
                tracing::warn!(%file, left, "some caches and artifacts have their bytes elsewhere and are not taken over");
            }
        }
        match self.0.orphan_age.is_zero() {
            true => self.tidy().await,
            false => Ok(()),
        }
    }

    /// Removes bytes that nobody names. Only the leader does this.
    ///
    /// # Errors
    /// When index or bytes can't be used.
    async fn tidy(&self) -> Result<(), ResultsError> {
        let named = self.0.index.named().await?;
        self.0.bytes.keep_only(named, self.0.orphan_age, self.now_ms()).await
    }

    /// The same while it serves, where nothing is removed but what is old.
    ///
    /// # Errors
    /// When index or bytes can't be used.
    async fn tidy_if_shared(&self) -> Result<(), ResultsError> {
        match self.0.orphan_age.is_zero() {
            true => Ok(()),
            false => self.tidy().await,
        }
    }

    /// Whether the index is a file, which a backup can copy as such.
    pub(crate) fn index_is_file(&self) -> bool {
        self.0.index.is_file()
    }

    /// Writes what the index has into a new file, for a backup.
    ///
    /// # Errors
    /// When index or file can't be used.
    pub(crate) async fn copy_index(&self, file: &Path) -> Result<(), ResultsError> {
        self.0.index.copy_to(file).await
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
        let lease = claims.lease();
        Ok(JobOfToken { lease, refs: refs.collect(), repository: claims.repository })
    }

    fn check_live(&self, lease: &RunLease) -> Result<(), ResultsError> {
        if self.0.leases.is_live(lease) {
            return Ok(());
        }
        Err(ResultsError::Unauthorized("the job is over, or was given to another agent".to_owned()))
    }

    /// Whether the lease of a word is live.
    fn is_live(&self) -> impl Fn(&str) -> bool + Send + Sync + use<> {
        let leases = Arc::clone(&self.0.leases);
        move |word| lease_of_word(word).is_some_and(|lease| leases.is_live(&lease))
    }

    /// An address below `origin` under which this job may reach an upload.
    fn address(&self, origin: &str, id: i64, permission: Permission, lease: &RunLease) -> String {
        let until_s = self.now_s().saturating_add(SIGNED_FOR.as_secs());
        format!("{origin}{}", address::sign(&self.0.addresses, id, permission, until_s, lease))
    }

    /// Forgets uploads, then removes their bytes.
    async fn remove(&self, ids: Vec<i64>) -> Result<(), ResultsError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.0.index.forget_all(ids.clone()).await?;
        self.0.bytes.remove(ids).await;
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
