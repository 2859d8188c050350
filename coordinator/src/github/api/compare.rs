//! What is between two commits (GitHub docs, "Compare two commits"): messages, and what GitHub says of signatures.

use axum::http::Method;
use serde_json::Value as Json;

use super::{Github, in_path, segment};
use crate::forge::rules::COMMITS_MAX;
use crate::forge::{Commit, Commits, ForgeError};

/// Commits of one page: GitHub's most.
const PAGE: usize = 100;

/// The longest reason of a signature that is not verified, in characters: GitHub's are words like `unsigned` and `unknown_key`.
const REASON_MAX_CHARS: usize = 40;

/// The commits that `head` has and `base` has not, oldest first.
pub(super) async fn commits(
    github: &Github,
    repository: &str,
    base: &str,
    head: &str,
) -> Result<Commits, ForgeError> {
    let mut found = Commits::default();
    let between = format!("{}...{}", segment(base), segment(head));
    for page in 1..=COMMITS_MAX.div_ceil(PAGE) {
        let path = format!("/repos/{}/compare/{between}?per_page={PAGE}&page={page}", in_path(repository));
        let answer = github.ask(repository, Method::GET, &path, None).await?;
        let total = answer.number("/total_commits")?;
        found.total = usize::try_from(total).unwrap_or(usize::MAX);
        let commits = answer.body.get("commits").and_then(Json::as_array);
        let commits =
            commits.ok_or_else(|| ForgeError::Uncertain("the answer has no `commits`".to_owned()))?;
        for commit in commits {
            found.list.push(read(commit)?);
        }
        if commits.is_empty() || found.list.len() >= found.total {
            break;
        }
    }
    found.list.truncate(COMMITS_MAX);
    Ok(found)
}

fn read(commit: &Json) -> Result<Commit, ForgeError> {
    let text = |pointer: &str| commit.pointer(pointer).and_then(Json::as_str);
    let needed = |pointer: &str| {
        text(pointer).map(str::to_owned).ok_or_else(|| {
            ForgeError::Uncertain(format!(
                "a commit of the answer has no `{}`",
                pointer.trim_start_matches('/')
            ))
        })
    };
    let verified = commit.pointer("/commit/verification/verified").and_then(Json::as_bool) == Some(true);
    let reason = text("/commit/verification/reason").unwrap_or("unknown");
    Ok(Commit {
        sha: needed("/sha")?,
        message: needed("/commit/message")?,
        author: text("/author/login").or_else(|| text("/commit/author/name")).unwrap_or("nobody").to_owned(),
        is_merge: commit.get("parents").and_then(Json::as_array).is_some_and(|parents| parents.len() > 1),
        verified: if verified { Ok(()) } else { Err(reason.chars().take(REASON_MAX_CHARS).collect()) },
    })
}
