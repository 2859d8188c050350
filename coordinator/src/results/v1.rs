//! `_apis/artifactcache`: the cache protocol of clients that are older than the Twirp service, or that were told so.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::error::ResultsError;
use super::index::{CacheEntry, Placed};
use super::limits::CACHE_ENTRY_MAX_BYTES;
use super::token::lease_word;
use super::{Results, origin};

/// A refusal in this protocol's form.
pub(super) struct V1Error(ResultsError);

impl From<ResultsError> for V1Error {
    fn from(error: ResultsError) -> Self {
        Self(error)
    }
}

impl From<JsonRejection> for V1Error {
    fn from(rejection: JsonRejection) -> Self {
        Self(ResultsError::Invalid(rejection.body_text()))
    }
}

impl IntoResponse for V1Error {
    fn into_response(self) -> Response {
        if matches!(self.0, ResultsError::Failed(_)) {
            tracing::warn!(error = %self.0, "a job's cache call failed");
        }
        (self.0.status(), Json(json!({ "message": self.0.to_string() }))).into_response()
    }
}

fn shown(entry: &CacheEntry) -> serde_json::Value {
    let created = i64::try_from(entry.created_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    json!({
        "cacheKey": entry.key, "scope": entry.scope, "cacheVersion": entry.version,
        "creationTime": created.unwrap_or_default().to_string(),
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Find {
    keys: String,
    version: String,
}

/// `GET cache?keys=a,b&version=…`: 200, or 204 for a miss.
pub(super) async fn find(
    State(results): State<Results>,
    Query(asked): Query<Find>,
    headers: HeaderMap,
) -> Result<Response, V1Error> {
    let claims = results.claims(&headers)?;
    let keys = asked.keys.split(',').map(|key| key.trim().to_owned()).collect();
    let found = results.find_cache(&claims, keys, asked.version, &origin(&headers)?).await?;
    Ok(match found {
        None => StatusCode::NO_CONTENT.into_response(),
        Some((entry, address)) => {
            let mut shown = shown(&entry);
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("archiveLocation".to_owned(), address.into());
            }
            Json(shown).into_response()
        }
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    key: String,
}

/// `GET caches?key=…`: what a client shows when it debugs a miss.
pub(super) async fn list(
    State(results): State<Results>,
    Query(asked): Query<List>,
    headers: HeaderMap,
) -> Result<Response, V1Error> {
    let claims = results.claims(&headers)?;
    let listed = results.list_caches(&claims, asked.key).await?;
    let shown: Vec<_> = listed.iter().map(shown).collect();
    Ok(Json(json!({ "totalCount": shown.len(), "artifactCaches": shown })).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reserve {
    key: String,
    version: String,
    cache_size: Option<u64>,
}

/// `POST caches`: 201 with the number of the upload; 409 when there is such an entry.
pub(super) async fn reserve(
    State(results): State<Results>,
    headers: HeaderMap,
    body: Result<Json<Reserve>, JsonRejection>,
) -> Result<Response, V1Error> {
    let claims = results.claims(&headers)?;
    let Json(asked) = body?;
    if asked.cache_size.is_some_and(|bytes| bytes > CACHE_ENTRY_MAX_BYTES) {
        // The clients take 400 for this.
        return Err(ResultsError::Invalid(format!(
            "a cache entry has at most {CACHE_ENTRY_MAX_BYTES} bytes; this one would have {}",
            asked.cache_size.unwrap_or_default()
        ))
        .into());
    }
    let id = results.create_cache(&claims, &asked.key, &asked.version).await?;
    Ok((StatusCode::CREATED, Json(json!({ "cacheId": id }))).into_response())
}

/// First byte and length of `Content-Range: bytes 0-199/*`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

/// `PATCH caches/<number>`: some bytes. They come in any order.
pub(super) async fn upload(
    State(results): State<Results>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, V1Error> {
    let claims = results.claims(&headers)?;
    let (first, length) = content_range(&headers).ok_or_else(|| {
        ResultsError::Invalid("the request needs `content-range: bytes FIRST-LAST/*`".to_owned())
    })?;
    let kept = results.write_part(id, &lease_word(&claims.lease()), &headers, body).await?;
    if kept.part.size_bytes != length {
        return Err(ResultsError::Invalid(format!(
            "{} bytes came where `content-range` says {length}",
            kept.part.size_bytes
        ))
        .into());
    }
    let replaced = results.0.index.add_part(id, first.to_string(), kept.part.clone()).await?;
    kept.keep();
    results.0.bytes.remove_parts(id, replaced).await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
pub(super) struct Commit {
    size: u64,
}

/// `POST caches/<number>`: all is there.
pub(super) async fn commit(
    State(results): State<Results>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Result<Json<Commit>, JsonRejection>,
) -> Result<StatusCode, V1Error> {
    let claims = results.claims(&headers)?;
    let Json(Commit { size }) = body?;
    let upload = results.0.index.open_upload(id).await;
    match upload {
        Ok(upload) if upload.lease == lease_word(&claims.lease()) => {
            results.0.index.place(id, Placed::Offsets(size)).await?;
        }
        // Finished already: the first answer was lost.
        Ok(_) | Err(ResultsError::Exists(_)) => {}
        Err(error) => return Err(error.into()),
    }
    results.finish_cache(&claims, id, size).await?;
    Ok(StatusCode::NO_CONTENT)
}
