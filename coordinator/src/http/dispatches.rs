//! `/api/v1/dispatches`, `/api/v1/runs/{run}/rerun` and `…/carried`: runs that a person asks for.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::By;
use super::door::Door;
use super::error::ApiError;
use super::extract::Path;
use super::runs;
use crate::dispatch::{self, Dispatch};
use crate::rerun::{self, Rerun};
use crate::services::Services;

/// Whom an event names as its sender where the client does not say.
const ACTOR: &str = "slipway";

/// A dispatch: with `workflow` of one workflow, with `event_type` for all that wait for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DispatchBody {
    repository: Option<String>,
    workflow: Option<String>,
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    event_type: Option<String>,
    #[serde(default)]
    client_payload: Map<String, Value>,
    #[serde(default)]
    actor: String,
    priority: Option<i64>,
}

fn or_default(actor: String) -> String {
    if actor.is_empty() { ACTOR.to_owned() } else { actor }
}

pub(super) async fn dispatch(
    State(services): State<Services>,
    By(caller): By,
    Door(door): Door,
    body: Result<Json<DispatchBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(mut body) = body?;
    caller.sign(&mut body.actor);
    let actor = or_default(body.actor);
    match (body.workflow, body.event_type) {
        (Some(workflow), None) => {
            let wanted = Dispatch {
                repository: body.repository,
                workflow,
                git_ref: body.git_ref,
                inputs: body.inputs,
                vars: body.vars,
                secrets: body.secrets,
                actor,
                door,
                priority: super::runs::priority(body.priority)?,
            };
            let run = dispatch::dispatch(&services, wanted).await?.to_string();
            Ok((StatusCode::CREATED, Json(json!({"run": run, "run_id": run}))))
        }
        (None, Some(event_type)) => {
            let name = body.repository.as_deref();
            let delivery =
                dispatch::repository_dispatch(&services, name, &event_type, body.client_payload, &actor)
                    .await?;
            Ok((StatusCode::ACCEPTED, Json(json!({ "delivery": delivery }))))
        }
        _ => Err(ApiError::bad_request("give `workflow` or `event_type`, one of them")),
    }
}

/// How to run again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RerunBody {
    failed: bool,
    secrets: BTreeMap<String, String>,
    actor: String,
}

/// The jobs that a rerun of what failed would not run again, with their outputs: what a client that starts its runs itself
/// gives as `carried`.
pub(super) async fn carried(
    State(services): State<Services>,
    Path(run): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let run = runs::find(&services, run).await?;
    let carried = rerun::carried(&services, run).await?;
    Ok(Json(json!({ "carried": carried })))
}

pub(super) async fn rerun(
    State(services): State<Services>,
    By(caller): By,
    Door(door): Door,
    Path(run): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    // Nothing at all is allowed, whatever its content type says.
    let mut body: RerunBody = if body.is_empty() {
        RerunBody::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(format!("the body: {error}")))?
    };
    caller.sign(&mut body.actor);
    let run = runs::find(&services, run).await?;
    let wanted =
        Rerun { failed: body.failed, secrets: body.secrets, actor: body.actor, door, ..Rerun::default() };
    let again = rerun::rerun(&services, run, wanted).await?.to_string();
    Ok((StatusCode::CREATED, Json(json!({"run": again, "run_id": again}))))
}
