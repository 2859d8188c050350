//! `/settings/variables`: which variables are kept, and giving them values.

use axum::extract::{Form, State};
use axum::response::Redirect;
use maud::{Markup, html};
use slipway_scheduler::Timestamp;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::session::Session;
use super::settings::tabs;
use super::settings_kept::{Chosen, Kind, cells, form, removal};
use super::sign_in::check_form;
use super::words::moment;
use crate::house::{HouseCommand, KeptVariable};
use crate::services::Services;

const VARIABLES: Kind = Kind { word: "variable", path: "/settings/variables" };

/// How much of a value is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;

fn row(variable: &KeptVariable, session: &Session) -> Markup {
    let shown: String = variable.value.chars().take(SHOWN_CHARS_MAX).collect();
    let cut = shown.len() < variable.value.len();
    html! {
        tr {
            (cells(&variable.address))
            td { code.value { (shown) @if cut { "…" } } }
            td { (moment(variable.at.0)) }
            td { (removal(&VARIABLES, &variable.address, session)) }
        }
    }
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let variables =
        services.driver.query(|view| view.ledger.house().variables().cloned().collect::<Vec<_>>());
    let (variables, session) = (variables.await?, &visitor.session);
    let main = html! {
        h1 { "Settings" }
        (tabs(VARIABLES.path))
        section aria-labelledby="variables-title" {
            h2 #variables-title { "Variables" }
            p.hint { "Workflows find them as " code { "vars.NAME" } "; of several of a name the nearest counts: an environment's before a repository's, and that before one for all. They are no secrets: jobs, logs and whoever may start runs see them." }
            (form(&VARIABLES, session, None))
            @if variables.is_empty() { p.nothing { "No variable is kept." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Kept variables" {
                    table {
                        thead { tr {
                            th scope="col" { "Name" } th scope="col" { "Repository" } th scope="col" { "Environment" }
                            th scope="col" { "Value" } th scope="col" { "Set" } th scope="col" { "Steer" }
                        } }
                        tbody { @for variable in &variables { (row(variable, session)) } }
                    }
                }
            }
        }
    };
    let frame = Frame {
        title: "Variables",
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
    let address = form.address(&VARIABLES)?;
    let variable = KeptVariable { address, value: form.value(), at: Timestamp(0) };
    decide(&services, &visitor, HouseCommand::SetVariable(variable)).await
}

pub(super) async fn remove(
    State(services): State<Services>,
    visitor: Visitor,
    Form(form): Form<Chosen>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    let address = form.address(&VARIABLES)?;
    decide(&services, &visitor, HouseCommand::RemoveVariable(address)).await
}

async fn decide(
    services: &Services,
    visitor: &Visitor,
    command: HouseCommand,
) -> Result<Redirect, PageError> {
    services.driver.house(command, visitor.caller.origin(visitor.door.clone())).await?;
    Ok(Redirect::to(VARIABLES.path))
}
