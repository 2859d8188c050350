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
use crate::hashicorp_vault::VaultReference;
use crate::services::Services;
use crate::vault::{self, VaultError};

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Invalid(message) => Self::bad_request(message),
            VaultError::Driver(error) => error.into(),
            VaultError::Refused { .. } => Self::bad_request(error.to_string()),
            VaultError::Io { .. } | VaultError::Lost { .. } | VaultError::Away { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretBody {
    value: Option<String>,
    /// Where it is in HashiCorp Vault.
    vault: Option<String>,
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
                "vault": secret.reference().map(ToString::to_string),
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
    let Json(SecretBody { value, vault: reference, repository, environment }) = body?;
    let address = address("secret", &name, Place { repository, environment })?;
    let name = address.name.clone();
    match (value, reference) {
        (Some(value), None) => vault::set(&services, address, &value, origin).await?,
        (None, Some(reference)) => {
            let reference = reference.parse::<VaultReference>();
            let reference = reference.map_err(|error| ApiError::bad_request(error.to_string()))?;
            vault::refer(&services, address, reference, origin).await?;
        }
        _ => {
            let reason = "give either `value`, or `vault` (PATH#FIELD in HashiCorp Vault)";
            return Err(ApiError::bad_request(reason));
        }
    }
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
