//! `/caches`: how often the cache of build tools helped, whom, what is kept for whom, and how what backs it is.

use axum::extract::State;
use maud::{Markup, html};

use super::error::PageError;
use super::gate::Visitor;
use super::hit_rate::{self, percent};
use super::layout::{Frame, Html, Place, page as whole};
use super::limits::CACHE_ROWS_SHOWN;
use super::words::{bytes, name, number};
use crate::cache::{CacheClient, CacheFigures, CacheHeld, CacheState};
use crate::results::Usage;
use crate::results::limits::CACHE_REPOSITORY_MAX_BYTES;
use crate::services::Services;

/// What the page shows.
struct Caches {
    state: CacheState,
    /// Of workflows: `actions/cache` and artifacts.
    usage: Vec<Usage>,
    /// The most that a repository's cache entries may have together.
    entries_quota_bytes: u64,
}

fn engine(state: &CacheState) -> Markup {
    let what = match state.place {
        "disk" => "A disk",
        "redis" => "Redis",
        _ => "Nothing",
    };
    html! { (what) " " (mark((state.place != "off").then_some(state.up))) }
}

/// Whether it answers; none: it is not to.
fn mark(up: Option<bool>) -> Markup {
    let (class, word) = match up {
        None => ("skipped", "Off"),
        Some(true) => ("success", "Up"),
        Some(false) => ("failure", "Does not answer"),
    };
    html! { span class={ "state " (class) } { span.dot aria-hidden="true" {} (word) } }
}

fn summary(state: &CacheState) -> Markup {
    let (hits, misses) = state.hours.iter().fold((0_u64, 0_u64), |(hits, misses), hour| {
        (hits.saturating_add(hour.hits), misses.saturating_add(hour.misses))
    });
    html! {
        dl.figures {
            div { dt { "Hit rate, last week" } dd { (percent(hits, misses)) } }
            div { dt { "Asked for" } dd { (number(hits.saturating_add(misses))) } }
            @if let Some(kept) = state.figures.as_ref().and_then(|figures| figures.stored_bytes) {
                div { dt { "Kept" } dd { (bytes(kept)) } }
            }
            div { dt { "Backed by" } dd.words { (engine(state)) } }
            @if let Some(store) = &state.store { div { dt { "Behind it" } dd.words { (name(&store.url)) " " (mark(Some(store.up))) } } }
        }
        @if state.place == "off" {
            p.note { "The cache of build tools is off (" code { "--cache off" } "). Caches and artifacts of workflows are kept all the same." }
        } @else if !state.up {
            p.note { "What backs the cache does not answer: everything is a miss meanwhile, and no build fails for it." }
        }
    }
}

/// How much of a quota is used, for those who see and those who do not.
fn share(used: u64, quota: Option<u64>) -> Markup {
    let Some(quota) = quota.filter(|quota| *quota > 0) else { return html! { "–" } };
    html! {
        (bytes(quota)) " "
        meter min="0" max="1" low="0.8" high="0.95" optimum="0" value=(format!("{:.3}", used as f64 / quota as f64)) aria-label={ (percent(used, quota.saturating_sub(used))) " of the quota" } {}
    }
}

fn held(state: &CacheState) -> Markup {
    let of = |held: &CacheHeld| match held.kind {
        "own" => "branches and tags",
        "pull_requests" => "pull requests",
        _ => "people and machines",
    };
    html! {
        section aria-labelledby="held-title" {
            h2 #held-title { "Kept for build tools" }
            @if state.place == "redis" { p.hint { "As it was when the leader last looked: every ten minutes." } }
            @if state.held.is_empty() { p.nothing { "Nothing is kept yet." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="What is kept for build tools" {
                    table {
                        thead { tr {
                            th scope="col" { "Repository" } th scope="col" { "Of" } th.num scope="col" { "Values" }
                            th.num scope="col" { "Kept" } th.num scope="col" { "Quota" }
                        } }
                        tbody {
                            @for held in state.held.iter().take(CACHE_ROWS_SHOWN) {
                                tr {
                                    th scope="row" { (repository(held.repository.as_deref())) }
                                    td { (of(held)) }
                                    td.num { (number(held.values)) }
                                    td.num { (bytes(held.stored_bytes)) }
                                    td.num { (share(held.stored_bytes, held.quota_bytes)) }
                                }
                            }
                        }
                    }
                }
                (rest(state.held.len()))
            }
        }
    }
}

fn repository(known: Option<&str>) -> Markup {
    html! { @if let Some(known) = known { (name(known)) } @else { span.hint { "none" } } }
}

fn rest(all: usize) -> Markup {
    html! { @if all > CACHE_ROWS_SHOWN { p.hint { "The first " (number(CACHE_ROWS_SHOWN as u64)) " of " (number(all as u64)) "; " code { "slipway cache stats --json" } " has all." } } }
}

fn clients(clients: &[CacheClient]) -> Markup {
    html! {
        section aria-labelledby="clients-title" {
            h2 #clients-title { "Clients " span.hint { "since the coordinator started" } }
            @if clients.is_empty() { p.nothing { "No tool has asked yet: " code { "docs/BUILD_TOOLS.md" } " says how they do." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Clients of the cache" {
                    table {
                        thead { tr {
                            th scope="col" { "Client" } th scope="col" { "Door" } th scope="col" { "Repository" }
                            th.num scope="col" { "Hits" } th.num scope="col" { "Misses" } th.num scope="col" { "Hit rate" }
                            th.num scope="col" { "Read" } th.num scope="col" { "Written" }
                        } }
                        tbody {
                            @for client in clients.iter().take(CACHE_ROWS_SHOWN) {
                                tr {
                                    th scope="row" { (name(&client.client)) }
                                    td { (if client.door == "grpc" { "gRPC" } else { "HTTP" }) }
                                    td { (repository(client.repository.as_deref())) }
                                    td.num { (number(client.hits)) }
                                    td.num { (number(client.misses)) }
                                    td.num { (percent(client.hits, client.misses)) }
                                    td.num { (bytes(client.read_bytes)) }
                                    td.num { (bytes(client.written_bytes)) }
                                }
                            }
                        }
                    }
                }
                (rest(clients.len()))
            }
        }
    }
}

fn workflows(usage: &[Usage], quota_bytes: u64) -> Markup {
    html! {
        section aria-labelledby="workflows-title" {
            h2 #workflows-title { "Caches and artifacts of workflows" }
            @if usage.is_empty() { p.nothing { "No workflow has saved any yet." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Caches and artifacts" {
                    table {
                        thead { tr {
                            th scope="col" { "Repository" } th.num scope="col" { "Cache entries" } th.num scope="col" { "Kept" }
                            th.num scope="col" { "Quota" } th.num scope="col" { "Artifacts" } th.num scope="col" { "Kept" }
                        } }
                        tbody {
                            @for usage in usage.iter().take(CACHE_ROWS_SHOWN) {
                                tr {
                                    th scope="row" { (name(&usage.repository)) }
                                    td.num { (number(usage.caches)) }
                                    td.num { (bytes(usage.cache_bytes)) }
                                    td.num { (share(usage.cache_bytes, Some(quota_bytes))) }
                                    td.num { (number(usage.artifacts)) }
                                    td.num { (bytes(usage.artifact_bytes)) }
                                }
                            }
                        }
                    }
                }
                (rest(usage.len()))
            }
        }
    }
}

fn figures(figures: &CacheFigures) -> Markup {
    html! {
        section aria-labelledby="engine-title" {
            h2 #engine-title { "What backs it " span.hint { "since the coordinator started" } }
            dl.facts {
                @if let Some(values) = figures.values { div { dt { "Values" } dd { (number(values)) } } }
                div { dt { "Found" } dd { (number(figures.hits)) } }
                div { dt { "Not found" } dd { (number(figures.misses)) } }
                div { dt { "Stored" } dd { (number(figures.puts)) } }
                div { dt { "Evicted" } dd { (number(figures.evicted)) } }
                div { dt { "Damaged and removed" } dd { (number(figures.damaged)) } }
                div { dt { "Reads refused" } dd { (number(figures.refused_reads)) } }
                div { dt { "Writes dropped" } dd { (number(figures.dropped_writes)) } }
            }
        }
    }
}

fn main(caches: &Caches, now_ms: u64) -> Markup {
    let state = &caches.state;
    html! {
        h1 { "Caches" }
        (summary(state))
        @if state.place != "off" {
            (hit_rate::section(&state.hours, now_ms / 1_000))
            (clients(&state.clients))
            (held(state))
        }
        (workflows(&caches.usage, caches.entries_quota_bytes))
        @if let Some(told) = &state.figures { (figures(told)) }
    }
}

pub(super) async fn page(State(services): State<Services>, visitor: Visitor) -> Result<Html, PageError> {
    let usage = services.results.usage().await?;
    let state = match &services.cache {
        Some(cache) => cache.state(usage.iter().map(|usage| usage.repository.clone()).collect()).await,
        None => CacheState::OFF,
    };
    let entries_quota_bytes = services.options.cache_quota.actions_bytes(CACHE_REPOSITORY_MAX_BYTES);
    let now_ms = services.clock.unix_ms();
    let frame = Frame {
        title: "Caches",
        session: Some(&visitor.session),
        here: Some(Place::Caches),
        live: None,
        now_ms,
    };
    Ok(whole(&frame, main(&Caches { state, usage, entries_quota_bytes }, now_ms)))
}
