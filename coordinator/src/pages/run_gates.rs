//! What waits for somebody's approval, and what was decided: the part of a run's page on which people let environments go on.

use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use slipway_scheduler::command::DecideGates;

use super::error::PageError;
use super::find_run;
use super::gate::Visitor;
use super::layout::form_token;
use super::session::Session;
use super::sign_in::check_form;
use super::words::{moment, name};
use crate::access::UserRole;
use crate::audit::{Origin, TEXT_MAX};
use crate::services::Services;
use crate::view::{GateView, HoldView, RunView};

/// What came of an environment's review.
#[derive(PartialEq)]
struct Decided<'a> {
    environment: &'a str,
    decision: &'static str,
    by: Option<&'a str>,
    comment: Option<&'a str>,
    at_ms: Option<u64>,
}

/// The part; empty for a run whose environments ask nothing.
pub(super) fn section(run: &RunView, session: &Session) -> Markup {
    let gates = || run.instances.iter().flatten().filter_map(|instance| instance.gate.as_ref());
    let mut waiting: Vec<&GateView> = Vec::new();
    let mut decided: Vec<Decided<'_>> = Vec::new();
    for gate in gates() {
        let known = |other: &GateView| other.environment.eq_ignore_ascii_case(&gate.environment);
        if gate.awaits_review && !waiting.iter().any(|other| known(other)) {
            waiting.push(gate);
        }
        let Some(decision) = gate.decision else { continue };
        let (by, comment) = (gate.by.as_deref(), gate.comment.as_deref());
        let one = Decided { environment: &gate.environment, decision, by, comment, at_ms: gate.decided_ms };
        if !decided.contains(&one) {
            decided.push(one);
        }
    }
    html! {
        div #gates {
            @if let Some(hold) = &run.hold { (start(run, hold, session)) }
            @if !waiting.is_empty() || !decided.is_empty() {
                section aria-labelledby="approvals" {
                    h2 #approvals { "Approvals" }
                    @for gate in waiting {
                        @if session.may(UserRole::Approver) { (form(run, gate, session)) } @else { (waits(gate)) }
                    }
                    @if !decided.is_empty() {
                        ul.plain {
                            @for one in &decided { li { (told(one)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a run of somebody whom nobody knows may begin.
fn start(run: &RunView, hold: &HoldView, session: &Session) -> Markup {
    let whose = html! {
        "This run is of a fork's pull request by " strong { (name(&hold.author)) }
        ", whom the repository does not know (" (name(&hold.association)) "). "
    };
    html! {
        section aria-labelledby="start" {
            h2 #start { "Approval to begin" }
            @match (hold.awaits_approval, hold.decision) {
                (true, _) if session.may(UserRole::Approver) => {
                    form.gate method="post" action={ "/runs/" (run.run) "/approvals" } {
                        (form_token(session))
                        p { (whose) "Nothing of it runs before somebody has looked at its changes and approves." }
                        (fields("", &[], session))
                    }
                },
                (true, _) => p { (whose) "It waits for somebody with the role approver." },
                (false, Some(decision)) => p {
                    (name(hold.by.as_deref().unwrap_or("Somebody"))) " " (decision) " this run"
                    @if let Some(at_ms) = hold.decided_ms { " · " (moment(at_ms)) }
                    @if let Some(comment) = hold.comment.as_deref().filter(|comment| !comment.is_empty()) {
                        ": " (name(comment))
                    }
                },
                (false, None) => p { (whose) "It ended without anybody's approval." },
            }
        }
    }
}

fn told(one: &Decided<'_>) -> Markup {
    html! {
        @match one.decision {
            "expired" => { "Nobody decided about " strong { (name(one.environment)) } " in time" },
            decision => { (name(one.by.unwrap_or("Somebody"))) " " (decision) " " strong { (name(one.environment)) } },
        }
        @if let Some(at_ms) = one.at_ms { " · " (moment(at_ms)) }
        @if let Some(comment) = one.comment.filter(|comment| !comment.is_empty()) { ": " (name(comment)) }
    }
}

/// For those who may only look.
fn waits(gate: &GateView) -> Markup {
    html! {
        p { "Jobs wait for approval of " strong { (name(&gate.environment)) } " by somebody with the role approver." }
    }
}

fn form(run: &RunView, gate: &GateView, session: &Session) -> Markup {
    html! {
        form.gate method="post" action={ "/runs/" (run.run) "/approvals" } {
            (form_token(session))
            input type="hidden" name="environment" value=(gate.environment);
            p { "Jobs wait for approval of " strong { (name(&gate.environment)) } "." }
            (fields(&gate.environment, &gate.reviewers, session))
        }
    }
}

/// Who decides, why, and the buttons; of a run's start: without environment.
fn fields(environment: &str, reviewers: &[String], session: &Session) -> Markup {
    let id = |field: &str| format!("{field}-{environment}");
    html! {
        div.fields {
            div {
                label for=(id("actor")) { "Your name" }
                @if let Some(owner) = &session.name {
                    input type="text" id=(id("actor")) name="actor" readonly value=(owner);
                } @else if reviewers.is_empty() {
                    input type="text" id=(id("actor")) name="actor" required maxlength=(TEXT_MAX) autocomplete="username";
                } @else {
                    select id=(id("actor")) name="actor" {
                        @for reviewer in reviewers { option value=(reviewer) { (name(reviewer)) } }
                    }
                }
            }
            div.wide {
                label for=(id("comment")) { "Comment" }
                input type="text" id=(id("comment")) name="comment" maxlength=(TEXT_MAX);
            }
            button.primary type="submit" name="decision" value="approve" { "Approve " span.unseen { (name(environment)) } }
            button.danger type="submit" name="decision" value="reject" { "Reject " span.unseen { (name(environment)) } }
        }
    }
}

/// What somebody pressed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Approval {
    environment: String,
    actor: String,
    comment: String,
    decision: String,
    form_token: String,
}

pub(super) async fn decide(
    State(services): State<Services>,
    visitor: Visitor,
    Path(run): Path<String>,
    Form(form): Form<Approval>,
) -> Result<Redirect, PageError> {
    check_form(&visitor, &form.form_token)?;
    let run = find_run(&services, run).await?;
    let Approval { environment, actor, comment, decision, .. } = form;
    let actor =
        visitor.caller.acts_as(Some(&actor)).map_err(|why| PageError::forbidden(&why))?.unwrap_or_default();
    let approve = match decision.as_str() {
        "approve" => true,
        "reject" => false,
        _ => return Err(PageError::bad_request("Press Approve or Reject.")),
    };
    if actor.is_empty() || actor.chars().count() > TEXT_MAX {
        return Err(PageError::bad_request("Write who decides: your name."));
    }
    tracing::info!(%run, environment, approve, actor, "an environment is reviewed");
    let origin = Origin { actor: actor.clone(), source: visitor.door };
    let asked = DecideGates { run, environment, approve, actor, comment };
    services.driver.decide_gates(asked, origin).await?;
    Ok(Redirect::to(&format!("/runs/{run}")))
}
