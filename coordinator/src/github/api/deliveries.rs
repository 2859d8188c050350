//! Deliveries of an App's webhook (GitHub docs, "REST API endpoints for GitHub App webhooks").

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::Value as Json;

use super::Github;
use super::answer::Answer;
use crate::forge::{ForgeError, Missed};

/// Pages of a hundred deliveries that are gone through.
const PAGES_MAX: u32 = 30;

/// Deliveries since this time of which no try got through, each with its newest try.
pub(super) async fn missed(github: &Github, since_ms: u64) -> Result<Vec<Missed>, ForgeError> {
    let mut found: BTreeMap<String, (Missed, bool)> = BTreeMap::new();
    let mut path = "/app/hook/deliveries?per_page=100".to_owned();
    for _ in 0..PAGES_MAX {
        let answer = github.ask_as_app(Method::GET, &path).await?;
        let page = answer.body.as_array();
        let page = page.ok_or_else(|| ForgeError::Uncertain("the answer is no list".to_owned()))?;
        let mut older = false;
        for (missed, good) in page.iter().filter_map(read) {
            older |= missed.at_ms < since_ms;
            if missed.at_ms >= since_ms {
                // The newest comes first.
                found.entry(missed.guid.clone()).or_insert((missed, false)).1 |= good;
            }
        }
        match next(&answer) {
            Some(cursor) if !older => path = format!("/app/hook/deliveries?per_page=100&cursor={cursor}"),
            _ => break,
        }
    }
    Ok(found.into_values().filter(|(_, good)| !good).map(|(missed, _)| missed).collect())
}

/// A try, and whether it got through.
fn read(delivery: &Json) -> Option<(Missed, bool)> {
    let id = delivery.get("id")?.as_u64()?;
    let guid = delivery.get("guid")?.as_str()?.to_owned();
    let at: jiff::Timestamp = delivery.get("delivered_at")?.as_str()?.parse().ok()?;
    let at_ms = u64::try_from(at.as_millisecond()).ok()?;
    let status = delivery.get("status_code")?.as_u64()?;
    Some((Missed { id, guid, at_ms }, (200..400).contains(&status)))
}

/// The cursor of the next page, from the `Link` header.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let query = next.split_once('<')?.1.split_once('>')?.0.split_once('?')?.1;
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="))?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.~%".contains(&byte);
    (!cursor.is_empty() && cursor.bytes().all(safe)).then(|| cursor.to_owned())
}

/// Asks for a delivery once more.
pub(super) async fn redeliver(github: &Github, id: u64) -> Result<(), ForgeError> {
    github.ask_as_app(Method::POST, &format!("/app/hook/deliveries/{id}/attempts")).await.map(drop)
}
