//! Who calls the API, and whether they may.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use slipway_scheduler::Timestamp;

use super::error::ApiError;
use crate::access::{Caller, rules};
use crate::services::Services;
use crate::token;

/// Where the API's routes lie.
const BASE: &str = "/api/v1";

/// Whose token these headers carry.
pub(crate) fn caller(services: &Services, headers: &HeaderMap) -> Option<Caller> {
    known(services, headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()))
}

/// Whose token this `authorization` is.
pub(crate) fn known(services: &Services, authorization: Option<&[u8]>) -> Option<Caller> {
    if services.admin_token.matches(authorization) {
        return Some(Caller::Administrator);
    }
    let text = token::given(authorization).filter(|text| text.starts_with(token::ACCESS_PREFIX))?;
    services.driver.access().of_text(text, Timestamp(services.clock.unix_ms())).map(Caller::Holder)
}

/// Lets a request through that carries a token whose role is enough for its route.
pub(super) async fn require_role(
    State(services): State<Services>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(caller) = caller(&services, request.headers()) else {
        services.metrics.unauthorized.add(1);
        let error = ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the request needs `authorization: Bearer <token>`: the one in the data directory's admin.token, or one that \
             `slipway tokens make` made and that is good",
        );
        return ([(header::WWW_AUTHENTICATE, "Bearer")], error).into_response();
    };
    // A path without a route is told so by who comes after.
    if let Some(path) = request.extensions().get::<MatchedPath>() {
        let path = path.as_str().strip_prefix(BASE).unwrap_or(path.as_str());
        let needed = rules::of_http(request.method().as_str(), path);
        if caller.role() < needed {
            services.metrics.unauthorized.add(1);
            let method = request.method();
            let message =
                format!("{method} {path} needs the role {needed}; this token's is {}", caller.role());
            return ApiError::new(StatusCode::FORBIDDEN, "forbidden", message).into_response();
        }
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Who calls, for those below [`require_role`].
pub(super) struct By(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller
            .map(Self)
            .ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "nobody calls"))
    }
}
