//! `/api/v1/backup`: all that this coordinator keeps, as it is made.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::door::Asker;
use super::error::ApiError;
use crate::backup;
use crate::services::Services;

pub(super) async fn backup(
    State(services): State<Services>,
    Asker(origin): Asker,
) -> Result<Response, ApiError> {
    // Whoever takes it has every secret of every open run: that it was taken is part of the trail.
    services.driver.note(origin, "backup", None).await?;
    let body = Body::from_stream(backup::stream(&services));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}
