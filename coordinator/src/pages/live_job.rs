//! The live log of a job: new rows, and what became of its steps.
//!
//! A page says which record comes next for it, and each message which records it tells of, so that a page that comes back
//! after the coordinator was started again misses nothing and shows nothing twice. One that is far behind is told to load the
//! end anew: a log that grows faster than anybody reads is not sent line by line.

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use serde::Deserialize;
use serde_json::json;

use super::error::PageError;
use super::gate::Visitor;
use super::job::{self, Chosen, choose};
use super::limits::{LIVE_BEHIND, LIVE_LOOK_EVERY, LIVE_ROWS};
use super::live::{self, Follower, Gone};
use super::outline::{Outline, Place};
use super::rows::{self, Row};
use crate::records::AttemptKey;
use crate::services::Services;

/// Where a page is.
#[derive(Debug, Deserialize)]
pub(super) struct Position {
    attempt: Option<u32>,
    /// The record that comes next for it, and the number of the line there.
    #[serde(default)]
    record: u64,
    #[serde(default)]
    line: u64,
}

/// What a browser that comes back by itself heard last.
fn last_heard(headers: &HeaderMap) -> Option<Place> {
    let (record, line) = headers.get("last-event-id")?.to_str().ok()?.split_once('.')?;
    Some(Place { record: record.parse().ok()?, line: line.parse().ok()? })
}

pub(super) async fn follow(
    State(services): State<Services>,
    visitor: Visitor,
    Path((run, instance)): Path<(String, String)>,
    Query(position): Query<Position>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let chosen = choose(&services, run, &instance, position.attempt).await?;
    let (key, _) = chosen.log().ok_or_else(|| PageError::not_found("This job has no log yet."))?;
    let said = Place { record: position.record.max(1), line: position.line.max(1) };
    let place = last_heard(&headers).unwrap_or(said);
    let asked = services.clone();
    live::stream(&services, &visitor.session.clone(), move |follower| async move {
        let now_ms = asked.clock.unix_ms();
        tell(Telling { services: asked, key, place, now_ms, told: BTreeSet::new() }, follower).await
    })
}

struct Telling {
    services: Services,
    key: AttemptKey,
    place: Place,
    /// The script counts on; so what is sent changes only when something happens.
    now_ms: u64,
    /// The steps that the page knows.
    told: BTreeSet<u32>,
}

async fn tell(mut telling: Telling, mut follower: Follower) -> Result<(), Gone> {
    let AttemptKey { run, instance, attempt } = telling.key;
    let services = telling.services.clone();
    let mut changes = services.driver.watch(run);
    loop {
        changes.borrow_and_update();
        let chosen = choose(&services, run.to_string(), &instance.to_string(), Some(attempt)).await;
        let Ok(chosen) = chosen else { return Ok(()) };
        let over = chosen.log().is_none_or(|(_, over)| over);
        let outline = services.pages.outlines.of(&services.records, telling.key, over).await;
        let Ok(outline) = outline else { return Ok(()) };
        telling.steps(&chosen, &outline, &mut follower).await?;
        telling.rows(&outline, over, &mut follower).await?;
        if over && !outline.more {
            return follower.end().await;
        }
        if outline.more {
            continue;
        }
        let reader = services.records.reader(telling.key, telling.place.record, over).await;
        let Ok(mut reader) = reader else { return Ok(()) };
        tokio::select! {
            more = reader.ready() => if !more { tokio::time::sleep(LIVE_LOOK_EVERY).await },
            // Retired: the next look ends it.
            _ = changes.changed() => {}
        }
        follower.rest().await;
    }
}

impl Telling {
    /// Tells of steps that are new, and of those that changed.
    async fn steps(
        &mut self,
        chosen: &Chosen,
        outline: &Outline,
        follower: &mut Follower,
    ) -> Result<(), Gone> {
        let over = chosen.log().is_none_or(|(_, over)| over);
        for (number, step) in &outline.steps {
            if self.told.insert(*number) {
                let html = job::closed(chosen, *number, step, self.now_ms).into_string();
                let data = json!({"step": number, "html": html}).to_string();
                follower.say(Event::default().event("step").data(data)).await?;
            }
        }
        let mut parts = vec![("head".to_owned(), job::head(chosen, self.now_ms))];
        parts.extend(outline.steps.iter().map(|(number, step)| {
            (format!("step-{number}-line"), job::summary(*number, step, over, self.now_ms))
        }));
        follower.put(parts).await
    }

    /// Tells of the rows up to where the outline goes.
    async fn rows(&mut self, outline: &Outline, over: bool, follower: &mut Follower) -> Result<(), Gone> {
        if outline.next.record.saturating_sub(self.place.record) > LIVE_BEHIND {
            self.place = outline.next;
            return follower.say(Event::default().event("behind").id(id(self.place)).data("")).await;
        }
        let reader = self.services.records.reader(self.key, self.place.record, over).await;
        let Ok(mut reader) = reader else { return Ok(()) };
        while self.place.record < outline.next.record {
            let Ok(some) = reader.next().await else { return Ok(()) };
            if some.is_empty() {
                return Ok(());
            }
            let mut rows: Vec<Row> = Vec::new();
            let mut first = self.place.record;
            for record in some {
                let place = self.place;
                if let Some(row) = rows::row(record, &mut self.place) {
                    if rows.len() == LIVE_ROWS || rows.last().is_some_and(|last| last.step != row.step) {
                        self.say_rows(&rows, first, place, follower).await?;
                        rows.clear();
                        first = place.record;
                    }
                    rows.push(row);
                }
            }
            self.say_rows(&rows, first, self.place, follower).await?;
        }
        Ok(())
    }

    /// The rows of one step among the records from `first` to before `next`.
    async fn say_rows(
        &self,
        rows: &[Row],
        first: u64,
        next: Place,
        follower: &mut Follower,
    ) -> Result<(), Gone> {
        let Some(last) = rows.last() else { return Ok(()) };
        let html = rows::items(rows, None).into_string();
        let data = json!({"step": last.step, "first": first, "next": next.record, "html": html}).to_string();
        follower.say(Event::default().event("rows").id(id(next)).data(data)).await
    }
}

/// A message's id: where a page that heard it goes on.
fn id(place: Place) -> String {
    format!("{}.{}", place.record, place.line)
}
