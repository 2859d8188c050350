//! `/badge/OWNER/REPO/WORKFLOW.svg`: how a workflow's newest finished run ended, as a picture for a README.
//!
//! Whoever looks at a README is not signed in, so it is served without a token, and only where the configuration says `badges = true`. It
//! tells one word: what it is called stands in the address, and a repository or workflow that there is none of looks as one
//! that never ran.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use slipway_scheduler::JobResult;
use slipway_scheduler::state::Run;

use super::error::ApiError;
use super::extract::{Path, Query};
use crate::driver::View;
use crate::services::Services;

/// Runs that are looked at for one badge, newest first.
const RUNS_MAX: usize = 2_000;

/// The longest name that a badge shows, in characters.
const NAME_CHARS_MAX: usize = 60;

/// How long a picture may be kept by whoever got it: GitHub's image proxy keeps to it.
const CACHE: &str = "public, max-age=60";

/// Width of a character and of the room around a text, in pixels; 11 pixels of a common sans-serif.
const CHARACTER_PX: usize = 7;
const ROOM_PX: usize = 12;

/// What is asked for besides the workflow.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    branch: Option<String>,
    event: Option<String>,
}

/// The badge of a workflow.
pub(super) async fn badge(
    State(services): State<Services>,
    Path((owner, name, file)): Path<(String, String, String)>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let workflow =
        file.strip_suffix(".svg").filter(|workflow| !workflow.is_empty() && services.options.badges);
    let nothing = || ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such path");
    let workflow = workflow.ok_or_else(nothing)?.to_owned();
    let repository = format!("{owner}/{name}");
    let known = services.repositories.find(&repository).map(|known| known.default_branch);
    let branch = wanted.branch.or(known);
    let mut result = None;
    if let Some(branch) = branch {
        let (workflow, event) = (workflow.clone(), wanted.event);
        let git_ref = format!("refs/heads/{branch}");
        let look = move |view: View<'_>| newest(view, &repository, &workflow, &git_ref, event.as_deref());
        result = services.driver.query(look).await?;
    }
    let (word, colour) = said(result);
    let picture = draw(&shown(&workflow), word, colour);
    let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&picture))[..32]);
    let has = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let same = has.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*");
    let head = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8".to_owned()),
        (header::CACHE_CONTROL, CACHE.to_owned()),
        (header::ETAG, tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'".to_owned()),
    ];
    Ok(if same { (StatusCode::NOT_MODIFIED, head).into_response() } else { (head, picture).into_response() })
}

/// Of the workflow's finished runs on the branch the newest one's result. Runs of nobody's forge do not count: anybody who may start runs can
/// name a repository.
fn newest(
    view: View<'_>,
    repository: &str,
    workflow: &str,
    git_ref: &str,
    event: Option<&str>,
) -> Option<JobResult> {
    let fits = |run: &&Run| {
        let meta = run.meta();
        meta.repository.eq_ignore_ascii_case(repository)
            && !matches!(meta.forge.as_str(), "" | "local")
            && meta.git_ref == git_ref
            && event.is_none_or(|event| meta.event_name == event)
            && is_of_file(&meta.workflow_file, workflow)
    };
    let runs = view.state.runs().rev().take(RUNS_MAX).filter(|run| run.end().is_some());
    let mut runs = runs.filter(fits);
    runs.next().and_then(|run| run.end()).map(|end| end.result)
}

/// Whether a workflow file is the one that is named: with or without its ending.
fn is_of_file(path: &str, workflow: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml"));
    file == workflow || stem == Some(workflow)
}

/// The word and its colour, as GitHub's badges have them.
const fn said(result: Option<JobResult>) -> (&'static str, &'static str) {
    match result {
        Some(JobResult::Success | JobResult::Skipped) => ("passing", "#1a7f37"),
        Some(JobResult::Failure) => ("failing", "#cf222e"),
        Some(JobResult::Cancelled) => ("cancelled", "#59636e"),
        None => ("no status", "#59636e"),
    }
}

/// The name as it is drawn: what no XML may hold, and what turns the direction of text, is left out.
fn shown(workflow: &str) -> String {
    let plain = |character: &char| {
        !character.is_control()
            && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    workflow.chars().filter(plain).take(NAME_CHARS_MAX).collect()
}

/// The picture; texts are escaped by `maud`.
fn draw(name: &str, word: &str, colour: &str) -> String {
    let width = |text: &str| text.chars().count() * CHARACTER_PX + ROOM_PX;
    let (left, right) = (width(name), width(word));
    let whole = left + right;
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(whole) height="20" role="img" aria-label={ (name) ": " (word) } {
            title { (name) ": " (word) }
            rect width=(whole) height="20" rx="3" fill="#24292f" {}
            rect x=(left) width=(right) height="20" rx="3" fill=(colour) {}
            g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                text x=(left / 2) y="14" { (name) }
                text x=(left + right / 2) y="14" { (word) }
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_address_stays_text() {
        let picture = draw(&shown("<script>&\"\u{202e}\u{7}"), "passing", "#1a7f37");
        assert!(picture.contains("&lt;script&gt;&amp;&quot;") && !picture.contains("<script"), "{picture}");
        assert!(!picture.contains('\u{202e}') && !picture.contains('\u{7}'));
        assert_eq!(shown(&"ä".repeat(500)).chars().count(), NAME_CHARS_MAX);
    }

    #[test]
    fn a_workflow_is_named_by_its_file() {
        for name in ["ci", "ci.yml"] {
            assert!(is_of_file(".github/workflows/ci.yml", name), "{name}");
        }
        for name in ["c", "ci.yaml", ".github/workflows/ci.yml", ""] {
            assert!(!is_of_file(".github/workflows/ci.yml", name), "{name}");
        }
    }
}
