//! `/healthz`: the process serves. `/readyz`: its journal does too, it leads or knows who does, and it is not about to stop.

use axum::extract::State;
use axum::http::StatusCode;

use super::error::ApiError;
use crate::driver::Role;
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
    match &*services.driver.role().borrow() {
        Role::Leading { .. } => Ok("ready\n"),
        Role::Following(leader) if leader.alive => Ok("ready, follows\n"),
        Role::Following(_) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_leader",
            "no coordinator leads at the moment",
        )),
    }
}
