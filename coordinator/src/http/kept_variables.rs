//! `/api/v1/variables`: what workflows find in the `vars` context.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_scheduler::Timestamp;

use super::door::Asker;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::kept::{Place, address};
use crate::house::{HouseCommand, KeptVariable};
use crate::services::Services;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariableBody {
    value: String,
    repository: Option<String>,
    environment: Option<String>,
}

pub(super) async fn list(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let variables = services.driver.query(|view| {
        let variables = view.ledger.house().variables().map(|variable| {
            let (repository, environment) = variable.address.scope.parts();
            json!({
                "name": variable.address.name,
                "repository": repository,
                "environment": environment,
                "value": variable.value,
                "set_at_ms": variable.at.0,
            })
        });
        variables.collect::<Vec<_>>()
    });
    Ok(Json(json!({ "variables": variables.await? })))
}

pub(super) async fn set(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(name): Path<String>,
    body: Result<Json<VariableBody>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(VariableBody { value, repository, environment }) = body?;
    let address = address("variable", &name, Place { repository, environment })?;
    let name = address.name.clone();
    let variable = KeptVariable { address, value, at: Timestamp(0) };
    services.driver.house(HouseCommand::SetVariable(variable), origin).await?;
    Ok(Json(json!({"name": name, "set": true})))
}

pub(super) async fn remove(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(name): Path<String>,
    Query(place): Query<Place>,
) -> Result<Json<Value>, ApiError> {
    let address = address("variable", &name, place)?;
    let name = address.name.clone();
    services.driver.house(HouseCommand::RemoveVariable(address), origin).await?;
    Ok(Json(json!({"name": name, "removed": true})))
}
