//! `POST /api/v1/blobs`: uploads a working tree or any other blob, as it comes.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_cas::{Digest, Expected, StoreError};

use super::error::ApiError;
use super::extract::Query;
use crate::options::MAX_BLOB_BYTES;
use crate::services::Services;

/// What the caller announces.
#[derive(Debug, Deserialize)]
pub(super) struct Announced {
    /// SHA-256, 64 hexadecimal digits; may also come as the header `x-content-sha256`.
    sha256: Option<String>,
}

fn expected(announced: Announced, headers: &HeaderMap) -> Result<Expected, ApiError> {
    let header = headers.get("x-content-sha256").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(sha256) = announced.sha256.or(header) else { return Ok(Expected::Anything) };
    let digest = Digest::from_hex(&sha256, 0)
        .map_err(|_| ApiError::bad_request("`sha256` must be 64 lower-case hexadecimal digits"))?;
    Ok(Expected::Hash(*digest.hash()))
}

pub(super) async fn upload(
    State(services): State<Services>,
    Query(announced): Query<Announced>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let expected = expected(announced, &headers)?;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BLOB_BYTES) {
        return Err(StoreError::TooLong { limit_bytes: MAX_BLOB_BYTES }.into());
    }
    let mut writer = services.store.writer(MAX_BLOB_BYTES).await?;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        writer.write(piece).await?;
    }
    let digest = writer.finish(expected).await?;
    let answer = json!({"sha256": digest.hash_hex(), "size_bytes": digest.size_bytes()});
    Ok((StatusCode::CREATED, Json(answer)))
}
