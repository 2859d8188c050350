//! What goes wrong, as clients of HTTP read it.

use std::time::Duration;

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
    /// The methods that there are, if it was another one.
    allow: Option<&'static str>,
}

impl HttpError {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), allow: None }
    }

    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn unauthenticated(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, reason)
    }

    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason)
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }

    pub(super) fn missing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "it is not in the cache")
    }

    /// `allow`: the methods that there are.
    pub(super) fn method(allow: &'static str) -> Self {
        let reason = format!("this cache has {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, reason) }
    }

    /// A body that does not come on.
    pub(super) fn slow(idle: Duration) -> Self {
        let reason = format!("no more of the body came for {} seconds", idle.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, reason)
    }

    pub(super) fn conflict(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason)
    }
}

impl From<CacheError> for HttpError {
    fn from(error: CacheError) -> Self {
        match error {
            error if error.is_miss() => Self::missing(),
            CacheError::TooLong { .. } | CacheError::TooManyChunks => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
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
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            PutError::Entry(EntryError::Incomplete(_)) => Self::conflict(error.to_string()),
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        // Without a character set: Nx takes a refusal for one only if it is exactly this.
        let plain = [(header::CONTENT_TYPE, "text/plain")];
        let mut response = (self.status, plain, format!("{}\n", self.reason)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // Some tools send a password only when they are asked for one.
            let challenge = HeaderValue::from_static("Basic realm=\"slipway cache\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}
