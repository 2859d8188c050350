//! Who gets in, and what every page's answer says to the browser.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use slipway_scheduler::Timestamp;

use super::error::PageError;
use super::session::Session;
use super::sign_in;
use crate::access::{Caller, rules};
use crate::http::door;
use crate::services::Services;

/// Nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Puts the headers that every page has on an answer.
pub(super) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

/// The same for all that is below; and what a page of another site sends is refused.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if request.method() == Method::POST && is_from_elsewhere(request.headers()) {
        let told = "This was sent by a page of another site, and nothing was done.";
        return guarded(PageError::forbidden(told).into_response());
    }
    let response = next.run(request).await;
    // What axum says of requests that it cannot read.
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/plain; charset=utf-8");
    if plain && (response.status().is_client_error() || response.status().is_server_error()) {
        let told = "What was sent cannot be read here.";
        return guarded(PageError::new(response.status(), told).into_response());
    }
    guarded(response)
}

/// Every browser of today says so by itself. One that does not is held by cookie and form token.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// Whose session it is, for as long as their token is good.
pub(super) fn who(services: &Services, session: &Session) -> Option<Caller> {
    let Some(token) = &session.token else { return Some(Caller::Administrator) };
    let now = Timestamp(services.clock.unix_ms());
    services.driver.access().of_id(token, now).map(Caller::Holder)
}

/// Lets whoever has a session through; `/` welcomes the others, other pages send them to the form.
pub(super) async fn signed_in(
    State(services): State<Services>,
    mut request: Request,
    next: Next,
) -> Response {
    let now_ms = services.clock.unix_ms();
    if let Some(mut session) = services.pages.sessions.of(request.headers(), now_ms)
        && let Some(caller) = who(&services, &session)
    {
        let path = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str());
        let needed = rules::of_page(request.method().as_str(), path);
        if caller.role() < needed {
            services.metrics.unauthorized.add(1);
            let told = format!("This needs the role {needed}; yours is {}. Nothing was done.", caller.role());
            return PageError::forbidden(&told).into_response();
        }
        session.role = caller.role();
        session.name = caller.name().map(str::to_owned);
        request.extensions_mut().insert(session);
        request.extensions_mut().insert(caller);
        return next.run(request).await;
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => sign_in::welcome(&services).into_response(),
        (&Method::GET | &Method::HEAD, _) => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            Redirect::to(&sign_in::path_with_next("/sign-in", path)).into_response()
        }
        _ => {
            services.metrics.unauthorized.add(1);
            PageError::forbidden("You are not signed in, or not any more; nothing was done.").into_response()
        }
    }
}

/// Whoever has a session, and by which door they came.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) session: Session,
    pub(super) caller: Caller,
    /// For the audit trail.
    pub(super) door: String,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        let session = parts.extensions.get::<Session>().cloned();
        // Only below `signed_in`.
        let session = session.ok_or_else(|| PageError::forbidden("You are not signed in."))?;
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| PageError::forbidden("You are not signed in."))?;
        let door = caller.through(door::of("page", parts));
        Ok(Self { session, caller, door })
    }
}
