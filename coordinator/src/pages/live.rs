//! Live updates: parts of a page, made anew on the server and sent when they changed (server-sent events).
//!
//! A follower that is slow is waited for, and holds up nobody. Without a script nothing is lost but having to load the page
//! again. A stream ends when the coordinator stops; the script comes back by itself.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use maud::Markup;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::error::PageError;
use super::gate::who;
use super::limits::{LIVE_CHECK_EVERY, LIVE_EVERY, LIVE_EVERY_EACH, LIVE_KEEP_ALIVE};
use super::session::Session;
use crate::services::Services;

/// Parts of a page by their elements' ids.
pub(super) type Parts = Vec<(String, Markup)>;

/// Where a page's messages go; an error means that nobody follows any more.
pub(super) struct Follower {
    events: mpsc::Sender<Result<Event, Infallible>>,
    seen: HashMap<String, String>,
    /// When the last message was sent, or what it might be made of looked at.
    last: Option<Instant>,
    /// Whose free places say how many pages follow.
    live: Arc<Semaphore>,
    live_max: usize,
}

/// Nobody follows any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Follower {
    /// Sends a message.
    pub(super) async fn say(&mut self, event: Event) -> Result<(), Gone> {
        self.events.send(Ok(event)).await.map_err(|_| Gone)?;
        self.last = Some(Instant::now());
        Ok(())
    }

    /// Waits as long as there has to be between one look and the next: what comes after a quiet time is told at once.
    pub(super) async fn rest(&mut self) {
        if let Some(last) = self.last {
            let pages = self.live_max.saturating_sub(self.live.available_permits());
            let every = LIVE_EVERY + LIVE_EVERY_EACH * u32::try_from(pages).unwrap_or(u32::MAX);
            tokio::time::sleep_until(last + every).await;
        }
        self.last = Some(Instant::now());
    }

    /// Says that nothing more comes; the page need not ask again.
    pub(super) async fn end(&mut self) -> Result<(), Gone> {
        self.say(Event::default().event("end").data("")).await
    }

    /// Sends those of the parts that are not as they were, and waits as long as there has to be between two messages.
    pub(super) async fn show(&mut self, parts: Parts) -> Result<(), Gone> {
        self.put(parts).await?;
        self.rest().await;
        Ok(())
    }

    /// Sends those of the parts that are not as they were.
    pub(super) async fn put(&mut self, parts: Parts) -> Result<(), Gone> {
        let mut changed = serde_json::Map::new();
        for (id, markup) in parts {
            let html = markup.into_string();
            if self.seen.get(&id) != Some(&html) {
                changed.insert(id.clone(), html.clone().into());
                self.seen.insert(id, html);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let data = serde_json::Value::Object(changed).to_string();
        self.say(Event::default().event("parts").data(data)).await
    }
}

/// Waits until the session is worth nothing.
async fn ended(services: Services, session: Session) {
    while who(&services, &session).is_some() {
        tokio::time::sleep(LIVE_CHECK_EVERY).await;
    }
}

/// Answers with what `tell` tells, until it ends, nobody follows any more, the session's token is not good any more, or the
/// coordinator stops.
pub(super) fn stream<F>(
    services: &Services,
    session: &Session,
    tell: impl FnOnce(Follower) -> F,
) -> Result<Response, PageError>
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let full = || PageError::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "Too many pages follow live.");
    let room = services.pages.live.clone().try_acquire_owned().map_err(|_| full())?;
    let (events, receiver) = mpsc::channel(1);
    let told = tell(Follower {
        events: events.clone(),
        seen: HashMap::new(),
        last: None,
        live: Arc::clone(&services.pages.live),
        live_max: services.options.live_pages_max,
    });
    let closing = services.closing.clone();
    let ended = ended(services.clone(), session.clone());
    tokio::spawn(async move {
        tokio::select! {
            // However it ends, the page asks again.
            _ = told => {}
            () = events.closed() => {}
            () = closing.cancelled() => {}
            () = ended => {}
        }
        drop(room);
    });
    let keep = KeepAlive::new().interval(LIVE_KEEP_ALIVE);
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep).into_response())
}
