//! Why the results service refuses something. Each front door gives it the form that its clients read.

use axum::http::StatusCode;

/// A refusal or failure, with one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultsError {
    /// There is no good token or signature.
    #[error("{0}")]
    Unauthorized(String),
    /// The token does not allow this.
    #[error("{0}")]
    Denied(String),
    /// There is no such thing, or it is not to be seen.
    #[error("{0}")]
    NotFound(String),
    /// There is such a thing already.
    #[error("{0}")]
    Exists(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It is over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// It can't be done in the state that things are in.
    #[error("{0}")]
    Precondition(String),
    /// The coordinator's disk or database failed.
    #[error("{0}")]
    Failed(String),
}

impl ResultsError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Exists(_) => StatusCode::CONFLICT,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<rusqlite::Error> for ResultsError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(format!("the index of caches and artifacts: {error}"))
    }
}

/// What becomes of a failure of the disk at this place.
pub(super) fn io_at(place: &std::path::Path) -> impl FnOnce(std::io::Error) -> ResultsError {
    let place = place.display().to_string();
    move |error| ResultsError::Failed(format!("{place}: {error}"))
}
