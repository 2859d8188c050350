//! `/api/v1/backup`: all that this coordinator keeps, as it is made.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::door::Door;
use super::error::ApiError;
use crate::audit::Origin;
use crate::backup;
use crate::services::Services;

pub(super) async fn backup(
    State(services): State<Services>,
    Door(source): Door,
) -> Result<Response, ApiError> {
    // Whoever takes it has every secret of every open run: that it was taken is part of the trail.
    let origin = Origin::of_client(source);
    services.driver.note(origin, "backup", None).await?;
    let body = Body::from_stream(backup::stream(&services));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}
