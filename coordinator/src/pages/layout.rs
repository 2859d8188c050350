//! What all pages have around their content.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::session::Session;
use super::words::name;
use crate::access::UserRole;

/// The pages that the navigation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Fleet,
    Caches,
    Tests,
    Coverage,
    Usage,
    Environments,
    Audit,
    Settings,
}

/// What is around a page.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// None: nobody is signed in.
    pub(super) session: Option<&'a Session>,
    pub(super) here: Option<Place>,
    /// Where its live updates come from.
    pub(super) live: Option<&'a str>,
    /// By the coordinator's clock, so that durations go on rightly on a machine with another one.
    pub(super) now_ms: u64,
}

impl<'a> Frame<'a> {
    /// A page for anybody.
    pub(super) fn plain(title: &'a str) -> Self {
        Self { title, session: None, here: None, live: None, now_ms: 0 }
    }
}

/// A whole page.
pub(super) struct Html(String);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], self.0).into_response()
    }
}

/// Answers with a piece of a page.
pub(super) fn piece(markup: Markup) -> Html {
    Html(markup.into_string())
}

/// The hidden field of every form.
pub(super) fn form_token(session: &Session) -> Markup {
    html! { input type="hidden" name="form_token" value=(session.form_token); }
}

pub(super) fn page(frame: &Frame<'_>, main: Markup) -> Html {
    whole(frame, None, main)
}

/// A page that leads to another one by itself.
pub(super) fn page_that_goes_on(frame: &Frame<'_>, next: &str, main: Markup) -> Html {
    whole(frame, Some(next), main)
}

fn whole(frame: &Frame<'_>, next: Option<&str>, main: Markup) -> Html {
    let title =
        if frame.title == "Slipway" { "Slipway".to_owned() } else { format!("{} · Slipway", frame.title) };
    let link = |place: Place, path: &str, text: &str| {
        let current = (frame.here == Some(place)).then_some("page");
        html! { li { a href=(path) aria-current=[current] { (text) } } }
    };
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                @if let Some(next) = next { meta http-equiv="refresh" content=(format!("0; url={next}")); }
                link rel="icon" href=(ICON);
                link rel="stylesheet" href=(STYLE.path());
                script src=(SCRIPT.path()) defer {}
            }
            body data-now=(frame.now_ms) data-live=[frame.live] {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { "Slipway" }
                    @if let Some(session) = frame.session {
                        nav aria-label="Pages" {
                            ul {
                                (link(Place::Overview, "/", "Runs"))
                                (link(Place::Fleet, "/fleet", "Fleet"))
                                (link(Place::Tests, "/tests", "Tests"))
                                (link(Place::Coverage, "/coverage", "Coverage"))
                                (link(Place::Usage, "/usage", "Usage"))
                                (link(Place::Caches, "/caches", "Caches"))
                                (link(Place::Environments, "/environments", "Environments"))
                                @if session.may(UserRole::Admin) {
                                    (link(Place::Audit, "/audit", "Audit"))
                                    (link(Place::Settings, "/settings", "Settings"))
                                }
                            }
                        }
                        span #connection role="status" {}
                        @if let Some(owner) = &session.name { span.who { (name(owner)) " (" (session.role.word()) ")" } }
                        form.out method="post" action="/sign-out" {
                            (form_token(session))
                            button.quiet type="submit" { "Sign out" }
                        }
                    }
                }
                main #main tabindex="-1" { (main) }
                footer {
                    "Slipway " (env!("CARGO_PKG_VERSION")) " · "
                    a href="/api/v1/openapi.json" { "API" } " · " a href="/metrics" { "Metrics" }
                }
            }
        }
    };
    Html(whole.into_string())
}
