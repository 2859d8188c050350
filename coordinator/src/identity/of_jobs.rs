//! The door for jobs: `GET ACTIONS_ID_TOKEN_REQUEST_URL&audience=…`, as GitHub's toolkit asks.
//!
//! It is served to the tunnels of agents alone, not at the coordinator's HTTP address: a request token that leaked is good for nothing
//! outside of the machines that run jobs.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::issue::{IssueError, issue};
use crate::http::read_refused;
use crate::services::Services;

/// Where a job asks; what it adds begins with `&`.
const PATH: &str = "/identity/token";

/// What a job may add.
#[derive(Debug, Deserialize)]
struct Asked {
    audience: Option<String>,
}

impl IntoResponse for IssueError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::Audience(_) => StatusCode::BAD_REQUEST,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::NoIssuer => StatusCode::PRECONDITION_FAILED,
            Self::Key(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Specification(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::warn!(error = %self, "a job got no identity token");
        }
        // GitHub's toolkit shows `message`.
        (status, Json(json!({"message": self.to_string()}))).into_response()
    }
}

async fn token(
    State(services): State<Services>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let Query(asked) = asked.map_err(|error| IssueError::Audience(error.body_text()))?;
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let value = issue(&services, authorization, asked.audience).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(json!({"value": value}))).into_response())
}

/// What a tunnel reaches of this.
pub(crate) fn router(services: Services) -> Router {
    Router::new().route(PATH, get(token)).layer(middleware::from_fn(read_refused)).with_state(services)
}
