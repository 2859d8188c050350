//! Searching a log: on the server, a bounded stretch of it at a time.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::ansi;
use super::error::PageError;
use super::job::{Chosen, Wanted};
use super::limits::{SEARCH_HITS, SEARCH_RECORDS, SEARCH_TEXT_BYTES};
use super::outline::Place;
use super::rows::{self, Row};
use super::words::{count, name};
use crate::services::Services;

/// What a stretch of a log has of a text.
struct Found {
    rows: Vec<Row>,
    /// Where to go on; none: all of it was searched.
    next: Option<Place>,
}

async fn search(services: &Services, chosen: &Chosen, text: &str, from: Place) -> Result<Found, PageError> {
    let mut found = Found { rows: Vec::new(), next: None };
    let Some((key, over)) = chosen.log() else { return Ok(found) };
    let text = text.to_lowercase();
    let mut place = from;
    let _look = services.pages.outlines.looks.acquire().await;
    let mut reader = services.records.reader(key, from.record, over).await?;
    loop {
        let some = reader.next().await?;
        if some.is_empty() {
            return Ok(found);
        }
        for record in some {
            if found.rows.len() == SEARCH_HITS || place.record - from.record >= SEARCH_RECORDS {
                found.next = Some(place);
                return Ok(found);
            }
            let fits =
                |row: &Row| row.text().is_some_and(|line| ansi::plain(line).to_lowercase().contains(&text));
            found.rows.extend(rows::row(record, &mut place).filter(fits));
        }
        tokio::task::yield_now().await;
    }
}

/// What the search that is wanted finds.
pub(super) async fn results(
    services: &Services,
    chosen: &Chosen,
    wanted: &Wanted,
) -> Result<Markup, PageError> {
    let text = wanted.q.trim();
    if text.is_empty() || text.len() > SEARCH_TEXT_BYTES {
        return Ok(html! { p.nothing { "Give a text of at most " (SEARCH_TEXT_BYTES) " bytes." } });
    }
    let first = Place { record: 1, line: 1 };
    let from = wanted
        .from
        .zip(wanted.from_line)
        .map_or(first, |(record, line)| Place { record: record.max(1), line });
    let found = search(services, chosen, text, from).await?;
    let attempt = chosen.attempt.as_ref().map_or(1, |attempt| attempt.attempt);
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC);
    Ok(html! {
        p.summary role="status" {
            (count(found.rows.len() as u64, "line has", "lines have")) " “" (name(text)) "”"
            @if found.next.is_some() { " so far" }
            " · " a href={ "?attempt=" (attempt) } { "Back to the steps" }
        }
        @if !found.rows.is_empty() {
            ol.log.hits {
                @for row in &found.rows {
                    li {
                        a href={ "?attempt=" (attempt) "&line=" (row.place.line) "#L" (row.place.line) } { (row.place.line) }
                        span { (ansi::render(row.text().unwrap_or_default())) }
                    }
                }
            }
        }
        @if let Some(next) = found.next {
            p { a href={ "?attempt=" (attempt) "&q=" (encoded) "&from=" (next.record) "&from_line=" (next.line) } { "Search on" } }
        }
    })
}
