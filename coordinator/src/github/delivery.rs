//! `POST /webhooks/github`: check, journal, answer.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use slipway_scheduler::Timestamp;

use super::asked::{self, Own};
use super::payload::EVENTS;
use super::{installed, signature};
use crate::driver::payload::DeliveryEvent;
use crate::http::ApiError;
use crate::services::Services;

/// The longest delivery id or event name, in bytes.
const MAX_HEADER_BYTES: usize = 128;

/// Events that reports of ours raise as well.
const OF_REPORTS: [&str; 5] = ["check_run", "check_suite", "deployment", "deployment_status", "status"];

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, ApiError> {
    let value = header(headers, name).filter(|value| (1..=MAX_HEADER_BYTES).contains(&value.len()));
    value.ok_or_else(|| ApiError::bad_request(format!("the header `{name}` is missing or too long")))
}

/// Takes a delivery.
pub(crate) async fn webhook(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, &'static str), ApiError> {
    let body = body.map_err(|rejection| {
        let status = rejection.status();
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
        ApiError::new(status, code, rejection.body_text())
    })?;
    let Some(secret) = &services.options.webhook.secret else {
        let message = "no webhook is accepted: start the coordinator with --webhook-secret-file";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "no_secret", message));
    };
    if !signature::is_valid(&secret.0, &body, header(&headers, "x-hub-signature-256")) {
        services.metrics.unauthorized.add(1);
        let message = "`x-hub-signature-256` does not sign this body with the webhook's secret";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "bad_signature", message));
    }
    let event = required(&headers, "x-github-event")?.to_owned();
    let id = required(&headers, "x-github-delivery")?.to_owned();
    match event.as_str() {
        "ping" => return Ok((StatusCode::OK, "pong\n")),
        known if EVENTS.contains(&known) || installed::EVENTS.contains(&known) => {}
        _ => return Ok((StatusCode::ACCEPTED, "this event starts nothing\n")),
    }
    let no_json = || {
        ApiError::bad_request(
            "the body is not JSON: choose the content type application/json for the webhook",
        )
    };
    if services.forge.is_some() && OF_REPORTS.contains(&event.as_str()) {
        // Each report of ours comes back as some of these: most of them end here and are not kept.
        let payload: serde_json::Value = serde_json::from_slice(&body).map_err(|_| no_json())?;
        if asked::own(&services, &event, &payload).await == Some(Own::Echo) {
            return Ok((StatusCode::ACCEPTED, "this is about a report of Slipway's and starts nothing\n"));
        }
    } else if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
        return Err(no_json());
    }
    let body = services.store.put(body).await?;
    let at = Timestamp(services.clock.unix_ms());
    let news = services.driver.delivery(DeliveryEvent::Accepted { id: id.clone(), event, body, at }).await?;
    if !news {
        return Ok((StatusCode::OK, "this delivery came before\n"));
    }
    services.metrics.deliveries.add(1);
    tracing::info!(delivery = id, "webhook accepted");
    services.deliveries.notify_one();
    Ok((StatusCode::ACCEPTED, "accepted\n"))
}
