//! `/usage`: how runs ended and how long they took, what they took of machines, and how long jobs waited.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::error::PageError;
use super::gate::Visitor;
use super::hit_rate::percent;
use super::layout::{Frame, Html, Place, page as whole};
use super::words::{bytes, name, number, span};
use super::{days, usage_plot};
use crate::services::Services;
use crate::trends::usage::{ROWS_MAX, Usage, usage};
use crate::trends::{DAYS, days_before};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    days: Option<u64>,
}

/// From an hour on hours with a tenth, since machines are paid for in them.
fn hours(ms: u64) -> String {
    if ms < 3_600_000 {
        return span(ms);
    }
    let tenths = ms.saturating_add(180_000) / 360_000;
    format!("{}.{} h", number(tenths / 10), tenths % 10)
}

/// What is below a second is told too: agents begin within milliseconds.
fn wait(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{:02} s", ms / 1_000, ms / 10 % 100) } else { span(ms) }
}

fn table(id: &str, title: &str, hint: &str, nothing: &str, heads: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            p.hint { (hint) }
            @if rows.is_empty() { p.nothing { (nothing) } }
            @else {
                div.scroll tabindex="0" role="region" aria-label={ "Table: " (title) } {
                    table {
                        thead { tr { @for (at, head) in heads.iter().enumerate() { th.num[at > 0] scope="col" { (head) } } } }
                        tbody {
                            @for row in rows {
                                tr { @for (at, cell) in row.iter().enumerate() {
                                    @if at == 0 { th scope="row" { (cell) } } @else { td.num { (cell) } }
                                } }
                            }
                        }
                    }
                }
                @if rows.len() as u64 == ROWS_MAX { p.hint { "There may be more; the tables of " code { "docs/HISTORY.md" } " have all." } }
            }
        }
    }
}

fn repositories(usage: &Usage) -> Markup {
    let rows: Vec<Vec<Markup>> = usage
        .repositories
        .iter()
        .map(|of| {
            vec![
                name(&of.repository),
                html! { (number(of.runs)) },
                html! { (percent(of.succeeded, of.failed)) },
                html! { (span(of.p50_ms)) },
                html! { (span(of.p95_ms)) },
            ]
        })
        .collect();
    let heads = ["Repository", "Runs", "Success", "Half within", "95 of 100 within"];
    let hint = "Of runs that succeeded or failed, how many succeeded; and how long runs took from submission to end, waits for approval among it.";
    table("repositories-title", "Runs by repository", hint, "No run has ended in these days.", &heads, &rows)
}

fn machines(usage: &Usage) -> Markup {
    let rows: Vec<Vec<Markup>> = usage
        .machines
        .iter()
        .map(|of| {
            vec![
                name(&of.repository),
                name(if of.arch.is_empty() { "unknown" } else { &of.arch }),
                html! { (number(of.attempts)) },
                html! { (hours(of.slot_ms)) },
                html! { (hours(of.cpu_ms)) },
                html! { (of.max_rss_bytes.map_or_else(|| "–".to_owned(), bytes)) },
            ]
        })
        .collect();
    let heads = ["Repository", "Architecture", "Attempts", "Slots held", "Processor time", "Most memory"];
    let hint = "What attempts took: how long they held a slot of an agent, what they computed meanwhile, and the most memory that one of them had.";
    table(
        "machines-title",
        "Machines by repository and architecture",
        hint,
        "No attempt has ended in these days.",
        &heads,
        &rows,
    )
}

fn waits(usage: &Usage) -> Markup {
    let rows: Vec<Vec<Markup>> = usage
        .waits
        .iter()
        .map(|of| {
            vec![
                name(&of.labels),
                html! { (number(of.jobs)) },
                html! { (wait(of.p50_ms)) },
                html! { (wait(of.p95_ms)) },
                html! { (wait(of.longest_ms)) },
            ]
        })
        .collect();
    let heads = ["Labels", "Jobs", "Half within", "95 of 100 within", "Longest"];
    let hint = "From when a job could have begun until an agent had it, by what it asks for.";
    table("waits-title", "Waits for an agent", hint, "No job was begun in these days.", &heads, &rows)
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Html, PageError> {
    let span = days::chosen(filter.days, DAYS);
    let now_ms = services.clock.unix_ms();
    let found = usage(&services.history, days_before(now_ms, span)).await?;
    let main = html! {
        h1 { "Usage" }
        form.filter method="get" action="/usage" {
            (days::select(span))
            button type="submit" { "Filter" }
        }
        (usage_plot::section(&found.days, now_ms, span))
        (repositories(&found))
        (machines(&found))
        (waits(&found))
    };
    let frame = Frame {
        title: "Usage",
        session: Some(&visitor.session),
        here: Some(Place::Usage),
        live: None,
        now_ms,
    };
    Ok(whole(&frame, main))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_fine_as_they_are_of_use() {
        for (ms, text) in [
            (0, "0 s"),
            (179_999, "2 min 59 s"),
            (5_580_000, "1.6 h"),
            (3_600_000, "1.0 h"),
            (u64::MAX, "5,124,095,576,030.4 h"),
        ] {
            assert_eq!(hours(ms), text);
        }
        for (ms, text) in
            [(0, "0.00 s"), (129, "0.12 s"), (9_999, "9.99 s"), (10_000, "10 s"), (61_000, "1 min 01 s")]
        {
            assert_eq!(wait(ms), text);
        }
    }
}
