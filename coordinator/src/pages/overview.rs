//! `/`: what runs, what ran, and how often it goes well.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use slipway_scheduler::{JobResult, RunId};

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::limits::{LIVE_LOOK_EVERY, REPOSITORIES_SHOWN, RUNS_LOOKED_AT, RUNS_SHOWN};
use super::live::{self, Parts};
use super::words::{Mark, ago, name, number, short_ref, took};
use crate::access::UserRole;
use crate::driver::View;
use crate::services::Services;
use crate::view::{self, Detail, RunView};

/// Which runs are wanted; empty: all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    repository: String,
    result: String,
}

/// How often the runs of a repository went well.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Rate {
    succeeded: u64,
    failed: u64,
    open: u64,
}

#[derive(Debug, Default)]
struct Overview {
    running: Vec<RunView>,
    recent: Vec<RunView>,
    rates: BTreeMap<String, Rate>,
    waiting: usize,
    leased: usize,
    agents: usize,
    more: bool,
}

const RESULTS: [(&str, &str); 4] =
    [("success", "Succeeded"), ("failure", "Failed"), ("cancelled", "Cancelled"), ("skipped", "Skipped")];

fn look(view: View<'_>, filter: &Filter) -> Overview {
    let mut overview = Overview {
        waiting: view.state.waiting_len(),
        leased: view.state.leased_len(),
        agents: view.fleet.agents().filter(|agent| agent.connected).count(),
        ..Overview::default()
    };
    let show = |run: RunId| view::run(view, run, Detail::Listing);
    for run in view.state.runs().rev().take(RUNS_LOOKED_AT) {
        let repository = &run.meta().repository;
        let rate = overview.rates.entry(repository.clone()).or_default();
        let result = run.end().map(|end| end.result);
        match result {
            Some(JobResult::Success) => rate.succeeded += 1,
            Some(JobResult::Failure) => rate.failed += 1,
            Some(_) => {}
            None => rate.open += 1,
        }
        if !filter.repository.is_empty() && filter.repository != *repository {
            continue;
        }
        let list = match result {
            None if filter.result.is_empty() => &mut overview.running,
            Some(result) if filter.result.is_empty() || filter.result == result.as_str() => {
                &mut overview.recent
            }
            _ => continue,
        };
        if list.len() < RUNS_SHOWN {
            list.extend(show(run.id()));
        } else {
            overview.more = true;
        }
    }
    overview
}

fn row(run: &RunView, now_ms: u64) -> Markup {
    let mark = Mark::of(run.state, run.result);
    let title = if run.workflow_name.is_empty() { &run.workflow_file } else { &run.workflow_name };
    html! {
        li {
            (mark.short())
            div.what {
                a href={ "/runs/" (run.run) } { (name(title)) " #" (run.run_number) }
                @if run.run_attempt > 1 { span.hint { " attempt " (run.run_attempt) } }
                div.hint {
                    (name(&run.repository)) " · " (run.event_name) " on " (name(short_ref(&run.git_ref)))
                    @if !run.actor.is_empty() { " by " (name(&run.actor)) }
                    @if let Some(cause) = run.cause { " · fleet failure: " (cause) }
                }
            }
            div.when {
                (took(run.created_ms, run.finished_ms, now_ms))
                div.hint { (ago(run.created_ms, now_ms)) }
            }
        }
    }
}

fn list(runs: &[RunView], nothing: &str, now_ms: u64) -> Markup {
    html! {
        @if runs.is_empty() { p.nothing { (nothing) } }
        @else { ol.runs { @for run in runs { (row(run, now_ms)) } } }
    }
}

fn rates(rates: &BTreeMap<String, Rate>) -> Markup {
    html! {
        @if rates.is_empty() { p.nothing { "No runs yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Success by repository" {
                table {
                    thead { tr { th scope="col" { "Repository" } th.num scope="col" { "Success" } th.num scope="col" { "Runs" } } }
                    tbody {
                        @for (repository, rate) in rates.iter().take(REPOSITORIES_SHOWN) {
                            @let ended = rate.succeeded + rate.failed;
                            tr {
                                th scope="row" { (name(if repository.is_empty() { "(local)" } else { repository })) }
                                td.num {
                                    @if ended > 0 {
                                        meter min="0" max="100" value=(100 * rate.succeeded / ended) aria-hidden="true" {}
                                        " " (100 * rate.succeeded / ended) " %"
                                    } @else { "–" }
                                }
                                td.num { (number(ended + rate.open)) }
                            }
                        }
                    }
                }
            }
            p.hint { "Of the newest " (number(RUNS_LOOKED_AT as u64)) " runs at most, without cancelled and skipped ones." }
        }
    }
}

fn parts(overview: &Overview, filter: &Filter, now_ms: u64) -> Parts {
    let Overview { running, recent, rates: by_repository, waiting, leased, agents, more } = overview;
    let figures = html! {
        dl.figures #figures {
            div { dt { "Running jobs" } dd { (number(*leased as u64)) } }
            div { dt { "Waiting jobs" } dd { (number(*waiting as u64)) } }
            div { dt { "Agents" } dd { (number(*agents as u64)) } }
        }
    };
    let running = html! {
        section #running aria-labelledby="running-title" {
            h2 #running-title { "Running now" }
            (list(running, "Nothing runs at the moment.", now_ms))
        }
    };
    let recent = html! {
        div #recent {
            (list(recent, "No run fits.", now_ms))
            @if *more { p.hint { "There are more; filter for them, or use " code { "slipway runs" } "." } }
        }
    };
    let rates = html! { div #rates { (rates(by_repository)) } };
    let mut parts = vec![("figures".to_owned(), figures)];
    if filter.result.is_empty() {
        parts.push(("running".to_owned(), running));
    }
    parts.extend([("recent".to_owned(), recent), ("rates".to_owned(), rates)]);
    parts
}

fn filter_form(filter: &Filter, repositories: impl Iterator<Item = String>) -> Markup {
    html! {
        form.filter method="get" action="/" {
            label { "Repository "
                select name="repository" {
                    option value="" { "All" }
                    @for repository in repositories.filter(|repository| !repository.is_empty()) {
                        option value=(repository) selected[repository == filter.repository] { (repository) }
                    }
                }
            }
            label { "Result "
                select name="result" {
                    option value="" { "All" }
                    @for (value, word) in RESULTS {
                        option value=(value) selected[value == filter.result] { (word) }
                    }
                }
            }
            button type="submit" { "Filter" }
        }
    }
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Html, PageError> {
    let wanted = filter.clone();
    let overview = services.driver.query(move |view| look(view, &wanted)).await?;
    let now_ms = services.clock.unix_ms();
    let mut parts: BTreeMap<String, Markup> = parts(&overview, &filter, now_ms).into_iter().collect();
    let mut part = |id: &str| parts.remove(id);
    let main = html! {
        h1 { "Runs" }
        @if let Some(figures) = part("figures") { (figures) }
        @if visitor.session.may(UserRole::Developer) { p { a href="/start" { "Start a workflow" } } }
        div.columns {
            div {
                @if let Some(running) = part("running") { (running) }
                section aria-labelledby="recent-title" {
                    h2 #recent-title { "Recent" }
                    (filter_form(&filter, overview.rates.keys().cloned()))
                    @if let Some(recent) = part("recent") { (recent) }
                }
            }
            section.side aria-labelledby="rates-title" {
                h2 #rates-title { "Success" }
                @if let Some(rates) = part("rates") { (rates) }
            }
        }
    };
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let live = format!("/live?repository={}&result={}", encode(&filter.repository), encode(&filter.result));
    let frame = Frame {
        title: "Runs",
        session: Some(&visitor.session),
        here: Some(Place::Overview),
        live: Some(&live),
        now_ms,
    };
    Ok(whole(&frame, main))
}

pub(super) async fn follow(
    State(services): State<Services>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Response, PageError> {
    let driver = services.driver.clone();
    // The script counts on; so what is sent changes only when something happens.
    let now_ms = services.clock.unix_ms();
    live::stream(&services, &visitor.session.clone(), move |mut follower| async move {
        loop {
            let wanted = filter.clone();
            let Ok(overview) = driver.query(move |view| look(view, &wanted)).await else { return Ok(()) };
            follower.show(parts(&overview, &filter, now_ms)).await?;
            tokio::time::sleep(LIVE_LOOK_EVERY).await;
        }
    })
}
