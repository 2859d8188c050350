//! Check runs (GitHub docs, "REST API endpoints for check runs"). Only an App may make them.

use axum::http::Method;
use serde_json::{Map, Value as Json, json};

use super::{Github, in_path, segment};
use crate::forge::{Annotation, Button, Conclusion, ForgeError, Level, Place, Report, Seen, Stage};

/// The most annotations of one request.
pub(super) const ANNOTATIONS_AT_ONCE: usize = 50;

/// Pages of a hundred check runs of one name that are gone through.
const PAGES_MAX: u32 = 10;

/// How buttons are named in requests, and come back.
pub(in crate::github) const RERUN: &str = "rerun";
pub(in crate::github) const CANCEL: &str = "cancel";

/// Finds a check run by what we call it.
pub(super) async fn find(
    github: &Github,
    app: &str,
    place: &Place,
    name: &str,
    external_id: &str,
) -> Result<Option<Seen>, ForgeError> {
    let (repository, sha) = (in_path(&place.repository), segment(&place.sha));
    // By client id GitHub does not look.
    let app: u64 = app.parse().unwrap_or_default();
    let of_app = if app > 0 { format!("&app_id={app}") } else { String::new() };
    for page in 1..=PAGES_MAX {
        let path = format!(
            "/repos/{repository}/commits/{sha}/check-runs?check_name={}&filter=all&per_page=100&page={page}{of_app}",
            segment(name)
        );
        let answer = github.ask(&place.repository, Method::GET, &path, None).await?;
        let runs = answer.body.get("check_runs").and_then(Json::as_array);
        let runs = runs.ok_or_else(|| ForgeError::Uncertain("the answer has no `check_runs`".to_owned()))?;
        let found =
            runs.iter().find(|run| run.get("external_id").and_then(Json::as_str) == Some(external_id));
        if let Some(found) = found {
            return seen(found).map(Some);
        }
        if runs.len() < 100 {
            break;
        }
    }
    Ok(None)
}

fn seen(run: &Json) -> Result<Seen, ForgeError> {
    let id = run.get("id").and_then(Json::as_u64);
    let id = id.ok_or_else(|| ForgeError::Uncertain("the answer has no `id`".to_owned()))?;
    let annotations = run.pointer("/output/annotations_count").and_then(Json::as_u64).unwrap_or_default();
    Ok(Seen {
        id,
        done: run.get("status").and_then(Json::as_str) == Some("completed"),
        annotations: usize::try_from(annotations).unwrap_or(usize::MAX),
    })
}

/// Looks at a check run.
pub(super) async fn look(github: &Github, place: &Place, id: u64) -> Result<Seen, ForgeError> {
    let path = format!("/repos/{}/check-runs/{id}", in_path(&place.repository));
    seen(&github.ask(&place.repository, Method::GET, &path, None).await?.body)
}

/// Makes a check run.
pub(super) async fn make(github: &Github, place: &Place, report: &Report) -> Result<u64, ForgeError> {
    let path = format!("/repos/{}/check-runs", in_path(&place.repository));
    let mut body = body(report);
    body.insert("head_sha".to_owned(), json!(place.sha));
    let answer = github.ask(&place.repository, Method::POST, &path, Some(&Json::Object(body))).await?;
    answer.number("/id")
}

/// Changes one.
pub(super) async fn change(
    github: &Github,
    place: &Place,
    id: u64,
    report: &Report,
) -> Result<(), ForgeError> {
    let path = format!("/repos/{}/check-runs/{id}", in_path(&place.repository));
    let body = Json::Object(body(report));
    github.ask(&place.repository, Method::PATCH, &path, Some(&body)).await.map(drop)
}

fn body(report: &Report) -> Map<String, Json> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Json| {
        body.insert(name.to_owned(), value);
    };
    put("name", json!(report.name));
    put("external_id", json!(report.external_id));
    if let Some(url) = &report.details_url {
        put("details_url", json!(url));
    }
    match report.stage {
        Stage::Queued => put("status", json!("queued")),
        Stage::Running => put("status", json!("in_progress")),
        Stage::Done(conclusion) => {
            put("status", json!("completed"));
            put("conclusion", json!(word(conclusion)));
        }
    }
    if let Some(started) = report.started_ms.and_then(iso) {
        put("started_at", json!(started));
    }
    if let Some(finished) = report.finished_ms.filter(|_| report.stage.is_done()).and_then(iso) {
        put("completed_at", json!(finished));
    }
    let mut output = json!({"title": report.title, "summary": report.summary});
    if !report.annotations.is_empty() {
        output["annotations"] = report.annotations.iter().map(annotation).collect();
    }
    put("output", output);
    put("actions", report.buttons.iter().copied().map(button).collect());
    body
}

const fn word(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Success => "success",
        Conclusion::Failure => "failure",
        Conclusion::Cancelled => "cancelled",
        Conclusion::Skipped => "skipped",
        Conclusion::TimedOut => "timed_out",
        Conclusion::ActionRequired => "action_required",
    }
}

/// At most 20, 40 and 20 characters, as GitHub takes them.
fn button(button: Button) -> Json {
    match button {
        Button::Rerun => {
            json!({"label": "Re-run", "description": "Run what failed again, or all", "identifier": RERUN})
        }
        Button::Cancel => json!({"label": "Cancel", "description": "End the run", "identifier": CANCEL}),
    }
}

fn annotation(annotation: &Annotation) -> Json {
    let level = match annotation.level {
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Failure => "failure",
    };
    let (first, last) = annotation.lines;
    let mut told = json!({
        "path": annotation.path, "start_line": first, "end_line": last,
        "annotation_level": level, "message": annotation.message,
    });
    if let Some((from, to)) = annotation.columns {
        told["start_column"] = json!(from);
        told["end_column"] = json!(to);
    }
    if !annotation.title.is_empty() {
        told["title"] = json!(annotation.title);
    }
    told
}

/// RFC 3339, to the second.
fn iso(ms: u64) -> Option<String> {
    let seconds = i64::try_from(ms / 1_000).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|at| at.to_string())
}
