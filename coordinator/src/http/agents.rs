//! `/api/v1/agents`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use slipway_scheduler::AgentId;

use super::door::Asker;
use super::error::ApiError;
use super::extract::Path;
use crate::services::Services;
use crate::view;

pub(super) async fn list(State(services): State<Services>) -> Result<Json<Value>, ApiError> {
    let agents = services.driver.query(view::agents).await?;
    Ok(Json(json!({ "agents": agents })))
}

pub(super) async fn drain(
    services: State<Services>,
    asker: Asker,
    agent: Path<String>,
) -> Result<Json<Value>, ApiError> {
    steer(services, asker, agent, true).await
}

pub(super) async fn resume(
    services: State<Services>,
    asker: Asker,
    agent: Path<String>,
) -> Result<Json<Value>, ApiError> {
    steer(services, asker, agent, false).await
}

async fn steer(
    State(services): State<Services>,
    Asker(origin): Asker,
    Path(agent): Path<String>,
    on: bool,
) -> Result<Json<Value>, ApiError> {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no agent of this id");
    let id: AgentId = agent.parse().map_err(|_| unknown())?;
    if !services.driver.drain(id, on, origin).await? {
        return Err(unknown());
    }
    tracing::info!(agent = %id, on, "an agent is steered");
    Ok(Json(json!({"agent_id": id.to_string(), "draining": on})))
}
