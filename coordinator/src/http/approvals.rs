//! `/api/v1/runs/{run}/approvals`: somebody lets what waits for an environment go on, or not.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_scheduler::command::DecideGates;

use super::auth::By;
use super::door::Door;
use super::error::ApiError;
use super::extract::Path;
use super::runs::find;
use crate::audit::{Origin, TEXT_MAX};
use crate::services::Services;

/// What somebody decides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// Without it: the whole run, which waits to begin.
    #[serde(default)]
    environment: Option<String>,
    decision: Decision,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    comment: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approve,
    Reject,
}

/// Decides about all of the run's jobs that wait for the environment now, or, without one, whether the run begins.
pub(super) async fn decide(
    State(services): State<Services>,
    By(caller): By,
    Door(door): Door,
    Path(run): Path<String>,
    body: Result<Json<Approval>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Approval { environment, decision, actor, comment }) = body?;
    let run = find(&services, run).await?;
    if environment.as_deref() == Some("") {
        let message = "`environment` is empty: name one, or leave it out to decide about the run's start";
        return Err(ApiError::bad_request(message));
    }
    let named = environment.clone().unwrap_or_default();
    // It is journaled, and held against the reviewers: nobody cannot be one.
    let actor = caller.acts_as(actor.as_deref());
    let actor =
        actor.map_err(|why| ApiError::new(StatusCode::FORBIDDEN, "forbidden", why))?.unwrap_or_default();
    if actor.is_empty() || actor.chars().count() > TEXT_MAX {
        let message = format!("`actor` is who decides: write a name of at most {TEXT_MAX} characters");
        return Err(ApiError::bad_request(message));
    }
    let approve = decision == Decision::Approve;
    tracing::info!(%run, environment = named, approve, actor, "an environment or a run's start is reviewed");
    let origin = Origin { actor: actor.clone(), source: door };
    let asked = DecideGates { run, environment: named, approve, actor, comment };
    let decided = services.driver.decide_gates(asked, origin).await?;
    let instances: Vec<String> = decided.iter().map(ToString::to_string).collect();
    let word = if approve { "approved" } else { "rejected" };
    Ok(Json(json!({
        "run": run.to_string(), "environment": environment, "decision": word, "instances": instances,
    })))
}
