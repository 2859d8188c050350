//! The admin token on API calls.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use crate::services::Services;

/// Lets a request through that carries the admin token.
pub(super) async fn require_admin(
    State(services): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    if services.admin_token.matches(given) {
        return next.run(request).await;
    }
    services.metrics.unauthorized.add(1);
    let error = ApiError::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "the request needs `authorization: Bearer <token>` with the token in the data directory's admin.token",
    );
    ([(header::WWW_AUTHENTICATE, "Bearer")], error).into_response()
}
