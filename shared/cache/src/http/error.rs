//! What goes wrong, as clients of HTTP read it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use slipway_cas::cache::CacheError;
use slipway_cas::cache::entries::EntryError;

use crate::view::{PutError, ReadOnly};

/// A refused request.
#[derive(Debug)]
pub(super) struct HttpError {
    status: StatusCode,
    reason: String,
}

impl HttpError {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.into() }
    }

    pub(super) fn unauthenticated(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, reason: reason.into() }
    }

    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: reason.into() }
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, reason: reason.into() }
    }

    pub(super) fn missing() -> Self {
        Self { status: StatusCode::NOT_FOUND, reason: "it is not in the cache".to_owned() }
    }

    pub(super) fn method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            reason: "this method is not one of this cache's".to_owned(),
        }
    }

    pub(super) fn conflict(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, reason: reason.into() }
    }
}

impl From<CacheError> for HttpError {
    fn from(error: CacheError) -> Self {
        match error {
            error if error.is_miss() => Self::missing(),
            CacheError::TooLong { .. } | CacheError::TooManyChunks => {
                Self { status: StatusCode::PAYLOAD_TOO_LARGE, reason: error.to_string() }
            }
            error => Self::invalid(error.to_string()),
        }
    }
}

impl From<ReadOnly> for HttpError {
    fn from(error: ReadOnly) -> Self {
        Self::forbidden(error.to_string())
    }
}

impl From<PutError> for HttpError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::ReadOnly(error) => error.into(),
            PutError::Entry(EntryError::TooLarge) => {
                Self { status: StatusCode::PAYLOAD_TOO_LARGE, reason: error.to_string() }
            }
            PutError::Entry(EntryError::Incomplete(_)) => Self::conflict(error.to_string()),
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.reason)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // Some tools send a password only when they are asked for one.
            let challenge = HeaderValue::from_static("Basic realm=\"slipway cache\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
