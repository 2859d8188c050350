//! What people press: cancel, run again, drain and resume.
//!
//! Each goes the API's way and into the audit trail, after its form's token was checked, and leads back to a page.

use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use serde::Deserialize;
use slipway_scheduler::AgentId;
use slipway_scheduler::command::Cancel;

use super::error::PageError;
use super::find_run;
use super::gate::Visitor;
use super::sign_in::{Bare, check_form};
use crate::audit::Origin;
use crate::rerun::{self, Rerun};
use crate::services::Services;

/// Whoever signed in with the admin token.
const ACTOR: &str = "an administrator";

pub(super) fn actor(visitor: &Visitor) -> String {
    visitor.caller.name().unwrap_or(ACTOR).to_owned()
}

fn origin(visitor: Visitor) -> Origin {
    Origin { actor: actor(&visitor), source: visitor.door }
}

pub(super) async fn cancel(
    State(services): State<Services>,
    visitor: Visitor,
    Path(run): Path<String>,
    Form(form): Form<Bare>,
) -> Result<Redirect, PageError> {
    form.check(&visitor)?;
    let run = find_run(&services, run).await?;
    tracing::info!(%run, door = visitor.door, "a run is cancelled");
    let cancel = Cancel { run, actor: actor(&visitor), reason: "on its page".to_owned() };
    services.driver.cancel(cancel, origin(visitor)).await?;
    Ok(Redirect::to(&format!("/runs/{run}")))
}

/// How to run again.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Again {
    /// Only what failed.
    failed: bool,
    form_token: String,
}

pub(super) async fn rerun(
    State(services): State<Services>,
    visitor: Visitor,
    Path(run): Path<String>,
    Form(form): Form<Again>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    let run = find_run(&services, run).await?;
    let actor = visitor.caller.name().unwrap_or_default().to_owned();
    let wanted = Rerun { failed: form.failed, actor, door: visitor.door, ..Rerun::default() };
    let again = rerun::rerun(&services, run, wanted).await?;
    Ok(Redirect::to(&format!("/runs/{again}")))
}

pub(super) async fn drain(
    services: State<Services>,
    visitor: Visitor,
    agent: Path<String>,
    form: Form<Bare>,
) -> Result<Redirect, PageError> {
    steer(services, visitor, agent, form, true).await
}

pub(super) async fn resume(
    services: State<Services>,
    visitor: Visitor,
    agent: Path<String>,
    form: Form<Bare>,
) -> Result<Redirect, PageError> {
    steer(services, visitor, agent, form, false).await
}

async fn steer(
    State(services): State<Services>,
    visitor: Visitor,
    Path(agent): Path<String>,
    Form(form): Form<Bare>,
    on: bool,
) -> Result<Redirect, PageError> {
    form.check(&visitor)?;
    let unknown = || PageError::not_found("There is no agent of this id.");
    let id: AgentId = agent.parse().map_err(|_| unknown())?;
    if !services.driver.drain(id, on, origin(visitor)).await? {
        return Err(unknown());
    }
    tracing::info!(agent = %id, on, "an agent is steered");
    Ok(Redirect::to("/fleet"))
}
