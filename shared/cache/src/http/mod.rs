//! The cache over plain HTTP: Bazel's own form of it, and whatever else gets and puts files by name.
//!
//! | below `/cache` | for |
//! |---|---|
//! | `/bazel/INSTANCE/ac/HASH`, `/bazel/INSTANCE/cas/HASH` | Bazel, Pants and others; the instance may be empty or have slashes |
//! | `/files/NAME` | ccache, Gradle, sccache (WebDAV): any name, with `PROPFIND` and `MKCOL` |
//! | `/turbo/v8/artifacts/…` | Turborepo |
//! | `/nx/v1/cache/HASH` | Nx |
//!
//! A cache that cannot be asked is a miss (404), and what could not be stored is taken all the same: a tool that hears of a
//! failure may stop using the cache for the rest of its build, or fail it.

mod bazel;
mod body;
mod error;
mod files;
mod named;
mod nx;
mod turbo;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, header};
use axum::routing::{any, get, post};
use slipway_cas::cache::BlobCache;

use crate::accounts::Door;
use crate::gate::{Asking, Gate, Refusal};
use crate::limits::MAX_INSTANCE_BYTES;
use crate::view::View;
use error::HttpError;

/// What the handlers need.
#[derive(Clone)]
struct Doors {
    cache: BlobCache,
    gate: Arc<dyn Gate>,
}

/// All doors, to be nested below `/cache`.
pub fn router(cache: BlobCache, gate: Arc<dyn Gate>) -> Router {
    Router::new()
        .route("/bazel/{*path}", any(bazel::handle))
        .route("/files/{*path}", any(files::handle))
        .route("/files/", any(files::handle_root))
        .route("/turbo/v8/artifacts/status", get(turbo::status).options(turbo::preflight))
        .route("/turbo/v8/artifacts/events", post(turbo::events).options(turbo::preflight))
        .route("/turbo/v8/artifacts", post(turbo::query).options(turbo::preflight))
        .route("/turbo/v8/artifacts/{hash}", get(turbo::get).put(turbo::put).options(turbo::preflight))
        .route("/nx/v1/cache/{hash}", get(nx::get).put(nx::put))
        .layer(DefaultBodyLimit::disable())
        .with_state(Doors { cache, gate })
}

impl Doors {
    /// What the sender of a request may see.
    async fn view(&self, headers: &HeaderMap, instance: &str) -> Result<View, HttpError> {
        if instance.len() > MAX_INSTANCE_BYTES {
            return Err(HttpError::invalid(format!(
                "the cache's name is longer than {MAX_INSTANCE_BYTES} bytes"
            )));
        }
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let asking = Asking {
            authorization: header(header::AUTHORIZATION),
            instance,
            door: Door::Http,
            client: header(header::USER_AGENT),
        };
        let access = self.gate.admit(asking).await.map_err(|refusal| match refusal {
            Refusal::Unauthenticated(why) => HttpError::unauthenticated(why),
            Refusal::Forbidden(why) => HttpError::forbidden(why),
        })?;
        Ok(View::new(&self.cache, access))
    }
}
