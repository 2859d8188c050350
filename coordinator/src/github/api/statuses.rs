//! Commit statuses (GitHub docs, "REST API endpoints for commit statuses"): of one context the newest counts, so that one that is told twice is
//! as one.

use axum::http::Method;
use serde_json::json;

use super::{Github, in_path, segment};
use crate::forge::{Conclusion, ForgeError, Place, Report, Stage};

/// The longest description, in characters.
const DESCRIPTION_MAX: usize = 140;

/// Tells a status; gives its id.
pub(super) async fn tell(github: &Github, place: &Place, report: &Report) -> Result<u64, ForgeError> {
    let path = format!("/repos/{}/statuses/{}", in_path(&place.repository), segment(&place.sha));
    let mut body = json!({
        "state": state(report.stage),
        "context": report.name,
        "description": description(&report.title),
    });
    if let Some(url) = &report.details_url {
        body["target_url"] = json!(url);
    }
    github.ask(&place.repository, Method::POST, &path, Some(&body)).await?.number("/id")
}

const fn state(stage: Stage) -> &'static str {
    match stage {
        Stage::Queued | Stage::Running | Stage::Done(Conclusion::ActionRequired) => "pending",
        // A rule that requires it is to be content with what was skipped, as with a check.
        Stage::Done(Conclusion::Success | Conclusion::Skipped) => "success",
        Stage::Done(Conclusion::Failure) => "failure",
        Stage::Done(Conclusion::Cancelled | Conclusion::TimedOut) => "error",
    }
}

fn description(title: &str) -> String {
    if title.chars().count() <= DESCRIPTION_MAX {
        return title.to_owned();
    }
    let kept: String = title.chars().take(DESCRIPTION_MAX - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_at_most_140_characters() {
        assert_eq!(description("ä").chars().count(), 1);
        assert_eq!(description(&"ä".repeat(141)).chars().count(), DESCRIPTION_MAX);
    }
}
