//! `/healthz`: the process serves. `/readyz`: its journal does too, and it is not about to stop.

use axum::extract::State;
use axum::http::StatusCode;

use super::error::ApiError;
use crate::services::Services;

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(services): State<Services>) -> Result<&'static str, ApiError> {
    if services.closing.is_cancelled() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the coordinator is stopping",
        ));
    }
    // The driver answers only after its batch is durable.
    services.driver.query(|_| ()).await?;
    Ok("ready\n")
}
