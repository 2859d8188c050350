//! `/api/v1/secrets`: names go out, values only come in.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::door::Asker;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::kept::{Place, address};
use crate::services::Services;
use crate::vault::{self, VaultError};

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Invalid(message) => Self::bad_request(message),
            VaultError::Driver(error) => error.into(),
            VaultError::Io { .. } | VaultError::Lost { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretBody {
    value: String,
    repository: Option<String>,
    environment: Option<String>,
}

pub(super) async fn list(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let secrets = services.driver.query(|view| {
        let secrets = view.ledger.house().secrets().map(|secret| {
            let (repository, environment) = secret.address.scope.parts();
            json!({
                "name": secret.address.name,
                "repository": repository,
                "environment": environment,
                "set_at_ms": secret.at.0,
            })
        });
        secrets.collect::<Vec<_>>()
    });
    Ok(Json(json!({ "secrets": secrets.await? })))
}

pub(super) async fn set(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(name): Path<String>,
    body: Result<Json<SecretBody>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(SecretBody { value, repository, environment }) = body?;
    let address = address("secret", &name, Place { repository, environment })?;
    let name = address.name.clone();
    vault::set(&services, address, &value, origin).await?;
    Ok(Json(json!({"name": name, "set": true})))
}

pub(super) async fn remove(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(name): Path<String>,
    Query(place): Query<Place>,
) -> Result<Json<Value>, ApiError> {
    let address = address("secret", &name, place)?;
    let name = address.name.clone();
    vault::remove(&services, address, origin).await?;
    Ok(Json(json!({"name": name, "removed": true})))
}
