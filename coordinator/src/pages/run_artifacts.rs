//! What a run left: the part of its page with the artifacts, and their download.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};

use super::error::PageError;
use super::find_run;
use super::words::{bytes, moment, name};
use crate::results::ArtifactView;
use crate::services::Services;
use crate::view::RunView;

/// The part; empty for a run that left nothing.
pub(super) fn section(run: &RunView, artifacts: &[ArtifactView]) -> Markup {
    html! {
        div #artifacts {
            @if !artifacts.is_empty() {
                section aria-labelledby="left" {
                    h2 #left { "Artifacts" }
                    div.scroll tabindex="0" role="region" aria-label="What the run left" {
                        table {
                            thead { tr { th scope="col" { "Name" } th scope="col" { "Size" } th scope="col" { "Kept until" } th scope="col" { "SHA-256" } } }
                            tbody { @for artifact in artifacts { (row(run, artifact)) } }
                        }
                    }
                }
            }
        }
    }
}

fn row(run: &RunView, artifact: &ArtifactView) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/runs/" (run.run) "/artifacts/" (artifact.id) } download { (name(&artifact.name)) } }
            td { (bytes(artifact.size_bytes)) }
            td { @match artifact.expires_ms { Some(at_ms) => (moment(at_ms)), None => "pinned" } }
            td { code title=(artifact.sha256) { (artifact.sha256.chars().take(SHOWN_DIGITS).collect::<String>()) } }
        }
    }
}

/// Digits of a hash that are shown; the rest is its title.
const SHOWN_DIGITS: usize = 12;

pub(super) async fn download(
    State(services): State<Services>,
    Path((run, artifact)): Path<(String, i64)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let run = find_run(&services, run).await?;
    Ok(services.results.download_artifact(run, artifact, &headers).await?)
}
