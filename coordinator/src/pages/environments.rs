//! `/environments`: what waits for somebody's approval, what environments ask, and what was decided last.

use axum::extract::State;
use maud::{Markup, html};
use slipway_scheduler::state::{Instance, Phase};

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::limits::{DECISIONS_SHOWN, RUNS_LOOKED_AT, WAITING_SHOWN};
use super::words::{moment, name, number, short_ref, span, took};
use crate::driver::View;
use crate::options::EnvironmentRule;
use crate::services::Services;

/// A run, as a table names it.
#[derive(Debug)]
struct Of {
    run: String,
    workflow: String,
    repository: String,
    git_ref: String,
}

/// A job that waits for approval.
#[derive(Debug)]
struct Waiting {
    of: Of,
    job: String,
    environment: String,
    reviewers: Vec<String>,
    not_by: Vec<String>,
    since_ms: u64,
}

/// A decision, or that nobody took one in time.
#[derive(Debug)]
struct Decided {
    of: Of,
    environment: String,
    verdict: &'static str,
    by: String,
    comment: String,
    at_ms: u64,
}

/// What the page shows of runs.
#[derive(Debug, Default)]
struct Environments {
    waiting: Vec<Waiting>,
    waiting_more: bool,
    decided: Vec<Decided>,
}

fn look(view: View<'_>) -> Environments {
    let mut found = Environments::default();
    for run in view.state.runs().filter(|run| run.end().is_none()) {
        for (instance, gate) in view.state.awaiting_review(run.id()) {
            if found.waiting.len() == WAITING_SHOWN {
                found.waiting_more = true;
                break;
            }
            let Phase::Gated { since } = instance.phase() else { continue };
            found.waiting.push(Waiting {
                of: of(run),
                job: instance.definition().name.clone(),
                environment: gate.environment.clone(),
                reviewers: gate.reviewers.clone(),
                not_by: gate.barred.clone(),
                since_ms: since.0,
            });
        }
    }
    let newest = view.state.runs().rev().take(RUNS_LOOKED_AT);
    for run in newest {
        let mut of_run: Vec<Decided> = Vec::new();
        for instance in run.jobs().iter().flat_map(|job| view.state.instances_of(job)) {
            let Some(one) = decided(of(run), instance) else { continue };
            // One decision is about all jobs of the run that waited.
            let same = |known: &Decided| known.at_ms == one.at_ms && known.environment == one.environment;
            if !of_run.iter().any(same) {
                of_run.push(one);
            }
        }
        found.decided.append(&mut of_run);
    }
    found.decided.sort_by_key(|decided| std::cmp::Reverse(decided.at_ms));
    found.decided.truncate(DECISIONS_SHOWN);
    found
}

fn of(run: &slipway_scheduler::state::Run) -> Of {
    let meta = run.meta();
    Of {
        run: run.id().to_string(),
        workflow: format!("{} #{}", meta.workflow_name, meta.run_number),
        repository: meta.repository.clone(),
        git_ref: meta.git_ref.clone(),
    }
}

fn decided(of: Of, instance: &Instance) -> Option<Decided> {
    let (gate, review) = (instance.gate()?, instance.review()?);
    Some(Decided {
        of,
        environment: gate.environment.clone(),
        verdict: review.verdict.as_str(),
        by: review.actor.clone(),
        comment: review.comment.clone(),
        at_ms: review.at.0,
    })
}

fn listed(names: &[String]) -> Markup {
    html! { @for (at, each) in names.iter().enumerate() { @if at > 0 { ", " } (name(each)) } }
}

/// Who may approve.
fn approvers(reviewers: &[String], not_by: &[String]) -> Markup {
    html! {
        @if reviewers.is_empty() { "whoever has the role approver" } @else { (listed(reviewers)) }
        @if !not_by.is_empty() { span.hint { " but not " (listed(not_by)) } }
    }
}

fn run_cell(of: &Of, part: &str) -> Markup {
    html! {
        a href={ "/runs/" (of.run) (part) } { (name(&of.workflow)) }
        div.hint { (name(&of.repository)) " · " (name(short_ref(&of.git_ref))) }
    }
}

fn waiting(found: &Environments, now_ms: u64) -> Markup {
    html! {
        section aria-labelledby="waiting-title" {
            h2 #waiting-title { "Waiting for approval" }
            @if found.waiting.is_empty() { p.nothing { "Nothing waits for anybody." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Jobs that wait" {
                    table {
                        thead { tr {
                            th scope="col" { "Job" } th scope="col" { "Environment" } th scope="col" { "Run" }
                            th scope="col" { "Who may approve" } th.num scope="col" { "Since" }
                        } }
                        tbody {
                            @for job in &found.waiting {
                                tr {
                                    th scope="row" { (name(&job.job)) }
                                    td { (name(&job.environment)) }
                                    td { (run_cell(&job.of, "#approvals")) }
                                    td { (approvers(&job.reviewers, &job.not_by)) }
                                    td.num { (took(job.since_ms, None, now_ms)) }
                                }
                            }
                        }
                    }
                }
                p.hint {
                    "Approve or reject on the page of the run."
                    @if found.waiting_more { " The first " (number(WAITING_SHOWN as u64)) " are shown, oldest runs first." }
                }
            }
        }
    }
}

fn rules(rules: &[EnvironmentRule]) -> Markup {
    html! {
        section aria-labelledby="rules-title" {
            h2 #rules-title { "Rules" }
            @if rules.is_empty() {
                p.nothing { "No environment asks anything of jobs. Rules stand in the configuration file, under " code { "[[environment]]" } "." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="What environments ask" {
                    table {
                        thead { tr {
                            th scope="col" { "Environment" } th scope="col" { "Where" } th scope="col" { "Approval" }
                            th scope="col" { "Waiting" } th scope="col" { "Branches and tags" }
                        } }
                        tbody {
                            @for rule in rules {
                                tr {
                                    th scope="row" { (name(&rule.name)) }
                                    td { @match &rule.repository { Some(place) => (name(place)), None => "every repository" } }
                                    td {
                                        @if rule.approval { (approvers(&rule.reviewers, &[])) } @else { "none" }
                                        @if rule.prevent_self_review { div.hint { "not by whoever started the run" } }
                                    }
                                    td {
                                        @if rule.wait_ms > 0 { (span(rule.wait_ms)) } @else if !rule.one_at_a_time { "none" }
                                        @if rule.one_at_a_time { div.hint { "one deployment at a time" } }
                                    }
                                    td { @match &rule.refs { Some(refs) => (name(refs)), None => "all" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn verdict(word: &str) -> Markup {
    let class = match word {
        "approved" => "success",
        "rejected" => "failure",
        _ => "cancelled",
    };
    html! { span class={ "state " (class) } { span.dot aria-hidden="true" {} (word) } }
}

fn decisions(decided: &[Decided]) -> Markup {
    html! {
        section aria-labelledby="decided-title" {
            h2 #decided-title { "Decided last" }
            @if decided.is_empty() { p.nothing { "Nobody has decided anything yet." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Decisions" {
                    table {
                        thead { tr {
                            th scope="col" { "Environment" } th scope="col" { "Decision" } th scope="col" { "By" }
                            th scope="col" { "Run" } th scope="col" { "Comment" } th scope="col" { "When" }
                        } }
                        tbody {
                            @for one in decided {
                                tr {
                                    th scope="row" { (name(&one.environment)) }
                                    td { (verdict(one.verdict)) }
                                    td { (name(if one.by.is_empty() { "–" } else { &one.by })) }
                                    td { (run_cell(&one.of, "")) }
                                    td { (name(&one.comment)) }
                                    td { (moment(one.at_ms)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let found = services.driver.query(look).await?;
    let known: Vec<EnvironmentRule> = services.options.environments.rules().collect();
    let now_ms = services.clock.unix_ms();
    let main = html! {
        h1 { "Environments" }
        (waiting(&found, now_ms))
        (rules(&known))
        (decisions(&found.decided))
    };
    let frame = Frame {
        title: "Environments",
        session: Some(&visitor.session),
        here: Some(Place::Environments),
        live: None,
        now_ms,
    };
    Ok(whole(&frame, main))
}
