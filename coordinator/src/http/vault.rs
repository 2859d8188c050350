//! `/api/v1/vault/rotate`: kept secrets under another key.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::door::Asker;
use super::error::ApiError;
use crate::services::Services;
use crate::vault::{self, RotationError};

impl From<RotationError> for ApiError {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Driver(error) => error.into(),
            RotationError::Refused(message) => Self::new(StatusCode::CONFLICT, "conflict", message),
            error => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()),
        }
    }
}

pub(super) async fn rotate(
    State(services): State<Services>,
    Asker(origin): Asker,
) -> Result<Json<Value>, ApiError> {
    let rotated = vault::rotate(&services, origin).await?;
    Ok(Json(json!({ "sealed": rotated.sealed })))
}
