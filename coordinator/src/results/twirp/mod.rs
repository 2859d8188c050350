//! The Twirp services of `github.actions.results.api.v1`, in JSON and in protobuf (Twirp's "Wire protocol").
//!
//! A call is answered in the form that it came in. An error is JSON in both, as Twirp has it, with Twirp's code.

mod artifacts;
mod caches;
pub(super) mod messages;
#[cfg(test)]
mod tests;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::error::ResultsError;
use super::{Results, origin};

/// A refusal in Twirp's form.
pub(super) struct TwirpError {
    code: &'static str,
    status: StatusCode,
    message: String,
}

impl From<ResultsError> for TwirpError {
    fn from(error: ResultsError) -> Self {
        let code = match &error {
            ResultsError::Unauthorized(_) => "unauthenticated",
            ResultsError::Denied(_) => "permission_denied",
            ResultsError::NotFound(_) => "not_found",
            ResultsError::Exists(_) => "already_exists",
            ResultsError::Invalid(_) => "invalid_argument",
            ResultsError::TooLarge(_) => "resource_exhausted",
            ResultsError::Precondition(_) => "failed_precondition",
            ResultsError::Failed(_) => "internal",
        };
        if matches!(error, ResultsError::Failed(_)) {
            tracing::warn!(%error, "a job's call of the results service failed");
        }
        // Clients repeat what has 429; a limit stays a limit.
        Self { code, status: error.status(), message: error.to_string() }
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "code": self.code, "msg": self.message }))).into_response()
    }
}

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, TwirpError> {
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match value.split(';').next().unwrap_or_default().trim() {
            "application/json" => Ok(Self::Json),
            "application/protobuf" => Ok(Self::Protobuf),
            other => Err(TwirpError {
                code: "bad_route",
                status: StatusCode::NOT_FOUND,
                message: format!(
                    "`content-type: {other}` is neither application/json nor application/protobuf"
                ),
            }),
        }
    }

    fn read<T: prost::Message + Default + DeserializeOwned>(self, body: &Bytes) -> Result<T, TwirpError> {
        let wrong = |error: &dyn std::fmt::Display| TwirpError {
            code: "malformed",
            status: StatusCode::BAD_REQUEST,
            message: format!("the body is not the message that the method takes: {error}"),
        };
        match self {
            Self::Json => serde_json::from_slice(body).map_err(|error| wrong(&error)),
            Self::Protobuf => T::decode(body.clone()).map_err(|error| wrong(&error)),
        }
    }

    fn answer<T: prost::Message + Serialize>(self, message: &T) -> Response {
        match self {
            Self::Json => Json(message).into_response(),
            Self::Protobuf => {
                ([(header::CONTENT_TYPE, "application/protobuf")], message.encode_to_vec()).into_response()
            }
        }
    }
}

/// Says that there is no such method.
fn no_method(service: &str, method: &str) -> TwirpError {
    TwirpError {
        code: "bad_route",
        status: StatusCode::NOT_FOUND,
        message: format!("{service} has no method {method}"),
    }
}

/// One call: what it may do, where it came to, how it is written.
struct Call<'a> {
    results: &'a Results,
    claims: super::token::Claims,
    origin: String,
    form: Form,
    body: Bytes,
}

impl<'a> Call<'a> {
    fn open(results: &'a Results, headers: &HeaderMap, body: Bytes) -> Result<Self, TwirpError> {
        Ok(Self {
            results,
            claims: results.claims(headers)?,
            origin: origin(headers)?,
            form: Form::of(headers)?,
            body,
        })
    }

    fn message<T: prost::Message + Default + DeserializeOwned>(&self) -> Result<T, TwirpError> {
        self.form.read(&self.body)
    }
}

pub(super) async fn cache_service(
    State(results): State<Results>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, TwirpError> {
    let call = Call::open(&results, &headers, body)?;
    match method.as_str() {
        "CreateCacheEntry" => caches::create(&call).await,
        "FinalizeCacheEntryUpload" => caches::finalize(&call).await,
        "GetCacheEntryDownloadURL" => caches::find(&call).await,
        _ => Err(no_method("CacheService", &method)),
    }
}

pub(super) async fn artifact_service(
    State(results): State<Results>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, TwirpError> {
    let call = Call::open(&results, &headers, body)?;
    match method.as_str() {
        "CreateArtifact" => artifacts::create(&call).await,
        "FinalizeArtifact" => artifacts::finalize(&call).await,
        "ListArtifacts" => artifacts::list(&call).await,
        "GetSignedArtifactURL" => artifacts::address(&call).await,
        "DeleteArtifact" => artifacts::delete(&call).await,
        "ListArtifactsOfRun" => artifacts::list_others(&call).await,
        "GetSignedArtifactURLOfRun" => artifacts::others_address(&call).await,
        _ => Err(no_method("ArtifactService", &method)),
    }
}
