//! `/settings/secrets`: which secrets are kept, and giving them values. A value comes in and never goes out.

use axum::extract::{Form, State};
use axum::response::Redirect;
use maud::{Markup, html};

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::session::Session;
use super::settings::tabs;
use super::settings_kept::{Chosen, Kind, cells, form, removal};
use super::sign_in::check_form;
use super::words::moment;
use crate::hashicorp_vault::VaultReference;
use crate::house::KeptSecret;
use crate::http::ApiError;
use crate::services::Services;
use crate::vault;

const SECRETS: Kind = Kind { word: "secret", path: "/settings/secrets" };

fn row(secret: &KeptSecret, session: &Session) -> Markup {
    html! {
        tr {
            (cells(&secret.address))
            td { @match secret.reference() { Some(reference) => code { (reference) }, None => "sealed here" } }
            td { (moment(secret.at.0)) }
            td { (removal(&SECRETS, &secret.address, session)) }
        }
    }
}

/// Where a value is in HashiCorp Vault, instead of the value.
fn in_vault() -> Markup {
    html! {
        div.field {
            label for="secret-vault" { "Or where it is in HashiCorp Vault" }
            input #secret-vault type="text" name="vault" placeholder="secret/data/app#password" autocomplete="off" spellcheck="false";
        }
    }
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let secrets = services.driver.query(|view| view.ledger.house().secrets().cloned().collect::<Vec<_>>());
    let (secrets, session) = (secrets.await?, &visitor.session);
    let or_elsewhere = services.hashicorp_vault.is_some().then(in_vault);
    let main = html! {
        h1 { "Settings" }
        (tabs(SECRETS.path))
        section aria-labelledby="secrets-title" {
            h2 #secrets-title { "Secrets" }
            p.hint { "Jobs get them as " code { "secrets.NAME" } "; of several of a name the nearest counts: an environment's before a repository's, and that before one for all. Values are sealed, and shown to nobody." }
            (form(&SECRETS, session, or_elsewhere.as_ref()))
            @if secrets.is_empty() { p.nothing { "No secret is kept." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Kept secrets" {
                    table {
                        thead { tr {
                            th scope="col" { "Name" } th scope="col" { "Repository" } th scope="col" { "Environment" }
                            th scope="col" { "Value" } th scope="col" { "Set" } th scope="col" { "Steer" }
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

pub(super) async fn set(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<Chosen>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    let origin = visitor.caller.origin(visitor.door);
    let address = form.address(&SECRETS)?;
    let value = form.value();
    let set = match form.vault() {
        None => vault::set(&services, address, &value, origin).await,
        Some(_) if !value.is_empty() => {
            let both = "give the value, or where it is in HashiCorp Vault, and not both";
            return Err(ApiError::bad_request(both).into());
        }
        Some(reference) => {
            let reference = reference.parse::<VaultReference>();
            let reference = reference.map_err(|error| ApiError::bad_request(error.to_string()))?;
            vault::refer(&services, address, reference, origin).await
        }
    };
    set.map_err(ApiError::from)?;
    Ok(Redirect::to(SECRETS.path))
}

pub(super) async fn remove(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<Chosen>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    let origin = visitor.caller.origin(visitor.door);
    vault::remove(&services, form.address(&SECRETS)?, origin).await.map_err(ApiError::from)?;
    Ok(Redirect::to(SECRETS.path))
}
