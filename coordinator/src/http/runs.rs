//! `/api/v1/runs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_cas::Digest;
use slipway_scheduler::command::{Cancel, CarriedJob, Trust};
use slipway_scheduler::limits::{JOBS_PER_RUN_MAX, PRIORITY_MAX, PRIORITY_MIN};
use slipway_scheduler::{JobId, JobResult, RunId};
use slipway_workflow::job_spec::Source;

use super::auth::By;
use super::door::Door;
use super::error::ApiError;
use super::extract::{Path, Query};
use crate::audit::Origin;
use crate::services::Services;
use crate::submit::{self, NewRun};
use crate::view::{self, DEFAULT_LISTED, Detail, MAX_LISTED};

/// The greatest number of a run or attempt that a client may give: there is room to count on, and JavaScript's numbers hold
/// it exactly.
const RUN_NUMBER_MAX: u64 = 1 << 52;

/// A run to start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    workflow_file: String,
    workflow: String,
    #[serde(default)]
    called: BTreeMap<String, String>,
    event_name: String,
    #[serde(default = "empty_object")]
    event: Value,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    git_ref: String,
    #[serde(default)]
    sha: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    jobs: Vec<String>,
    clone_url: Option<String>,
    tree: Option<Tree>,
    source: Option<SourceField>,
    #[serde(default)]
    traceparent: String,
    #[serde(default)]
    run_number: u64,
    #[serde(default)]
    run_attempt: u64,
    #[serde(default)]
    carried: Vec<Carried>,
    priority: Option<i64>,
}

/// A job that is not to run again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    id: String,
    result: JobResult,
    #[serde(default)]
    outputs: BTreeMap<String, String>,
    #[serde(default)]
    call: Option<Digest>,
}

/// An uploaded working tree.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    sha256: String,
    size_bytes: u64,
}

/// `source`: where the code comes from, in one field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceField {
    clone_url: Option<String>,
    tree: Option<Tree>,
}

fn empty_object() -> Value {
    json!({})
}

impl Submission {
    fn into_new_run(self, headers: &HeaderMap) -> Result<NewRun, ApiError> {
        let (mut clone_url, mut tree) = (self.clone_url, self.tree);
        if let Some(source) = self.source {
            clone_url = clone_url.or(source.clone_url);
            tree = tree.or(source.tree);
        }
        let source = match (clone_url, tree) {
            (None, None) => Source::None,
            (Some(clone_url), None) => Source::Git {
                clone_url,
                repository: self.repository.clone(),
                git_ref: self.git_ref.clone(),
                sha: self.sha.clone(),
            },
            (None, Some(tree)) => Source::Tree { digest: tree.sha256, size_bytes: tree.size_bytes },
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request("give `clone_url` or `tree`, not both"));
            }
        };
        if self.run_number > RUN_NUMBER_MAX || self.run_attempt > RUN_NUMBER_MAX {
            let message = format!("`run_number` and `run_attempt` are at most {RUN_NUMBER_MAX}");
            return Err(ApiError::bad_request(message));
        }
        let header = headers.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let traceparent = if self.traceparent.is_empty() { header.to_owned() } else { self.traceparent };
        Ok(NewRun {
            workflow_file: self.workflow_file,
            workflow: self.workflow,
            called: self.called,
            event_name: self.event_name,
            event: self.event,
            repository: self.repository,
            forge: "local".to_owned(),
            git_ref: self.git_ref,
            sha: self.sha,
            actor: self.actor,
            inputs: self.inputs,
            vars: self.vars,
            secrets: self.secrets,
            jobs: self.jobs,
            source,
            trust: Trust::Trusted,
            traceparent,
            run_number: self.run_number,
            run_attempt: self.run_attempt,
            priority: priority(self.priority)?,
            ..NewRun::default()
        })
    }
}

/// A priority that somebody gave.
pub(super) fn priority(given: Option<i64>) -> Result<Option<i8>, ApiError> {
    let range = i64::from(PRIORITY_MIN)..=i64::from(PRIORITY_MAX);
    let refused = || ApiError::bad_request(format!("`priority` is from {PRIORITY_MIN} to {PRIORITY_MAX}"));
    let checked =
        |value: i64| i8::try_from(value).ok().filter(|_| range.contains(&value)).ok_or_else(refused);
    given.map(checked).transpose()
}

pub(super) async fn submit(
    State(services): State<Services>,
    By(caller): By,
    Door(door): Door,
    headers: HeaderMap,
    body: Result<Json<Submission>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(mut submission) = body?;
    caller.sign(&mut submission.actor);
    let carried = std::mem::take(&mut submission.carried);
    let mut new = submission.into_new_run(&headers)?;
    new.carried = keep_carried(&services, carried).await?;
    new.door = door;
    let run = submit::submit(&services, new).await?.to_string();
    Ok((StatusCode::CREATED, Json(json!({"run": run, "run_id": run}))))
}

/// The most bytes of one carried job's outputs.
const CARRIED_OUTPUTS_MAX_BYTES: usize = 1 << 20;

async fn keep_carried(services: &Services, carried: Vec<Carried>) -> Result<Vec<CarriedJob>, ApiError> {
    if carried.len() > JOBS_PER_RUN_MAX {
        return Err(ApiError::bad_request(format!("`carried` has more than {JOBS_PER_RUN_MAX} jobs")));
    }
    let mut kept = Vec::with_capacity(carried.len());
    for Carried { id, result, outputs, call } in carried {
        let outputs = json!(outputs).to_string();
        if outputs.len() > CARRIED_OUTPUTS_MAX_BYTES {
            let message = format!("the outputs of `{id}` are longer than {CARRIED_OUTPUTS_MAX_BYTES} bytes");
            return Err(ApiError::bad_request(message));
        }
        let outputs = vec![services.store.put(outputs.into()).await?];
        kept.push(CarriedJob { id: JobId::from(id), result, outputs, call });
    }
    Ok(kept)
}

#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    limit: Option<usize>,
}

pub(super) async fn list(
    State(services): State<Services>,
    Query(listing): Query<Listing>,
) -> Result<Json<Value>, ApiError> {
    let limit = listing.limit.unwrap_or(DEFAULT_LISTED).min(MAX_LISTED);
    let runs = services.driver.query(move |view| view::recent_runs(view, limit)).await?;
    Ok(Json(json!({ "runs": runs })))
}

/// The run that a path names.
pub(super) async fn find(services: &Services, text: String) -> Result<RunId, ApiError> {
    Ok(services.driver.query(move |view| view::find_run(view, &text)).await??)
}

pub(super) async fn show(
    State(services): State<Services>,
    Path(run): Path<String>,
) -> Result<Json<view::RunView>, ApiError> {
    let run = find(&services, run).await?;
    let shown = services.driver.query(move |view| view::run(view, run, Detail::Full)).await?;
    let retired = || ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is no run {run}"));
    shown.map(Json).ok_or_else(retired)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CancelBody {
    reason: String,
    actor: String,
}

pub(super) async fn cancel(
    State(services): State<Services>,
    By(caller): By,
    Door(door): Door,
    Path(run): Path<String>,
    body: Option<Json<CancelBody>>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let run = find(&services, run).await?;
    let CancelBody { reason, mut actor } = body.map(|Json(body)| body).unwrap_or_default();
    caller.sign(&mut actor);
    let actor = if actor.is_empty() { "an API client".to_owned() } else { actor };
    tracing::info!(%run, actor, reason, "a run is cancelled");
    let origin = Origin { actor: actor.clone(), source: door };
    services.driver.cancel(Cancel { run, actor, reason }, origin).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "run": run.to_string() }))))
}
