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
use crate::house::{SecretAddress, SecretPlace};
use crate::services::Services;
use crate::vault::{self, VaultError};

/// The longest name of a repository or environment, in bytes; GitHub's limit of an environment's name.
const PLACE_BYTES_MAX: usize = 255;

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

/// Whose secret it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) repository: Option<String>,
    pub(crate) environment: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretBody {
    value: String,
    repository: Option<String>,
    environment: Option<String>,
}

/// The secret of this name and place.
///
/// # Errors
/// They are none.
pub(crate) fn address(name: &str, place: Place) -> Result<SecretAddress, ApiError> {
    let checked = |what: &str, text: String| {
        let bad = text.is_empty() || text.len() > PLACE_BYTES_MAX || text.chars().any(char::is_control);
        match bad {
            false => Ok(text),
            true => {
                Err(ApiError::bad_request(format!("`{what}` is empty, too long, or has control characters")))
            }
        }
    };
    let place = match (place.repository, place.environment) {
        (None, None) => SecretPlace::Server,
        (Some(repository), None) => {
            SecretPlace::Repository { repository: checked("repository", repository)? }
        }
        (Some(repository), Some(environment)) => SecretPlace::Environment {
            repository: checked("repository", repository)?,
            environment: checked("environment", environment)?,
        },
        (None, Some(_)) => {
            return Err(ApiError::bad_request("`environment` is one of a repository: give `repository` too"));
        }
    };
    Ok(SecretAddress { name: vault::checked_name(name)?, place })
}

pub(super) async fn list(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let secrets = services.driver.query(|view| {
        let secrets = view.ledger.house().secrets().map(|secret| {
            let (repository, environment) = match &secret.address.place {
                SecretPlace::Server => (None, None),
                SecretPlace::Repository { repository } => (Some(repository.clone()), None),
                SecretPlace::Environment { repository, environment } => {
                    (Some(repository.clone()), Some(environment.clone()))
                }
            };
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
    let address = address(&name, Place { repository, environment })?;
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
    let address = address(&name, place)?;
    let name = address.name.clone();
    vault::remove(&services, address, origin).await?;
    Ok(Json(json!({"name": name, "removed": true})))
}
