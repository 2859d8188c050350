//! Signing in at a provider ([`crate::sign_in`]): to it and back. What comes of it is a session like that of a token.

use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::html;

use super::error::PageError;
use super::layout::{Frame, Html, page_that_goes_on};
use super::limits::SESSION;
use super::session::is_secure;
use super::sign_in::{Next, local, path_with_next};
use crate::audit::Origin;
use crate::http::access_tokens::{self, Wanted};
use crate::http::door;
use crate::services::Services;
use crate::sign_in::{Answer, Entitled, Provider, Refusal, set_cookie};

fn find<'a>(services: &'a Services, name: &str) -> Result<&'a Provider, PageError> {
    let found = services.sign_in.find(name);
    found.ok_or_else(|| {
        PageError::not_found("Nobody can sign in there: no provider of this name is configured.")
    })
}

/// Says why, and how to begin again.
fn refused(services: &Services, refusal: &Refusal) -> PageError {
    services.metrics.unauthorized.add(1);
    let status = match refusal {
        Refusal::Again(_) | Refusal::Nobody(_) => StatusCode::FORBIDDEN,
        Refusal::Trouble(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    PageError::new(status, refusal.to_string()).leading_to("/sign-in", "Sign in")
}

pub(super) async fn begin(
    State(services): State<Services>,
    Path(provider): Path<String>,
    Query(next): Query<Next>,
    parts: Parts,
) -> Result<Response, PageError> {
    let provider = find(&services, &provider)?;
    let begun = services.sign_in.begin(provider, next.path()).await;
    let (url, cookie) = begun.map_err(|refusal| refused(&services, &refusal))?;
    let cookie = set_cookie(Some(&cookie), is_secure(&parts.headers));
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&url)).into_response())
}

pub(super) async fn back(
    State(services): State<Services>,
    Path(provider): Path<String>,
    Query(answer): Query<Answer>,
    parts: Parts,
) -> Result<Response, PageError> {
    let provider = find(&services, &provider)?;
    let finished = services.sign_in.finish(provider, &parts.headers, answer).await;
    let (entitled, next) = finished.map_err(|refusal| refused(&services, &refusal))?;
    let id = begin_session(&services, provider, entitled, door::of("page", &parts)).await?;
    let sessions = &services.pages.sessions;
    let secure = is_secure(&parts.headers);
    let session = sessions.cookie(&sessions.begin(Some(&id), services.clock.unix_ms()), secure);
    let cookies =
        AppendHeaders([(header::SET_COOKIE, session), (header::SET_COOKIE, set_cookie(None, secure))]);
    Ok((cookies, signed_in(local(&next))).into_response())
}

/// Journals a token of access that nobody knows the text of, and tells its id.
async fn begin_session(
    services: &Services,
    provider: &Provider,
    entitled: Entitled,
    door: String,
) -> Result<String, PageError> {
    let Entitled { name, role } = entitled;
    let life_ms = u64::try_from(SESSION.as_millis()).unwrap_or(u64::MAX);
    let via = Some(provider.label().to_owned());
    let origin = Origin { actor: name.clone(), source: door };
    let (id, _) = access_tokens::issue(services, Wanted { name, role, life_ms, via }, origin).await?;
    Ok(id)
}

/// A redirect would go on being the provider's: the browser would bring no cookie of this site along. A page of this site sends it on.
fn signed_in(next: &str) -> Html {
    let main = html! {
        div.narrow {
            h1 { "Signed in" }
            p { a href=(next) { "Go on" } }
        }
    };
    page_that_goes_on(&Frame::plain("Signed in"), next, main)
}

/// The address that begins it.
pub(super) fn path(provider: &str, next: &str) -> String {
    path_with_next(&format!("/sign-in/{provider}"), next)
}
