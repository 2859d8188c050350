//! Errors, in their one form.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use slipway_cas::StoreError;
use slipway_scheduler::{Rejection, RunId};
use slipway_workflow::diagnostics::Diagnostic;

use crate::dispatch::DispatchError;
use crate::driver::DriverError;
use crate::house::HouseError;
use crate::pages;
use crate::records::RecordsError;
use crate::rerun::RerunError;
use crate::submit::SubmitError;
use crate::view::FindError;

/// What a caller gets instead of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// For people: what is wrong and what to do.
    pub(crate) message: String,
    /// What is wrong with a workflow, where.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), diagnostics: Vec::new() }
    }

    /// The run's logs were removed because their time was over.
    pub(crate) fn removed(run: RunId) -> Self {
        Self::new(StatusCode::GONE, "logs_removed", RecordsError::Removed { run }.to_string())
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": {"code": self.code, "message": self.message}});
        if !self.diagnostics.is_empty() {
            body["diagnostics"] = json!(self.diagnostics);
        }
        (self.status, Json(body)).into_response()
    }
}

impl From<DriverError> for ApiError {
    fn from(error: DriverError) -> Self {
        let (status, code) = match &error {
            DriverError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            DriverError::Follows(_) => (StatusCode::SERVICE_UNAVAILABLE, "follows"),
            DriverError::Journal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "journal"),
            DriverError::Refused(_) => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            DriverError::Removed | DriverError::House(HouseError::Token) => {
                (StatusCode::UNAUTHORIZED, "unauthorized")
            }
            DriverError::House(HouseError::NotFound(_)) => (StatusCode::NOT_FOUND, "not_found"),
            DriverError::House(HouseError::Invalid(_)) => (StatusCode::BAD_REQUEST, "bad_request"),
            DriverError::House(HouseError::Limit(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "limit"),
            DriverError::Rejected(rejection) => match rejection {
                Rejection::UnknownRun { .. } | Rejection::UnknownJob { .. } | Rejection::NoGate { .. } => {
                    (StatusCode::NOT_FOUND, "not_found")
                }
                Rejection::GateDecided { .. } => (StatusCode::CONFLICT, "decided"),
                Rejection::NotReviewer { .. } | Rejection::SelfReview { .. } => {
                    (StatusCode::FORBIDDEN, "not_a_reviewer")
                }
                Rejection::Limit { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "limit"),
                Rejection::InvalidJobs(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_workflow"),
                _ => (StatusCode::CONFLICT, "conflict"),
            },
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<RecordsError> for ApiError {
    fn from(error: RecordsError) -> Self {
        if let RecordsError::Removed { run } = error {
            return Self::removed(run);
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "records", error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            StoreError::Mismatch { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "digest_mismatch"),
            StoreError::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            StoreError::Damaged(_) | StoreError::Io { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "store"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<FindError> for ApiError {
    fn from(error: FindError) -> Self {
        let (status, code) = match &error {
            FindError::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
            FindError::Malformed(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            FindError::Ambiguous { .. } => (StatusCode::CONFLICT, "ambiguous"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Workflow { diagnostics, .. } => Self {
                diagnostics,
                ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_workflow", message)
            },
            SubmitError::Field(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message),
            SubmitError::Driver(error) => error.into(),
            SubmitError::Store(error) => error.into(),
            SubmitError::Secrets(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "secrets", message),
        }
    }
}

impl From<DispatchError> for ApiError {
    fn from(error: DispatchError) -> Self {
        let message = error.to_string();
        match error {
            DispatchError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            DispatchError::Field(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message)
            }
            DispatchError::Git(_) => Self::new(StatusCode::BAD_GATEWAY, "git", message),
            DispatchError::Submit(error) => error.into(),
        }
    }
}

impl From<RerunError> for ApiError {
    fn from(error: RerunError) -> Self {
        let message = error.to_string();
        match error {
            RerunError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            RerunError::Open(_) | RerunError::NothingFailed(_) => {
                Self::new(StatusCode::CONFLICT, "conflict", message)
            }
            RerunError::Secrets { .. } => Self::new(StatusCode::CONFLICT, "secrets_gone", message),
            RerunError::Store(error) => error.into(),
            RerunError::Submit(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
        Self::new(status, code, rejection.body_text())
    }
}

/// Nothing is there, told as whoever asks wants to read it.
pub(super) async fn nothing_here(headers: HeaderMap) -> Response {
    if pages::wants_page(&headers) { pages::nothing_here() } else { not_found().await.into_response() }
}

pub(super) async fn not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing here; /api/v1/openapi.json lists what is",
    )
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not know that method")
}
