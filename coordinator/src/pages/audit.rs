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

/// How many entries one page has.
const PAGE_ENTRIES: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct From {
    /// The journal's position that the page before ended at.
    after: u64,
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(From { after }): Query<From>,
) -> Result<Html, PageError> {
    let trail = audit::page(&services.driver, after, PAGE_ENTRIES).await?;
    let main = html! {
        h1 { "Audit" }
        p { "Who asked for what, oldest first; an entry cannot be changed or removed without that being found (" code { "slipway audit --verify" } ")." }
        @if trail.entries.is_empty() { p.nothing { "No entries from here on." } }
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
        nav.pager aria-label="Pages" {
            @if after > 0 { a href="/audit" { "First" } }
            @if trail.position < trail.end { a href={ "/audit?after=" (trail.position) } rel="next" { "Later" } }
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
