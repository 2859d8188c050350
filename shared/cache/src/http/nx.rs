//! Nx's self-hosted cache: `GET` and `PUT` of `/v1/cache/HASH`.
//!
//! Its definition wants a record that is there to stay: a second `PUT` is answered with 409, which Nx takes for well.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Doors;
use super::error::HttpError;
use super::named::{self, Storing};

fn name(hash: &str) -> Result<String, HttpError> {
    let plain = (1..=128).contains(&hash.len())
        && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain {
        Ok(format!("nx/{hash}"))
    } else {
        Err(HttpError::invalid("the hash has letters, digits, `-` and `_`, at most 128"))
    }
}

pub(super) async fn get(
    State(doors): State<Doors>,
    Path(hash): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let view = doors.view(&headers, "").await?;
    named::find(&view, &name(&hash)?).await?.answer(&view, &method).await
}

pub(super) async fn put(
    State(doors): State<Doors>,
    Path(hash): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let view = doors.view(&headers, "").await?;
    let name = name(&hash)?;
    if named::find(&view, &name).await.is_ok() {
        return Err(HttpError::conflict("there is a record of this hash already"));
    }
    named::store(&view, &name, &headers, body, Storing::default()).await?;
    Ok(StatusCode::OK.into_response())
}
