//! `/start`: a workflow that has `workflow_dispatch`, started by a person with what it asks for.

use std::collections::BTreeMap;

use axum::extract::{Form, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use slipway_workflow::syntax::{Input, InputType};

use super::actions::actor;
use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, form_token, page as whole};
use super::session::Session;
use super::sign_in::check_form;
use super::words::{name, short_ref, short_sha};
use crate::dispatch::{self, Dispatch, Dispatchable, Startable};
use crate::services::Services;

/// What the field of an input is called: before its name, so that none is taken for a field of ours.
const INPUT: &str = "input.";

/// What is chosen so far.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chosen {
    repository: String,
    #[serde(rename = "ref")]
    git_ref: String,
    workflow: String,
}

fn address(chosen: &Chosen, workflow: &str) -> String {
    let [repository, git_ref, workflow] = [&chosen.repository, &chosen.git_ref, workflow]
        .map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    format!("/start?repository={repository}&ref={git_ref}&workflow={workflow}")
}

fn place_form(repositories: &[String], chosen: &Chosen) -> Markup {
    html! {
        form.filter method="get" action="/start" {
            label { "Repository "
                select name="repository" {
                    @for repository in repositories {
                        option value=(repository) selected[*repository == chosen.repository] { (repository) }
                    }
                }
            }
            label { "Branch or tag " input type="text" name="ref" value=(chosen.git_ref) placeholder="its default branch" maxlength="255"; }
            button type="submit" { "Show its workflows" }
        }
    }
}

fn field(number: usize, input: &Input) -> Markup {
    let (id, hint, named) =
        (format!("input-{number}"), format!("hint-{number}"), format!("{INPUT}{}", input.name));
    let default = input.default.as_deref().unwrap_or_default();
    let described = input.description.as_ref().map(|_| hint.as_str());
    html! {
        div.field {
            label for=(id) { (name(&input.name)) @if input.required { " (required)" } }
            @match &input.kind {
                InputType::Boolean => select #(id) name=(named) aria-describedby=[described] {
                    @for word in ["false", "true"] { option value=(word) selected[word == default] { (word) } }
                },
                InputType::Choice(options) => select #(id) name=(named) aria-describedby=[described] {
                    @for option in options { option value=(option) selected[option == default] { (option) } }
                },
                InputType::Number => input #(id) type="number" step="any" name=(named) value=(default) required[input.required] aria-describedby=[described];,
                InputType::String | InputType::Environment => input #(id) type="text" name=(named) value=(default) required[input.required] aria-describedby=[described];,
            }
            @if let Some(description) = &input.description { p.hint id=(hint) { (name(description)) } }
        }
    }
}

fn start_form(chosen: &Chosen, startable: &Startable, session: &Session) -> Markup {
    html! {
        section aria-labelledby="inputs-title" {
            h2 #inputs-title { (name(&startable.name)) }
            form.gate method="post" action="/start" {
                (form_token(session))
                input type="hidden" name="repository" value=(chosen.repository);
                input type="hidden" name="ref" value=(chosen.git_ref);
                input type="hidden" name="workflow" value=(startable.path);
                @if startable.inputs.is_empty() { p { "It asks for nothing." } }
                @for (number, input) in startable.inputs.iter().enumerate() { (field(number, input)) }
                button.primary type="submit" { "Start" }
            }
        }
    }
}

fn workflows(chosen: &Chosen, found: &Dispatchable, session: &Session) -> Markup {
    let one = found.workflows.iter().find(|startable| startable.path == chosen.workflow);
    let only = match found.workflows.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    html! {
        p { (name(short_ref(&found.git_ref))) " of " (name(&found.repository)) " is at " code { (short_sha(&found.sha)) } "." }
        @if found.workflows.is_empty() { p.nothing { "None of its workflows names " code { "workflow_dispatch" } " there." } }
        @else if only.is_none() {
            section aria-labelledby="workflows-title" {
                h2 #workflows-title { "Workflows" }
                ul.plain {
                    @for startable in &found.workflows {
                        @let current = (startable.path == chosen.workflow).then_some("true");
                        li { a href=(address(chosen, &startable.path)) aria-current=[current] { (name(&startable.name)) } " " span.hint { (name(&startable.path)) } }
                    }
                }
            }
        }
        @for problem in &found.problems { p.hint { (name(problem)) } }
        @if let Some(startable) = one.or(only) { (start_form(chosen, startable, session)) }
    }
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(mut chosen): Query<Chosen>,
) -> Result<Html, PageError> {
    let repositories = dispatch::known(&services);
    if let ([only], true) = (repositories.as_slice(), chosen.repository.is_empty()) {
        chosen.repository.clone_from(only);
    }
    let found = match chosen.repository.as_str() {
        "" => None,
        repository => Some(dispatch::dispatchable(&services, repository, &chosen.git_ref).await?),
    };
    let main = html! {
        h1 { "Start a workflow" }
        @if repositories.is_empty() {
            p.nothing { "No repository is known yet: one becomes known with its first webhook, or by the configuration." }
        } @else { (place_form(&repositories, &chosen)) }
        @if let Some(found) = &found { (workflows(&chosen, found, &visitor.session)) }
    };
    let frame = Frame {
        title: "Start a workflow",
        session: Some(&visitor.session),
        here: Some(Place::Overview),
        live: None,
        now_ms: services.clock.unix_ms(),
    };
    Ok(whole(&frame, main))
}

pub(super) async fn start(
    State(services): State<Services>,
    visitor: Visitor,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Redirect, PageError> {
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    check_form(&visitor, &field("form_token"))?;
    let (repository, workflow) = (field("repository"), field("workflow"));
    if repository.is_empty() || workflow.is_empty() {
        return Err(PageError::bad_request("The form names no repository or no workflow."));
    }
    // What is left empty is left to its default, as on GitHub.
    let inputs = fields.iter().filter_map(|(key, value)| Some((key.strip_prefix(INPUT)?, value)));
    let inputs = inputs.filter(|(_, value)| !value.is_empty());
    let wanted = Dispatch {
        repository: Some(repository),
        workflow,
        git_ref: Some(field("ref")).filter(|git_ref| !git_ref.is_empty()),
        inputs: inputs.map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        actor: actor(&visitor),
        door: visitor.door,
        ..Dispatch::default()
    };
    let run = dispatch::dispatch(&services, wanted).await?;
    Ok(Redirect::to(&format!("/runs/{run}")))
}
