//! `/api/v1/audit`: the trail, and the check of the journal below it.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::error::ApiError;
use super::extract::Query;
use crate::audit::{self, Page};
use crate::services::Services;

/// How many entries one page has at most.
const PAGE_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// The position that the page before ended at; 0: the beginning.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    /// The hash there, to be checked.
    #[serde(default)]
    hash: String,
}

pub(super) async fn list(
    State(services): State<Services>,
    Query(place): Query<Place>,
) -> Result<Json<Page>, ApiError> {
    let limit = place.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    Ok(Json(audit::page(&services.driver, place.after, limit).await?))
}

pub(super) async fn verify(
    State(services): State<Services>,
    Query(place): Query<Place>,
) -> Result<Json<Page>, ApiError> {
    Ok(Json(audit::verify(&services.driver, place.after, &place.hash).await?))
}
