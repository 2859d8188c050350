//! `/audit`: who asked for what.

use axum::extract::{Query, State};
use maud::html;
use serde::Deserialize;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place as Here, page as whole};
use super::words::{moment, name};
use crate::audit;
use crate::services::Services;

/// About how many entries one page has.
const PAGE_ENTRIES: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// Entries before this position of the journal; none: the newest.
    before: Option<u64>,
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(Position { before }): Query<Position>,
) -> Result<Html, PageError> {
    let trail = audit::newest(&services.driver, before, PAGE_ENTRIES).await?;
    let main = html! {
        h1 { "Audit" }
        p { "Who asked for what, newest first; an entry cannot be changed or removed without that being found (" code { "slipway audit --verify" } ")." }
        @if trail.entries.is_empty() { p.nothing { "No entries here." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Entries" {
                table {
                    thead { tr {
                        th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "By" }
                        th scope="col" { "Action" } th scope="col" { "Of" } th scope="col" { "Effect" }
                    } }
                    tbody {
                        @for placed in &trail.entries {
                            @let entry = &placed.entry;
                            tr {
                                td { (moment(entry.at.0)) }
                                td { (name(if entry.actor.is_empty() { "–" } else { &entry.actor })) }
                                td { (name(&entry.source)) }
                                td { code { (entry.action) } }
                                td { @if entry.action.starts_with("run.") { a href={ "/runs/" (entry.target) } { (name(&entry.target)) } } @else { (name(&entry.target)) } }
                                td { (name(&entry.effect)) }
                            }
                        }
                    }
                }
            }
        }
        nav.pager aria-label="More entries" {
            @if before.is_some() { a href="/audit" { "Newest" } }
            @if let Some(before) = trail.before { a href={ "/audit?before=" (before) } rel="next" { "Earlier" } }
        }
    };
    let frame = Frame {
        title: "Audit",
        session: Some(&visitor.session),
        here: Some(Here::Audit),
        live: None,
        now_ms: services.clock.unix_ms(),
    };
    Ok(whole(&frame, main))
}
