//! The HTTP front door: health, metrics, `/api/v1`, webhooks and the [`crate::pages`] for people.
//!
//! `/api/v1` needs a token whose role is enough ([`crate::access`]), but for its description; webhooks need their signature; health and metrics are open.
//! Every error has one form: `{"error":{"code","message"}}`. GitHub's JSON stops at [`crate::github`].

pub(crate) mod access_tokens;
mod agents;
mod approvals;
mod artifacts;
mod audit;
pub(crate) mod auth;
mod backup;
mod badge;
mod blobs;
mod cache;
mod dispatches;
pub(crate) mod door;
pub(crate) mod enrolment;
mod error;
mod events;
mod extract;
mod forward;
mod health;
mod history;
mod identity;
pub(crate) mod kept;
mod kept_secrets;
mod kept_variables;
mod metrics;
pub mod openapi;
mod pools;
mod records;
mod remainder;
mod reports;
mod runs;
mod secure;
mod test_cases;
mod trends;
mod vault;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, post, put};

pub(crate) use error::ApiError;
pub(crate) use remainder::read_refused;

use crate::github;
use crate::pages;
use crate::results;
use crate::services::Services;
use crate::tls::{Incoming, ServerTls, TlsListener};

/// The longest JSON body, in bytes: a workflow, an event payload and what is around them.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// The routes of `/api/v1`, as [`openapi`] has to describe them, sorted.
pub const ROUTES: [&str; 54] = [
    "delete /agents/tokens/{token}",
    "delete /agents/{agent}",
    "delete /pools/{pool}",
    "delete /runs/{run}/artifacts/{artifact}",
    "delete /secrets/{secret}",
    "delete /tokens/{token}",
    "delete /variables/{variable}",
    "get /agents",
    "get /agents/tokens",
    "get /audit",
    "get /audit/verify",
    "get /backup",
    "get /cache",
    "get /identity",
    "get /openapi.json",
    "get /pools",
    "get /reports",
    "get /runs",
    "get /runs/{run}",
    "get /runs/{run}/artifacts",
    "get /runs/{run}/artifacts/{artifact}",
    "get /runs/{run}/carried",
    "get /runs/{run}/events",
    "get /runs/{run}/logs",
    "get /runs/{run}/records",
    "get /runs/{run}/reports",
    "get /runs/{run}/tests",
    "get /secrets",
    "get /tests",
    "get /tests/one",
    "get /tokens",
    "get /usage",
    "get /variables",
    "get /whoami",
    "post /agents/tokens",
    "post /agents/{agent}/drain",
    "post /agents/{agent}/resume",
    "post /blobs",
    "post /cache/check",
    "post /cache/prune",
    "post /cache/tokens",
    "post /dispatches",
    "post /history/rebuild",
    "post /identity/rotate",
    "post /runs",
    "post /runs/{run}/approvals",
    "post /runs/{run}/cancel",
    "post /runs/{run}/rerun",
    "post /tokens",
    "post /vault/rotate",
    "put /pools/{pool}",
    "put /runs/{run}/artifacts/{artifact}",
    "put /secrets/{secret}",
    "put /variables/{variable}",
];

/// All routes.
pub(crate) fn router(services: Services) -> std::io::Result<Router> {
    let forwarder = forward::Forwarder::new(services.clone())?;
    let api = Router::new()
        .route("/runs", get(runs::list).post(runs::submit))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/events", get(events::events))
        .route("/runs/{run}/logs", get(events::logs))
        .route("/runs/{run}/records", get(records::verify))
        .route("/runs/{run}/reports", get(reports::reports))
        .route("/runs/{run}/tests", get(test_cases::tests))
        .route("/runs/{run}/approvals", post(approvals::decide))
        .route("/runs/{run}/artifacts", get(artifacts::list))
        .route(
            "/runs/{run}/artifacts/{artifact}",
            get(artifacts::download).put(artifacts::pin).delete(artifacts::remove),
        )
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/carried", get(dispatches::carried))
        .route("/runs/{run}/rerun", post(dispatches::rerun))
        .route("/dispatches", post(dispatches::dispatch))
        .route("/audit", get(audit::list))
        .route("/audit/verify", get(audit::verify))
        .route("/backup", get(backup::backup))
        .route("/cache", get(cache::show))
        .route("/cache/check", post(cache::check))
        .route("/cache/prune", post(cache::prune))
        .route("/cache/tokens", post(cache::make_pass))
        .route("/history/rebuild", post(history::rebuild))
        .route("/identity", get(identity::show))
        .route("/identity/rotate", post(identity::rotate))
        .route("/agents", get(agents::list))
        .route("/agents/tokens", get(enrolment::list_tokens).post(enrolment::make_token))
        .route("/agents/tokens/{token}", delete(enrolment::revoke_token))
        .route("/agents/{agent}", delete(enrolment::remove))
        .route("/pools", get(pools::list))
        .route("/pools/{pool}", put(pools::set).delete(pools::remove))
        .route("/tests", get(trends::tests))
        .route("/tests/one", get(trends::one_test))
        .route("/tokens", get(access_tokens::list).post(access_tokens::make))
        .route("/tokens/{token}", delete(access_tokens::revoke))
        .route("/reports", get(trends::reports))
        .route("/usage", get(trends::usage))
        .route("/whoami", get(access_tokens::whoami))
        .route("/secrets", get(kept_secrets::list))
        .route("/secrets/{secret}", put(kept_secrets::set).delete(kept_secrets::remove))
        .route("/vault/rotate", post(vault::rotate))
        .route("/variables", get(kept_variables::list))
        .route("/variables/{variable}", put(kept_variables::set).delete(kept_variables::remove))
        .route("/agents/{agent}/drain", post(agents::drain))
        .route("/agents/{agent}/resume", post(agents::resume))
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .route("/blobs", post(blobs::upload).layer(DefaultBodyLimit::disable()))
        .layer(middleware::from_fn_with_state(services.clone(), auth::require_role))
        // Whoever has no token may still read how to get along.
        .route("/openapi.json", get(openapi::document))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed);
    // Every coordinator serves it, leader or not.
    let cache = services.cache.as_ref().map(|cache| cache.http().layer(middleware::from_fn(read_refused)));
    let all = Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::page))
        .route("/badge/{owner}/{name}/{file}", get(badge::badge))
        .route(
            "/webhooks/github",
            post(github::webhook).layer(DefaultBodyLimit::max(github::MAX_PAYLOAD_BYTES)),
        )
        .merge(crate::identity::documents())
        .merge(pages::router(&services))
        .fallback(error::nothing_here)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(read_refused))
        .with_state(services.clone())
        .merge(results::router(services.results))
        // Before anything reads the request: the leader checks it.
        .layer(middleware::from_fn_with_state(forwarder, forward::to_leader));
    Ok(match cache {
        Some(cache) => all.nest("/cache", cache),
        None => all,
    })
}

/// Serves until [`Services::closing`] is raised.
///
/// # Errors
/// When the listener breaks.
pub(crate) async fn serve(
    services: Services,
    listener: tokio::net::TcpListener,
    tls: Option<&ServerTls>,
) -> std::io::Result<()> {
    use axum::serve::ListenerExt as _;
    let closing = services.closing.clone();
    let router = router(services)?;
    let closed = closing.clone().cancelled_owned();
    if let Some(tls) = tls {
        let listener = TlsListener(Incoming::new(listener, Arc::clone(&tls.http), closing)?);
        // What handlers ask for is the same with and without TLS.
        let router = router.layer(middleware::from_fn(secure::as_without));
        let router = router.into_make_service_with_connect_info::<secure::TlsPeer>();
        return axum::serve(listener, router).with_graceful_shutdown(closed).await;
    }
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(closed).await
}
