//! `/settings/secrets`: which secrets are kept, and giving them values. A value comes in and never goes out.

use axum::extract::{Form, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, form_token, page as whole};
use super::session::Session;
use super::settings::tabs;
use super::sign_in::check_form;
use super::words::{moment, name};
use crate::house::{KeptSecret, SecretPlace};
use crate::http::kept_secrets::{self, address};
use crate::services::Services;
use crate::vault::{self, MAX_NAME_BYTES};

fn place(place: &SecretPlace) -> (Option<&str>, Option<&str>) {
    match place {
        SecretPlace::Server => (None, None),
        SecretPlace::Repository { repository } => (Some(repository), None),
        SecretPlace::Environment { repository, environment } => (Some(repository), Some(environment)),
    }
}

fn row(secret: &KeptSecret, session: &Session) -> Markup {
    let (repository, environment) = place(&secret.address.place);
    html! {
        tr {
            th scope="row" { code { (secret.address.name) } }
            td { @match repository { Some(repository) => (name(repository)), None => "every repository" } }
            td { @match environment { Some(environment) => (name(environment)), None => "every job" } }
            td { (moment(secret.at.0)) }
            td {
                form method="post" action="/settings/secrets/remove" {
                    (form_token(session))
                    input type="hidden" name="name" value=(secret.address.name);
                    input type="hidden" name="repository" value=(repository.unwrap_or_default());
                    input type="hidden" name="environment" value=(environment.unwrap_or_default());
                    button.danger type="submit" aria-label={ "Remove " (secret.address.describe()) } { "Remove" }
                }
            }
        }
    }
}

fn form(session: &Session) -> Markup {
    html! {
        form.gate method="post" action="/settings/secrets" {
            (form_token(session))
            div.fields {
                div.wide {
                    label for="secret-name" { "Name" }
                    input #secret-name type="text" name="name" required maxlength=(MAX_NAME_BYTES) autocomplete="off";
                }
                div.wide {
                    label for="secret-repository" { "Repository, or empty for all" }
                    input #secret-repository type="text" name="repository" placeholder="owner/name" autocomplete="off";
                }
                div.wide {
                    label for="secret-environment" { "Environment, or empty for every job" }
                    input #secret-environment type="text" name="environment" autocomplete="off";
                }
            }
            div.field {
                label for="secret-value" { "Value" }
                textarea #secret-value name="value" required rows="3" autocomplete="off" spellcheck="false" {}
            }
            button.primary type="submit" { "Set the secret" }
        }
    }
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let secrets = services.driver.query(|view| view.ledger.house().secrets().cloned().collect::<Vec<_>>());
    let (secrets, session) = (secrets.await?, &visitor.session);
    let main = html! {
        h1 { "Settings" }
        (tabs("/settings/secrets"))
        section aria-labelledby="secrets-title" {
            h2 #secrets-title { "Secrets" }
            p.hint { "Jobs get them as " code { "secrets.NAME" } "; of several of a name the nearest counts: an environment's before a repository's, and that before one for all. Values are sealed, and shown to nobody." }
            (form(session))
            @if secrets.is_empty() { p.nothing { "No secret is kept." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Kept secrets" {
                    table {
                        thead { tr {
                            th scope="col" { "Name" } th scope="col" { "Repository" } th scope="col" { "Environment" }
                            th scope="col" { "Set" } th scope="col" { "Steer" }
                        } }
                        tbody { @for secret in &secrets { (row(secret, session)) } }
                    }
                }
            }
        }
    };
    let frame = Frame {
        title: "Secrets",
        session: Some(session),
        here: Some(Place::Settings),
        live: None,
        now_ms: services.clock.unix_ms(),
    };
    Ok(whole(&frame, main))
}

/// Which secret; what is empty is not said.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Chosen {
    name: String,
    repository: String,
    environment: String,
    value: String,
    form_token: String,
}

impl Chosen {
    fn address(&self) -> Result<crate::house::SecretAddress, PageError> {
        let said = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let place =
            kept_secrets::Place { repository: said(&self.repository), environment: said(&self.environment) };
        Ok(address(self.name.trim(), place)?)
    }
}

pub(super) async fn set(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<Chosen>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    // Browsers send lines as networks have them; keys and certificates are files.
    let value = form.value.replace("\r\n", "\n");
    let origin = visitor.caller.origin(visitor.door);
    vault::set(&services, form.address()?, &value, origin).await.map_err(crate::http::ApiError::from)?;
    Ok(Redirect::to("/settings/secrets"))
}

pub(super) async fn remove(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<Chosen>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    let origin = visitor.caller.origin(visitor.door);
    vault::remove(&services, form.address()?, origin).await.map_err(crate::http::ApiError::from)?;
    Ok(Redirect::to("/settings/secrets"))
}
