//! The page of a run: what it is, its jobs by what they need, and what failed.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use slipway_scheduler::{JobResult, RunId};

use super::error::PageError;
use super::find_run;
use super::gate::Visitor;
use super::layout::{Frame, Place, form_token, page as whole};
use super::limits::RUNS_LOOKED_AT;
use super::live::{self, Parts};
use super::run_failures::{self, Failure};
use super::session::Session;
use super::words::{Mark, ago, moment, name, short_ref, short_sha, took};
use super::{run_artifacts, run_gates, run_jobs, run_reports};
use crate::access::UserRole;
use crate::driver::View;
use crate::rerun::is_attempt_of;
use crate::results::ArtifactView;
use crate::services::Services;
use crate::view::{self, Detail, RunView, StateWord};

/// What people call a run.
pub(super) fn title(run: &RunView) -> String {
    let title = if run.workflow_name.is_empty() { &run.workflow_file } else { &run.workflow_name };
    format!("{title} #{}", run.run_number)
}

/// A run as its page shows it.
struct Shown {
    run: RunView,
    /// The runs that are attempts of the same one, by number; this one is among them.
    attempts: Vec<(u64, String)>,
    artifacts: Vec<ArtifactView>,
    reports: run_reports::Shown,
}

async fn show(services: &Services, run: RunId) -> Result<Shown, PageError> {
    let look = move |view: View<'_>| {
        let shown = view::run(view, run, Detail::Full)?;
        let meta = view.state.run(run)?.meta();
        let newest = view.state.runs().rev().take(RUNS_LOOKED_AT);
        let same = newest.filter(|other| other.id() == run || is_attempt_of(other.meta(), meta));
        let mut attempts: Vec<_> =
            same.map(|other| (other.meta().run_attempt, other.id().to_string())).collect();
        attempts.sort();
        Some(Shown { run: shown, attempts, artifacts: Vec::new(), reports: run_reports::Shown::default() })
    };
    let shown = services.driver.query(look).await?;
    let shown = shown.ok_or_else(|| PageError::not_found("This run is not kept any more."))?;
    // A page without them is better than none.
    let artifacts = services.results.artifacts_of_run(run).await.unwrap_or_default();
    let reports = match shown.run.state {
        StateWord::Finished => run_reports::of_run(services, run).await,
        _ => run_reports::Shown::default(),
    };
    Ok(Shown { artifacts, reports, ..shown })
}

fn head(Shown { run, attempts, .. }: &Shown, now_ms: u64) -> Markup {
    html! {
        div #head {
            p.summary {
                (Mark::of(run.state, run.result).long())
                " " (took(run.created_ms, run.finished_ms, now_ms))
                @if let Some(cancelled) = &run.cancelled { " · cancelled " (name(cancelled)) }
            }
            @if let Some(cause) = run.cause { p.note { (super::causes::explained(cause)) } }
            dl.facts {
                div { dt { "Repository" } dd { (name(if run.repository.is_empty() { "–" } else { &run.repository })) } }
                div { dt { "Event" } dd { (name(&run.event_name)) } }
                div { dt { "Ref" } dd { (name(if run.git_ref.is_empty() { "–" } else { short_ref(&run.git_ref) })) } }
                div { dt { "Commit" } dd { @if run.sha.is_empty() { "–" } @else { code title=(run.sha) { (short_sha(&run.sha)) } } } }
                div { dt { "By" } dd { (name(if run.actor.is_empty() { "–" } else { &run.actor })) } }
                div { dt { "Workflow" } dd { (name(&run.workflow_file)) } }
                div { dt { "Submitted" } dd { (moment(run.created_ms)) " (" (ago(run.created_ms, now_ms)) ")" } }
                @if run.run_attempt > 1 { div { dt { "Attempt" } dd { (run.run_attempt) } } }
                @if run.priority != 0 { div { dt { "Priority" } dd { (run.priority) } } }
                div { dt { "Summaries" } dd { a href={ "/runs/" (run.run) "/summaries" } { "of its jobs" } } }
            }
            @if attempts.len() > 1 {
                nav aria-label="Attempts" {
                    ul.tabs {
                        @for (attempt, id) in attempts {
                            li { a href={ "/runs/" (id) } aria-current=[(*id == run.run).then_some("page")] { "Attempt " (attempt) } }
                        }
                    }
                }
            }
        }
    }
}

fn buttons(run: &RunView, session: &Session) -> Markup {
    let form = |action: &str, class: &str, text: &str, failed: bool| {
        html! {
            form method="post" action={ "/runs/" (run.run) "/" (action) } {
                (form_token(session))
                @if failed { input type="hidden" name="failed" value="true"; }
                button class=(class) type="submit" { (text) }
            }
        }
    };
    if !session.may(UserRole::Developer) {
        return html! { div.actions #actions {} };
    }
    let failed = run.result.is_some_and(|result| result != JobResult::Success);
    html! {
        div.actions #actions {
            @if run.state == StateWord::Finished {
                @if failed { (form("rerun", "primary", "Re-run failed jobs", true)) }
                (form("rerun", "", "Re-run all jobs", false))
            } @else if run.cancelled.is_none() {
                (form("cancel", "danger", "Cancel run", false))
            }
        }
    }
}

fn parts(shown: &Shown, failures: &[Failure], session: &Session, now_ms: u64) -> Parts {
    let run = &shown.run;
    vec![
        ("head".to_owned(), head(shown, now_ms)),
        ("actions".to_owned(), buttons(run, session)),
        ("gates".to_owned(), run_gates::section(run, session)),
        ("failures".to_owned(), run_failures::section(run, failures)),
        ("jobs".to_owned(), run_jobs::section(run, now_ms)),
        ("reports".to_owned(), run_reports::section(&shown.reports)),
        ("artifacts".to_owned(), run_artifacts::section(run, &shown.artifacts)),
    ]
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Path(text): Path<String>,
) -> Result<Response, PageError> {
    let id = find_run(&services, text.clone()).await?;
    if id.to_string() != text {
        return Ok(Redirect::to(&format!("/runs/{id}")).into_response());
    }
    let shown = show(&services, id).await?;
    let run = &shown.run;
    let mut failures = Vec::new();
    run_failures::add(&services, id, run, &mut failures).await;
    let now_ms = services.clock.unix_ms();
    let title = title(run);
    let main = html! {
        p.path { a href="/" { "Runs" } }
        h1 { (name(&title)) }
        @for (_, part) in parts(&shown, &failures, &visitor.session, now_ms) { (part) }
    };
    let live = format!("/runs/{id}/live");
    let frame = Frame {
        title: &title,
        session: Some(&visitor.session),
        here: Some(Place::Overview),
        live: (run.state != StateWord::Finished).then_some(live.as_str()),
        now_ms,
    };
    Ok(whole(&frame, main).into_response())
}

pub(super) async fn follow(
    State(services): State<Services>,
    visitor: Visitor,
    Path(text): Path<String>,
) -> Result<Response, PageError> {
    let id = find_run(&services, text).await?;
    let asked = services.clone();
    // The script counts on; so what is sent changes only when something happens.
    let now_ms = services.clock.unix_ms();
    live::stream(&services, &visitor.session.clone(), move |mut follower| async move {
        let mut changes = asked.driver.watch(id);
        let mut failures = Vec::new();
        loop {
            changes.borrow_and_update();
            let Ok(shown) = show(&asked, id).await else { return Ok(()) };
            run_failures::add(&asked, id, &shown.run, &mut failures).await;
            follower.show(parts(&shown, &failures, &visitor.session, now_ms)).await?;
            if shown.run.state == StateWord::Finished {
                return follower.end().await;
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    })
}
