//! `/api/v1/identity`: the issuer of identity tokens and its keys, for administrators.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::door::Asker;
use super::error::ApiError;
use crate::identity::{self, RotateError};
use crate::services::Services;

impl From<RotateError> for ApiError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Driver(error) => error.into(),
            error => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// What other keys signed counts no longer.
    #[serde(default)]
    alone: bool,
}

pub(super) async fn show(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    identity::keys_for_admins(&services).await.map(Json)
}

pub(super) async fn rotate(
    State(services): State<Services>,
    Asker(origin): Asker,
    body: Result<Json<Rotation>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Rotation { alone }) = body?;
    identity::rotate(&services, alone, origin).await?;
    identity::keys_for_admins(&services).await.map(Json)
}
