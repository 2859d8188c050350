//! `/api/v1/cache`: what the caches hold, and keeping them in order.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_cache::limits::MAX_INSTANCE_BYTES;
use slipway_cas::cache::CacheError;

use super::door::Asker;
use super::error::ApiError;
use crate::cache::{Cache, CacheState, PASS_DAYS_MAX};
use crate::services::Services;

/// The most days that `unused_days` may say: a century.
const DAYS_MAX: u64 = 36_525;

const DAY: Duration = Duration::from_secs(24 * 3600);

impl From<CacheError> for ApiError {
    fn from(error: CacheError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "cache_unavailable", error.to_string())
    }
}

pub(super) async fn show(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let repositories = services.results.usage().await?;
    let build_tools = match &services.cache {
        Some(cache) => cache.state(repositories.iter().map(|usage| usage.repository.clone()).collect()).await,
        None => CacheState::OFF,
    };
    Ok(Json(json!({ "build_tools": build_tools, "repositories": repositories })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prune {
    unused_days: u64,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn prune(
    State(services): State<Services>,
    Asker(origin): Asker,
    Json(wanted): Json<Prune>,
) -> Result<Json<Value>, ApiError> {
    let Prune { unused_days, dry_run } = wanted;
    if unused_days > DAYS_MAX {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid",
            format!("`unused_days` is at most {DAYS_MAX}"),
        ));
    }
    let unused = DAY * u32::try_from(unused_days).unwrap_or(u32::MAX);
    if !dry_run {
        services.driver.note(origin, "cache.prune", None).await?;
    }
    let caches = services.results.prune_caches(unused, dry_run).await?;
    let build_tools = match &services.cache {
        Some(cache) => Some(cache.prune(unused.as_secs(), dry_run).await?),
        None => None,
    };
    let build_tools =
        build_tools.map(|it| json!({"values": it.values, "size_bytes": it.size_bytes, "seen": it.seen}));
    Ok(Json(json!({ "dry_run": dry_run, "build_tools": build_tools, "actions": caches })))
}

fn opened(services: &Services) -> Result<&Cache, ApiError> {
    services.cache.as_ref().ok_or_else(|| {
        ApiError::new(StatusCode::CONFLICT, "conflict", "the coordinator was started with --cache off")
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPass {
    /// The only cache that it is for.
    instance: Option<String>,
    write: bool,
    days: u32,
}

pub(super) async fn make_pass(
    State(services): State<Services>,
    Asker(origin): Asker,
    Json(wanted): Json<NewPass>,
) -> Result<Json<Value>, ApiError> {
    let cache = opened(&services)?;
    let NewPass { instance, write, days } = wanted;
    let invalid = |why: String| ApiError::new(StatusCode::BAD_REQUEST, "invalid", why);
    if !(1..=PASS_DAYS_MAX).contains(&days) {
        return Err(invalid(format!("`days` is from 1 to {PASS_DAYS_MAX}")));
    }
    let length = instance.as_ref().map(String::len);
    if length.is_some_and(|length| length == 0 || length > MAX_INSTANCE_BYTES) {
        return Err(invalid(format!("`instance` has 1 to {MAX_INSTANCE_BYTES} bytes")));
    }
    services.driver.note(origin, "cache.token", None).await?;
    let (token, pass) = cache.make_pass(instance, write, days);
    Ok(Json(json!({"token": token, "instance": pass.instance, "write": pass.write, "until_s": pass.until_s})))
}

pub(super) async fn check(
    State(services): State<Services>,
    Asker(origin): Asker,
) -> Result<Json<Value>, ApiError> {
    let cache = opened(&services)?;
    // It removes what is damaged.
    services.driver.note(origin, "cache.check", None).await?;
    let checked = cache.check().await?;
    Ok(Json(json!({
        "checked": checked.checked, "damaged": checked.damaged, "incomplete": checked.incomplete,
    })))
}
