//! Makes a GitHub App from a manifest, and says what one that there is lacks (GitHub docs, "Registering a GitHub App from a manifest").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value as Json, json};
use slipway_kit::clock::SystemClock;

use super::http::Transport;
use super::{Github, limits, segment};
use crate::options::{GithubIdentity, GithubOptions};

/// What an App has to be allowed: (permission, what of it, what for).
const PERMISSIONS: [(&str, &str, &str); 4] = [
    ("checks", "write", "checks of jobs"),
    ("contents", "read", "pushes"),
    ("deployments", "write", "deployments to environments"),
    ("metadata", "read", "anything"),
];

/// What is asked for besides, for events that many workflows name, and for statuses.
const WISHES: [(&str, &str); 3] = [("pull_requests", "read"), ("statuses", "write"), ("issues", "read")];

/// Events that every App of ours hears of: (event, what for).
const EVENTS: [(&str, &str); 4] = [
    ("push", "workflows of pushes"),
    ("pull_request", "workflows of pull requests"),
    ("check_run", "the buttons of checks"),
    ("check_suite", "running all checks again"),
];

/// How long GitHub may take to make an App.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest code, in bytes.
const CODE_MAX_BYTES: usize = 256;

/// An App that was just made.
#[derive(Clone)]
pub struct NewApp {
    /// Its id.
    pub id: u64,
    /// Its page.
    pub page: String,
    /// Its private key, PEM.
    pub key: String,
    /// What signs its webhook's deliveries.
    pub webhook_secret: String,
}

impl std::fmt::Debug for NewApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApp").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The manifest of an App whose deliveries come to this address, and whose maker is sent back to the other.
#[must_use]
pub fn manifest(name: &str, public_url: &str, redirect_url: &str) -> Json {
    let public_url = public_url.trim_end_matches('/');
    let asked = PERMISSIONS.iter().map(|(name, level, _)| (*name, *level)).chain(WISHES);
    let permissions: BTreeMap<&str, &str> = asked.collect();
    json!({
        "name": name, "url": public_url, "public": false, "redirect_url": redirect_url,
        "hook_attributes": {"url": format!("{public_url}/webhooks/github"), "active": true},
        "default_permissions": permissions,
        "default_events": EVENTS.map(|(event, _)| event),
    })
}

/// Where a person makes an App from a manifest; of an organization, if one is named.
#[must_use]
pub fn page(api: &str, organization: Option<&str>) -> String {
    let base = match api.strip_suffix("/api/v3") {
        Some(base) => base.to_owned(),
        None => format!("https://{}", super::host_of(api)),
    };
    match organization {
        Some(organization) => format!("{base}/organizations/{}/settings/apps/new", segment(organization)),
        None => format!("{base}/settings/apps/new"),
    }
}

/// Has the App for the code that its maker was sent back with. A code is good once, and for an hour.
///
/// # Errors
/// One reason for a person.
pub async fn convert(api: &str, code: &str) -> Result<NewApp, String> {
    if code.is_empty() || code.len() > CODE_MAX_BYTES || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("this is no code".to_owned());
    }
    let path = format!("/app-manifests/{}/conversions", segment(code));
    let answer = Transport::new(api, ANSWER_TIMEOUT)?
        .send_unnamed(Method::POST, &path)
        .await
        .map_err(|error| error.to_string())?;
    if answer.status == 404 {
        return Err(answer.told("GitHub does not know this code: it is good once, and for an hour"));
    }
    let answer = limits::judge(answer, 0).map_err(|error| error.to_string())?;
    let text = |pointer| answer.text(pointer).map(str::to_owned).map_err(|error| error.to_string());
    Ok(NewApp {
        id: answer.number("/id").map_err(|error| error.to_string())?,
        page: text("/html_url")?,
        key: text("/pem")?,
        webhook_secret: text("/webhook_secret")?,
    })
}

/// What is wrong with an App; nothing: it is as it should be. `public_url`: where its deliveries should come to, if that is known.
///
/// # Errors
/// One reason: it cannot be asked.
pub async fn check(options: &GithubOptions, public_url: Option<&str>) -> Result<Vec<String>, String> {
    if let GithubIdentity::Token(_) = options.identity {
        return Err("a token tells only statuses, and nothing of it can be checked; give an App".to_owned());
    }
    let github = Github::new(options, Arc::new(SystemClock))?;
    let app = github.ask_as_app(Method::GET, "/app").await.map_err(|error| error.to_string())?;
    let hook = github.ask_as_app(Method::GET, "/app/hook/config").await.map_err(|error| error.to_string())?;
    let mut wrong = Vec::new();
    let statuses = options.statuses.then_some(("statuses", "write", "commit statuses"));
    for (name, level, what) in PERMISSIONS.into_iter().chain(statuses) {
        let has = app.body.pointer(&format!("/permissions/{name}")).and_then(Json::as_str).unwrap_or("no");
        if has != level && has != "write" && has != "admin" {
            wrong.push(format!("the permission `{name}` is `{has}` and has to be `{level}`, for {what}"));
        }
    }
    let events = app.body.get("events").and_then(Json::as_array).cloned().unwrap_or_default();
    for (event, what) in EVENTS {
        // An App of checks hears of these two without being asked.
        let given = event.starts_with("check_");
        if !given && !events.iter().any(|known| known == event) {
            wrong.push(format!("the event `{event}` is not chosen, for {what}"));
        }
    }
    let url = hook.body.get("url").and_then(Json::as_str).unwrap_or_default();
    let wanted = public_url.map(|url| format!("{}/webhooks/github", url.trim_end_matches('/')));
    match wanted {
        Some(wanted) if url != wanted => {
            wrong.push(format!("the webhook goes to `{url}` and not to `{wanted}`"));
        }
        None if !url.ends_with("/webhooks/github") => {
            wrong.push(format!("the webhook goes to `{url}`, which does not end in /webhooks/github"));
        }
        _ => {}
    }
    if hook.body.get("content_type").and_then(Json::as_str) != Some("json") {
        wrong.push("the webhook's content type has to be application/json".to_owned());
    }
    if hook.body.get("secret").and_then(Json::as_str).is_none_or(str::is_empty) {
        wrong.push("the webhook has no secret, and no delivery without a signature is taken".to_owned());
    }
    let insecure = hook.body.get("insecure_ssl");
    if insecure.is_some_and(|flag| *flag == json!("1") || *flag == json!(1)) {
        wrong.push("the webhook does not verify TLS".to_owned());
    }
    Ok(wrong)
}
