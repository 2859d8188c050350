//! Turborepo's remote cache, as `turbo` asks for it.
//!
//! A team (`slug` or `teamId`) is a cache of its own. The tag that signs an artifact, how long its task took, and the commit it was
//! made at come back as they were put.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::HttpError;
use super::named::{self, Storing};
use super::{Doors, body};
use crate::limits::{MAX_QUERY_BYTES, MAX_QUERY_FILES};
use crate::view::View;

const TAG: HeaderName = HeaderName::from_static("x-artifact-tag");
const DURATION: HeaderName = HeaderName::from_static("x-artifact-duration");
const COMMIT: HeaderName = HeaderName::from_static("x-artifact-sha");
const CHANGES: HeaderName = HeaderName::from_static("x-artifact-dirty-hash");

/// Whose cache.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Team {
    slug: String,
    #[serde(rename = "teamId")]
    id: String,
}

impl Team {
    fn name(&self) -> &str {
        if self.slug.is_empty() { &self.id } else { &self.slug }
    }
}

fn name(hash: &str) -> Result<String, HttpError> {
    let plain = (1..=128).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain {
        Ok(format!("turbo/{hash}"))
    } else {
        Err(HttpError::invalid("the hash has letters and digits, at most 128"))
    }
}

fn json_answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

pub(super) async fn status(
    State(doors): State<Doors>,
    Query(team): Query<Team>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    doors.view(&headers, team.name()).await?;
    Ok(json_answer(&json!({"status": "enabled"})))
}

/// With `--preflight` it asks before each call whether it may show its token there: it may, wherever it is.
pub(super) async fn preflight(
    State(doors): State<Doors>,
    Query(team): Query<Team>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    doors.view(&headers, team.name()).await?;
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, User-Agent"),
    ];
    Ok((StatusCode::NO_CONTENT, allowed).into_response())
}

/// What `turbo` counted of its hits: nobody reads it here.
pub(super) async fn events(
    State(doors): State<Doors>,
    Query(team): Query<Team>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    doors.view(&headers, team.name()).await?;
    body::all(body, MAX_QUERY_BYTES).await?;
    Ok(StatusCode::OK.into_response())
}

#[derive(Deserialize)]
struct Hashes {
    hashes: Vec<String>,
}

pub(super) async fn query(
    State(doors): State<Doors>,
    Query(team): Query<Team>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let view = doors.view(&headers, team.name()).await?;
    let asked = body::all(body, MAX_QUERY_BYTES).await?;
    let asked: Hashes =
        serde_json::from_slice(&asked).map_err(|error| HttpError::invalid(format!("the body: {error}")))?;
    if asked.hashes.len() > MAX_QUERY_FILES {
        return Err(HttpError::invalid(format!("at most {MAX_QUERY_FILES} hashes at once")));
    }
    let mut answer = BTreeMap::new();
    for hash in asked.hashes {
        answer.insert(hash.clone(), told(&view, &name(&hash)?).await);
    }
    Ok(json_answer(&json!(answer)))
}

async fn told(view: &View, name: &str) -> Value {
    let Ok(found) = named::find(view, name).await else { return Value::Null };
    let kept = |header: &HeaderName| {
        let value =
            found.kept.iter().find(|(name, _)| name == header).and_then(|(_, value)| value.to_str().ok());
        value.map(str::to_owned)
    };
    let duration_ms: u64 = kept(&DURATION).and_then(|text| text.parse().ok()).unwrap_or_default();
    let mut told = json!({"size": found.size_bytes(), "taskDurationMs": duration_ms});
    if let Some(tag) = kept(&TAG) {
        told["tag"] = tag.into();
    }
    told
}

pub(super) async fn get(
    State(doors): State<Doors>,
    Path(hash): Path<String>,
    Query(team): Query<Team>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let view = doors.view(&headers, team.name()).await?;
    named::find(&view, &name(&hash)?).await?.answer(&view, &method).await
}

pub(super) async fn put(
    State(doors): State<Doors>,
    Path(hash): Path<String>,
    Query(team): Query<Team>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let view = doors.view(&headers, team.name()).await?;
    let what = Storing { keep: &[TAG, DURATION, COMMIT, CHANGES], ..Storing::default() };
    named::store(&view, &name(&hash)?, &headers, body, what).await?;
    let mut response = json_answer(&json!({"urls": [format!("/v8/artifacts/{hash}")]}));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
