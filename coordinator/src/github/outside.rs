//! The readers of what GitHub sends, without a coordinator behind them: for the fuzzer, which is a program of its own.

use serde_json::Value as Json;

use super::payload::{Place, Start};
use super::{api, asked, installed, payload, signature};
use crate::mirror::{Change, is_commit, is_ref};
use crate::options::WebhookOptions;

/// Events whose bodies are read.
pub fn events() -> impl Iterator<Item = &'static str> {
    payload::EVENTS.into_iter().chain(installed::EVENTS)
}

/// Whether a header signs a body.
#[must_use]
pub fn is_signed(secret: &str, body: &[u8], header: &str) -> bool {
    signature::is_valid(secret, body, Some(header))
}

/// The header that does.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    signature::of(secret, body)
}

/// Reads a payload as one of each event.
///
/// # Errors
/// What git would be asked because of it and must not be: a ref or commit that is none, code that is not at an http address.
pub fn webhook(payload: &Json) -> Result<(), String> {
    let options = WebhookOptions::default();
    let _ = api::deployment_named(payload);
    for event in payload::EVENTS {
        let _ = asked::wanted(event, payload);
        if let Some(sha) = payload::commit_of(event, payload).filter(|sha| !is_commit(sha)) {
            return Err(format!("{event}: the commit {sha:?}"));
        }
        let Ok(occasion) = payload::read(event, payload, &options) else { continue };
        is_http(&occasion.clone_url).map_err(|error| format!("{event}: {error}"))?;
        for start in &occasion.starts {
            asks(start).map_err(|error| format!("{event}: {error}"))?;
        }
    }
    for event in installed::EVENTS {
        if let installed::Change::Came(repositories) = installed::read(event, payload) {
            for (name, url) in repositories {
                is_http(&url).map_err(|error| format!("{event}: {error}"))?;
                if !url.ends_with(&format!("/{name}.git")) || name.split('/').any(|part| part == "..") {
                    return Err(format!("{event}: code of {name:?} at {url:?}"));
                }
            }
        }
    }
    Ok(())
}

fn is_http(url: &str) -> Result<(), String> {
    let fine = url.starts_with("https://") || url.starts_with("http://");
    if fine { Ok(()) } else { Err(format!("code at {url:?}")) }
}

fn asks(start: &Start) -> Result<(), String> {
    let (mut refs, mut commits) = (Vec::new(), Vec::new());
    match &start.place {
        // A bare commit may have been deployed, under no ref.
        Place::Commit { git_ref, sha } => {
            refs.extend(Some(git_ref).filter(|name| !name.is_empty()));
            commits.push(sha);
        }
        Place::Tip { git_ref } => refs.push(git_ref),
        Place::Default => {}
        Place::Pull { head, merge, .. } => commits.extend([head].into_iter().chain(merge)),
    }
    match &start.change {
        None => {}
        Some(Change::Between { before, after }) => commits.extend([before, after]),
        Some(Change::Since { first, after }) => commits.extend([first, after]),
        Some(Change::Topic { base, head }) => commits.extend([base, head]),
    }
    commits.extend(&start.head);
    if let Some(wrong) = refs.into_iter().find(|name| !is_ref(name)) {
        return Err(format!("the ref {wrong:?}"));
    }
    match commits.into_iter().find(|sha| !is_commit(sha)) {
        Some(wrong) => Err(format!("the commit {wrong:?}")),
        None => Ok(()),
    }
}
