//! `/api/v1/runs/{run}/artifacts`: what a run left, for people.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::Asker;
use super::error::ApiError;
use super::extract::Path;
use super::runs::find;
use crate::results::{ArtifactView, ResultsError};
use crate::services::Services;

impl From<ResultsError> for ApiError {
    fn from(error: ResultsError) -> Self {
        let code = match &error {
            ResultsError::NotFound(_) => "not_found",
            _ => "failed",
        };
        Self::new(error.status(), code, error.to_string())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    pinned: bool,
}

pub(super) async fn list(
    State(services): State<Services>,
    Path(run): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let run = find(&services, run).await?;
    let artifacts = services.results.artifacts_of_run(run).await?;
    Ok(Json(json!({ "run": run.to_string(), "artifacts": artifacts })))
}

pub(super) async fn download(
    State(services): State<Services>,
    Path((run, artifact)): Path<(String, i64)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find(&services, run).await?;
    Ok(services.results.download_artifact(run, artifact, &headers).await?)
}

pub(super) async fn pin(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path((run, artifact)): Path<(String, i64)>,
    body: Result<Json<Pin>, JsonRejection>,
) -> Result<Json<ArtifactView>, ApiError> {
    let Json(Pin { pinned }) = body.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let run = find(&services, run).await?;
    let found = services.results.pin_artifact(run, artifact, pinned).await?;
    let action = if pinned { "artifact.pin" } else { "artifact.unpin" };
    services.driver.note_about(origin, action, target(&run.to_string(), &found.name)).await?;
    Ok(Json(found))
}

pub(super) async fn remove(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path((run, artifact)): Path<(String, i64)>,
) -> Result<Json<Value>, ApiError> {
    let run = find(&services, run).await?;
    let found = services.results.remove_artifact(run, artifact).await?;
    services.driver.note_about(origin, "artifact.remove", target(&run.to_string(), &found.name)).await?;
    Ok(Json(json!({ "id": artifact, "name": found.name, "removed": true })))
}

/// What the audit trail calls an artifact.
fn target(run: &str, name: &str) -> String {
    format!("{run}/{name}")
}
