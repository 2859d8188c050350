//! `/api/v1/history/rebuild`: the projections made again from the journal.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::door::Asker;
use super::error::ApiError;
use crate::history::limits::PROGRESS_EVERY;
use crate::history::{Progress, RebuildError, Rebuilding};
use crate::services::Services;

impl From<RebuildError> for ApiError {
    fn from(error: RebuildError) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", error.to_string())
    }
}

/// NDJSON: how far it is, one object a line, until it is done.
pub(super) async fn rebuild(
    State(services): State<Services>,
    Asker(origin): Asker,
) -> Result<Response, ApiError> {
    let begun = services.history.rebuild();
    let refused = begun.as_ref().err().map(ToString::to_string);
    services.driver.note(origin, "history.rebuild", refused).await?;
    let lines = stream::unfold(Some(begun?), |progress| async {
        let mut progress = progress?;
        let ended = tokio::time::timeout(PROGRESS_EVERY, progress.wait_for(Progress::is_last)).await;
        let ended = ended.map(|told| told.map(drop));
        match ended {
            // The coordinator stops: a stream without a last line is not whole.
            Ok(Err(_)) => Some((Err(std::io::Error::other("the coordinator is stopping")), None)),
            Ok(Ok(())) => Some((Ok(line(&progress)), None)),
            Err(_) => Some((Ok(line(&progress)), Some(progress))),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

fn line(progress: &Rebuilding) -> Bytes {
    // A type of strings and numbers is always JSON.
    let mut line = serde_json::to_vec(&*progress.borrow()).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
