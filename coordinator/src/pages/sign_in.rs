//! Signing in with a token, and out.
//!
//! Going on afterwards leads to paths of this coordinator only.

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::error::PageError;
use super::gate::{Visitor, who};
use super::layout::{Frame, Html, page as whole};
use super::limits::NEXT_MAX_BYTES;
use super::session::{Sessions, is_secure};
use super::sign_in_elsewhere;
use crate::access::{AccessToken, Caller};
use crate::house::HouseCommand;
use crate::http::auth::known;
use crate::services::Services;

/// Where to go on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Next {
    next: String,
}

impl Next {
    /// A path of this coordinator.
    pub(super) fn path(&self) -> &str {
        local(&self.next)
    }
}

/// The form.
#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

/// Whether this is a path of this coordinator and nothing that a browser takes for another host.
fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= NEXT_MAX_BYTES
        && path.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\')
}

pub(super) fn local(path: &str) -> &str {
    if is_local(path) { path } else { "/" }
}

/// An address to sign in at, for whoever wanted to see this.
pub(super) fn path_with_next(address: &str, path: &str) -> String {
    format!("{address}?next={}", utf8_percent_encode(local(path), NON_ALPHANUMERIC))
}

/// The providers, and the form for a token.
fn form(services: &Services, next: &str, wrong: bool) -> Markup {
    let mut providers = services.sign_in.providers().peekable();
    let by_token_alone = providers.peek().is_none();
    html! {
        @if !by_token_alone {
            ul.providers {
                @for (provider, label) in providers {
                    li { a.button.primary href=(sign_in_elsewhere::path(provider, next)) { "Sign in with " (label) } }
                }
            }
        }
        form.sign-in method="post" action="/sign-in" {
            input type="hidden" name="next" value=(next);
            label for="token" { "Token" }
            input #token type="password" name="token" required autocomplete="current-password"
                aria-describedby=(if wrong { "wrong about-token" } else { "about-token" })
                aria-invalid=[wrong.then_some("true")];
            @if wrong { p.wrong #wrong role="alert" { "This is no token that is good." } }
            p.hint #about-token {
                "An administrator makes one for you with " code { "slipway tokens make" } "; their own is in the file " code { "admin.token" } " of the coordinator's data directory."
            }
            button.primary[by_token_alone] type="submit" { @if by_token_alone { "Sign in" } @else { "Sign in with a token" } }
        }
    }
}

/// `/` for whoever is not signed in.
pub(super) fn welcome(services: &Services) -> Html {
    let main = html! {
        div.narrow {
            h1 { "Slipway" }
            p.lead { "Slipway runs your team's GitHub Actions workflows, unchanged, on your own machines." }
            p { "This is a coordinator: it takes events, splits workflows into jobs and leases each job to an agent. Sign in to see runs, logs and the fleet." }
            (form(services, "/", false))
        }
    };
    whole(&Frame::plain("Slipway"), main)
}

fn shown(services: &Services, next: &str, wrong: bool) -> Html {
    let next = local(next);
    let main = html! {
        div.narrow data-next=(next) {
            h1 { "Sign in" }
            (form(services, next, wrong))
            // A link from another site brings no cookie along; one from here does.
            p.hint { "Signed in already in this browser? " a href=(next) { "Go on" } }
        }
    };
    whole(&Frame::plain("Sign in"), main)
}

pub(super) async fn page(State(services): State<Services>, Query(Next { next }): Query<Next>) -> Html {
    shown(&services, &next, false)
}

pub(super) async fn sign_in(
    State(services): State<Services>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    let header = format!("Bearer {}", given.token.trim());
    let Some(caller) = known(&services, Some(header.as_bytes())) else {
        services.metrics.unauthorized.add(1);
        return (StatusCode::FORBIDDEN, shown(&services, &given.next, true)).into_response();
    };
    let token = match &caller {
        Caller::Administrator => None,
        Caller::Holder(token) => Some(token.id.as_str()),
    };
    let sessions = &services.pages.sessions;
    let cookie = sessions.cookie(&sessions.begin(token, services.clock.unix_ms()), is_secure(&headers));
    ([(header::SET_COOKIE, cookie)], Redirect::to(local(&given.next))).into_response()
}

/// Whether this browser has a session, for the script of the form.
pub(super) async fn session(State(services): State<Services>, headers: HeaderMap) -> &'static str {
    let session = services.pages.sessions.of(&headers, services.clock.unix_ms());
    match session.and_then(|session| who(&services, &session)) {
        Some(_) => "yes",
        None => "no",
    }
}

/// A form that does nothing but be sent.
#[derive(Deserialize)]
pub(super) struct Bare {
    #[serde(default)]
    form_token: String,
}

impl Bare {
    /// # Errors
    /// As [`check_form`].
    pub(super) fn check(&self, visitor: &Visitor) -> Result<(), PageError> {
        check_form(visitor, &self.form_token)
    }
}

/// # Errors
/// When the form was not made for this session.
pub(super) fn check_form(visitor: &Visitor, form_token: &str) -> Result<(), PageError> {
    if visitor.session.made(form_token) {
        return Ok(());
    }
    Err(PageError::forbidden(
        "This form was not made for your session, and nothing was done. Load its page again and press once more.",
    ))
}

pub(super) async fn sign_out(
    State(services): State<Services>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<Bare>,
) -> Result<Response, PageError> {
    form.check(&visitor)?;
    // Nobody else has the token of a session that a provider vouched for.
    if let Caller::Holder(AccessToken { id, via: Some(_), .. }) = &visitor.caller {
        let command = HouseCommand::RevokeAccessToken { id: id.clone() };
        services.driver.house(command, visitor.caller.origin(visitor.door.clone())).await?;
    }
    Ok(([(header::SET_COOKIE, Sessions::end(is_secure(&headers)))], Redirect::to("/")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for path in ["/", "/runs/1", "/runs/1/jobs/2?step=3&q=%20"] {
            assert_eq!(local(path), path);
        }
        let long = format!("/{}", "a".repeat(NEXT_MAX_BYTES));
        for path in [
            "",
            "//e",
            "/\\e",
            "https://e",
            "e",
            "/a\r\nb: c",
            "/\u{9}/e",
            "/ä",
            "javascript:alert(1)",
            &long,
        ] {
            assert_eq!(local(path), "/", "{path}");
        }
        assert_eq!(path_with_next("/sign-in", "/runs/1?a=b&c"), "/sign-in?next=%2Fruns%2F1%3Fa%3Db%26c");
    }
}
