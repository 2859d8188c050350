//! A server that is told to start and stop agents: a signed POST for each.
//!
//! The signature is that of GitHub's webhooks (`X-Hub-Signature-256`: HMAC-SHA256 of the body), which receivers know how to check. A call that is
//! made again has the same `Idempotency-Key`.

use std::time::Duration;

use axum::http::Request;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use slipway_kit::backoff::Backoff;

use super::call::Call;
use super::limits::{ANSWER_MAX_BYTES, WEBHOOK_TRIES, WEBHOOK_WAIT_FIRST, WEBHOOK_WAIT_MAX, WHY_MAX_CHARS};
use crate::github::signature;
use crate::https::{Client, said};

/// What a try came to.
enum Tried {
    Taken,
    /// Trying again may help.
    Later(String),
    Refused(String),
}

/// Sends a call, again where that may help, for this long at most.
///
/// # Errors
/// What the other side answered last.
pub(super) async fn send(
    client: &Client,
    url: &str,
    secret: &str,
    call: &Call,
    timeout: Duration,
) -> Result<(), String> {
    let body = serde_json::to_vec(call).map_err(|error| error.to_string())?;
    let body = Bytes::from(body);
    let mut last = None;
    let trying = async {
        let mut backoff = Backoff::new(WEBHOOK_WAIT_FIRST, WEBHOOK_WAIT_MAX);
        for _ in 0..WEBHOOK_TRIES {
            if last.is_some() {
                tokio::time::sleep(backoff.next_wait()).await;
            }
            match send_once(client, url, secret, call, body.clone()).await {
                Tried::Taken => return Ok(()),
                Tried::Refused(reason) => return Err(reason),
                Tried::Later(reason) => last = Some(reason),
            }
        }
        Err(last.take().unwrap_or_default())
    };
    match tokio::time::timeout(timeout, trying).await {
        Ok(result) => result,
        Err(_) => Err(last.unwrap_or_else(|| format!("{url} did not answer within {} s", timeout.as_secs()))),
    }
}

async fn send_once(client: &Client, url: &str, secret: &str, call: &Call, body: Bytes) -> Tried {
    let request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .header("X-Hub-Signature-256", signature::of(secret, &body))
        .header("Idempotency-Key", format!("{}-{}", call.action.word(), call.agent))
        .body(Full::new(body));
    let request = match request {
        Ok(request) => request,
        Err(error) => return Tried::Refused(format!("{url}: {error}")),
    };
    let answer = match client.request(request).await {
        Ok(answer) => answer,
        Err(error) => return Tried::Later(format!("{url}: {}", said(&error))),
    };
    let status = answer.status();
    if status.is_success() {
        return Tried::Taken;
    }
    let text = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
    // One that says too much, or breaks off, says nothing.
    let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text: String = String::from_utf8_lossy(&text).trim().chars().take(WHY_MAX_CHARS / 2).collect();
    let reason = format!("{url} answered {status}{}{text}", if text.is_empty() { "" } else { ": " });
    match status.is_server_error() || status.as_u16() == 429 {
        true => Tried::Later(reason),
        false => Tried::Refused(reason),
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
