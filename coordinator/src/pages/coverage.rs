//! `/coverage`: how coverage, findings and components went, branch by branch.

use axum::extract::{Query, State};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::words::{ago, moment, name, number, short_ref, short_sha};
use super::{coverage_plot, days};
use crate::reports::percent;
use crate::services::Services;
use crate::trends::days_before;
use crate::trends::reports::{Latest, Point, RUNS_MAX, SERIES_MAX, Series, latest, points};

/// Branches that rest for a while are of interest here.
const DAYS: u64 = 90;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    repository: String,
    workflow: String,
    #[serde(rename = "ref")]
    git_ref: String,
    days: Option<u64>,
}

fn covered(point: &Point) -> Markup {
    html! { @match point.hundredths() { Some(share) => { (percent(share)) } None => { "–" } } }
}

/// The worst that there is, and how many there are.
fn findings(point: &Point) -> Markup {
    let Some(findings) = point.findings else { return html! { "–" } };
    let words = ["critical", "high", "medium", "low"];
    let parts = findings.iter().zip(words).filter(|(count, _)| **count > 0);
    let parts: Vec<String> = parts.map(|(count, word)| format!("{} {word}", number(*count))).collect();
    html! { (if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }) }
}

fn components(point: &Point) -> Markup {
    html! { (point.components.map_or_else(|| "–".to_owned(), number)) }
}

fn address(series: &Series, span: u64) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let Series { repository, workflow_file, git_ref } = series;
    let [repository, workflow, git_ref] = [repository, workflow_file, git_ref].map(|text| encode(text));
    format!("/coverage?repository={repository}&workflow={workflow}&ref={git_ref}&days={span}")
}

fn list(found: &[Latest], span: u64, now_ms: u64) -> Markup {
    html! {
        section aria-labelledby="series-title" {
            h2 #series-title { "Branches" }
            p.hint { "What the newest run with reports says; a branch leads to its runs." }
            @if found.is_empty() { p.nothing { "No job has written a report of coverage, findings or components in these days." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Newest reports of branches" {
                    table {
                        thead { tr {
                            th scope="col" { "Branch" } th scope="col" { "Repository" } th scope="col" { "Workflow" }
                            th.num scope="col" { "Coverage" } th scope="col" { "Findings" } th.num scope="col" { "Components" }
                            th.num scope="col" { "Runs" } th scope="col" { "Newest" }
                        } }
                        tbody {
                            @for Latest { series, runs, newest } in found {
                                tr {
                                    th scope="row" { a href=(address(series, span)) { (name(short_ref(&series.git_ref))) } }
                                    td { (name(&series.repository)) }
                                    td { (name(&series.workflow_file)) }
                                    td.num { (covered(newest)) }
                                    td { (findings(newest)) }
                                    td.num { (components(newest)) }
                                    td.num { (number(*runs)) }
                                    td { a href={ "/runs/" (newest.run) "#reports" } { (ago(newest.finished_ms, now_ms)) } }
                                }
                            }
                        }
                    }
                }
                @if found.len() as u64 == SERIES_MAX { p.hint { "There may be more; the tables of " code { "docs/HISTORY.md" } " have all." } }
            }
        }
    }
}

fn series(series: &Series, found: &[Point]) -> Markup {
    html! {
        section aria-labelledby="runs-title" {
            h2 #runs-title { (name(short_ref(&series.git_ref))) " of " (name(&series.repository)) " " span.hint { (name(&series.workflow_file)) } }
            @if found.is_empty() { p.nothing { "No run of it has reports in these days." } }
            @else {
                (coverage_plot::plot(found))
                div.scroll tabindex="0" role="region" aria-label="Reports of each run" {
                    table {
                        thead { tr {
                            th scope="col" { "Ended" } th scope="col" { "Commit" } th.num scope="col" { "Coverage" }
                            th.num scope="col" { "Lines" } th scope="col" { "Findings" } th.num scope="col" { "Components" }
                        } }
                        tbody {
                            @for point in found {
                                tr {
                                    th scope="row" { a href={ "/runs/" (point.run) "#reports" } { (moment(point.finished_ms)) } }
                                    td { code { (short_sha(&point.sha)) } }
                                    td.num { (covered(point)) }
                                    td.num { (point.lines.map_or_else(|| "–".to_owned(), number)) }
                                    td { (findings(point)) }
                                    td.num { (components(point)) }
                                }
                            }
                        }
                    }
                }
                @if found.len() as u64 == RUNS_MAX { p.hint { "The newest " (number(RUNS_MAX)) " runs." } }
            }
        }
    }
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Html, PageError> {
    let span = days::chosen(filter.days, DAYS);
    let now_ms = services.clock.unix_ms();
    let since_ms = days_before(now_ms, span);
    let chosen =
        Series { repository: filter.repository, workflow_file: filter.workflow, git_ref: filter.git_ref };
    let one = !chosen.git_ref.is_empty();
    let content = match one {
        true => series(&chosen, &points(&services.history, &chosen, since_ms).await?),
        false => list(&latest(&services.history, since_ms).await?, span, now_ms),
    };
    let main = html! {
        h1 { "Coverage and findings" }
        @if one { p { a href={ "/coverage?days=" (span) } { "All branches" } } }
        form.filter method="get" action="/coverage" {
            @if one {
                input type="hidden" name="repository" value=(chosen.repository);
                input type="hidden" name="workflow" value=(chosen.workflow_file);
                input type="hidden" name="ref" value=(chosen.git_ref);
            }
            (days::select(span))
            button type="submit" { "Filter" }
        }
        (content)
    };
    let frame = Frame {
        title: "Coverage and findings",
        session: Some(&visitor.session),
        here: Some(Place::Coverage),
        live: None,
        now_ms,
    };
    Ok(whole(&frame, main))
}
