//! `/settings/tokens`: tokens of people and programs, sessions of people who signed in at a provider, and tokens with which agents enrol.
//! A token's text is shown once, on the answer to the form that made it.

use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use slipway_scheduler::Timestamp;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, form_token, page as whole};
use super::session::Session;
use super::settings::tabs;
use super::sign_in::{Bare, check_form};
use super::words::{moment, name, span};
use crate::access::{ACCESS_LIFE_MS_MAX, ACCESS_NAME_MAX_CHARS, AccessToken, UserRole};
use crate::house::{EnrolToken, HouseCommand};
use crate::http::access_tokens::{self, Wanted};
use crate::http::enrolment;
use crate::services::Services;

const DAY_MS: u64 = 24 * 3_600_000;
const HOUR_MS: u64 = 3_600_000;

/// For how many days a token of somebody's is good, and for how many hours one for enrolment, unless it is changed.
const DAYS: u64 = 90;
/// See [`DAYS`].
const HOURS: u64 = 1;

/// The most that the form offers for enrolment: 30 days, in hours.
const HOURS_MAX: u64 = 30 * 24;

const ROLES: [UserRole; 4] = [UserRole::Viewer, UserRole::Developer, UserRole::Approver, UserRole::Admin];

/// What is good now.
struct Known {
    access: Vec<AccessToken>,
    enrolment: Vec<EnrolToken>,
}

/// A token that was just made.
struct Made {
    text: String,
    /// What to do with it.
    what: Markup,
}

async fn known(services: &Services) -> Result<Known, PageError> {
    let known = services.driver.query(|view| {
        let house = view.ledger.house();
        let good = house.access_tokens().filter(|token| token.expires_at > view.now);
        Known { access: good.cloned().collect(), enrolment: house.tokens(view.now).cloned().collect() }
    });
    Ok(known.await?)
}

fn ends(at: Timestamp, now_ms: u64) -> Markup {
    let left = at.0.saturating_sub(now_ms);
    let left = if left >= 2 * DAY_MS { format!("{} days", left / DAY_MS) } else { span(left) };
    html! { (moment(at.0)) " " span.hint { "in " (left) } }
}

fn revoke(path: &str, what: &str, word: &str, session: &Session) -> Markup {
    html! {
        form method="post" action=(path) {
            (form_token(session))
            button.danger type="submit" aria-label={ (word) " " (what) } { (word) }
        }
    }
}

fn made(made: &Made) -> Markup {
    html! {
        section.made aria-labelledby="made-title" role="status" {
            h2 #made-title { "Made" }
            p { (made.what) }
            p { code.secret { (made.text) } }
            p.hint { "It is shown this once, and kept nowhere." }
        }
    }
}

/// The tokens, or the sessions.
fn access(tokens: &[&AccessToken], sessions: bool, session: &Session, now_ms: u64) -> Markup {
    let (label, from, word) = if sessions {
        ("Who is signed in", "Signed in at", "End")
    } else {
        ("Tokens that are good", "Id", "Revoke")
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr {
                    th scope="col" { "Whose" } th scope="col" { "Role" } th scope="col" { (from) }
                    th scope="col" { "Since" } th scope="col" { "Good until" } th scope="col" { "Steer" }
                } }
                tbody {
                    @for token in tokens {
                        tr {
                            th scope="row" { (name(&token.name)) }
                            td { (token.role.word()) }
                            td { @match &token.via { Some(via) => (name(via)), None => code { (token.id) } } }
                            td { (moment(token.made_at.0)) }
                            td { (ends(token.expires_at, now_ms)) }
                            td { (revoke(&format!("/settings/tokens/{}/revoke", token.id), &format!("{} of {}", token.id, token.name), word, session)) }
                        }
                    }
                }
            }
        }
    }
}

fn enrolment_tokens(tokens: &[EnrolToken], session: &Session, now_ms: u64) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Unused tokens" {
            table {
                thead { tr {
                    th scope="col" { "Id" } th scope="col" { "Labels" } th scope="col" { "Since" }
                    th scope="col" { "Good until" } th scope="col" { "Steer" }
                } }
                tbody {
                    @for token in tokens {
                        tr {
                            th scope="row" { code { (token.id) } }
                            td { @if token.labels.is_empty() { "none" } @for label in &token.labels { span.label { (name(label)) } " " } }
                            td { (moment(token.made_at.0)) }
                            td { (ends(token.expires_at, now_ms)) }
                            td { (revoke(&format!("/settings/tokens/enrolment/{}/revoke", token.id), &token.id, "Revoke", session)) }
                        }
                    }
                }
            }
        }
    }
}

fn make_access(session: &Session) -> Markup {
    html! {
        form.gate method="post" action="/settings/tokens" {
            (form_token(session))
            div.fields {
                div.wide {
                    label for="token-name" { "Whose it is" }
                    input #token-name type="text" name="name" required maxlength=(ACCESS_NAME_MAX_CHARS) autocomplete="off";
                }
                div {
                    label for="token-role" { "Role" }
                    select #token-role name="role" { @for role in ROLES { option value=(role.word()) { (role.word()) } } }
                }
                div {
                    label for="token-days" { "Days" }
                    input #token-days type="number" name="days" required min="1" max=(ACCESS_LIFE_MS_MAX / DAY_MS) value=(DAYS);
                }
                button.primary type="submit" { "Make a token" }
            }
        }
    }
}

fn make_enrolment(session: &Session) -> Markup {
    html! {
        form.gate method="post" action="/settings/tokens/enrolment" {
            (form_token(session))
            div.fields {
                div.wide {
                    label for="enrol-labels" { "Labels that the agent gets, with commas between" }
                    input #enrol-labels type="text" name="labels" autocomplete="off";
                }
                div {
                    label for="enrol-hours" { "Hours" }
                    input #enrol-hours type="number" name="hours" required min="1" max=(HOURS_MAX) value=(HOURS);
                }
                button.primary type="submit" { "Make a token for enrolment" }
            }
        }
    }
}

async fn shown(services: &Services, visitor: &Visitor, new: Option<Made>) -> Result<Html, PageError> {
    let Known { access: tokens, enrolment: for_agents } = known(services).await?;
    let (session, now_ms) = (&visitor.session, services.clock.unix_ms());
    let (sessions, tokens): (Vec<&AccessToken>, Vec<&AccessToken>) =
        tokens.iter().partition(|token| token.via.is_some());
    let main = html! {
        h1 { "Settings" }
        (tabs("/settings/tokens"))
        @if let Some(new) = &new { (made(new)) }
        section aria-labelledby="tokens-title" {
            h2 #tokens-title { "Tokens of people and programs" }
            p.hint { "For the command line, the API and these pages. What somebody does with one is done in its owner's name." }
            (make_access(session))
            @if tokens.is_empty() { p.nothing { "There is the admin token alone." } }
            @else { (access(&tokens, false, session, now_ms)) }
        }
        section aria-labelledby="sessions-title" {
            h2 #sessions-title { "Sessions" }
            p.hint { "Of people who signed in at a provider. Whoever signed in with a token is signed in for as long as that is good." }
            @if sessions.is_empty() { p.nothing { "Nobody is signed in at a provider." } }
            @else { (access(&sessions, true, session, now_ms)) }
        }
        section aria-labelledby="enrolment-title" {
            h2 #enrolment-title { "Tokens for enrolment" }
            p.hint { "Each lets one agent join, once." }
            (make_enrolment(session))
            @if for_agents.is_empty() { p.nothing { "No token waits for an agent." } }
            @else { (enrolment_tokens(&for_agents, session, now_ms)) }
        }
    };
    let frame =
        Frame { title: "Tokens", session: Some(session), here: Some(Place::Settings), live: None, now_ms };
    Ok(whole(&frame, main))
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    shown(&services, &visitor, None).await
}

/// A token for somebody.
#[derive(Deserialize)]
pub(super) struct ForSomebody {
    name: String,
    role: UserRole,
    days: u64,
    #[serde(default)]
    form_token: String,
}

pub(super) async fn make(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<ForSomebody>,
) -> Result<Html, PageError> {
    check_form(&visitor, &form.form_token)?;
    let ForSomebody { name: owner, role, days, .. } = form;
    let what = html! { "The token of " strong { (name(owner.trim())) } " with the role " (role.word()) ":" };
    let wanted = Wanted { name: owner, role, life_ms: days.saturating_mul(DAY_MS), via: None };
    let origin = visitor.caller.origin(visitor.door.clone());
    let (_, token) = access_tokens::issue(&services, wanted, origin).await?;
    shown(&services, &visitor, Some(Made { text: token.reveal().to_owned(), what })).await
}

/// A token for an agent.
#[derive(Deserialize)]
pub(super) struct ForAgent {
    #[serde(default)]
    labels: String,
    hours: u64,
    #[serde(default)]
    form_token: String,
}

pub(super) async fn make_for_agent(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<ForAgent>,
) -> Result<Html, PageError> {
    check_form(&visitor, &form.form_token)?;
    let labels = form.labels.split(',').map(str::trim).filter(|label| !label.is_empty());
    let labels = enrolment::checked_labels(labels.map(str::to_owned).collect())?;
    let origin = visitor.caller.origin(visitor.door.clone());
    let life_ms = form.hours.saturating_mul(HOUR_MS);
    let (_, token) = enrolment::issue(&services, labels, life_ms, origin).await?;
    let what =
        html! { "For one agent, in a file that " code { "slipway-agent --token-file FILE" } " reads:" };
    shown(&services, &visitor, Some(Made { text: token.reveal().to_owned(), what })).await
}

pub(super) async fn revoke_access(
    State(services): State<Services>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Bare>,
) -> Result<Redirect, PageError> {
    form.check(&visitor)?;
    let origin = visitor.caller.origin(visitor.door);
    services.driver.house(HouseCommand::RevokeAccessToken { id }, origin).await?;
    Ok(Redirect::to("/settings/tokens"))
}

pub(super) async fn revoke_enrolment(
    State(services): State<Services>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Bare>,
) -> Result<Redirect, PageError> {
    form.check(&visitor)?;
    let origin = visitor.caller.origin(visitor.door);
    services.driver.house(HouseCommand::RevokeToken { id }, origin).await?;
    Ok(Redirect::to("/settings/tokens"))
}
