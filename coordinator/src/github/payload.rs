//! What is read of GitHub's payloads.

use serde_json::Value as Json;
use slipway_scheduler::command::Trust;

use crate::options::WebhookOptions;

/// A push or pull request, as far as it starts runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occasion {
    /// `owner/name`.
    pub(super) repository: String,
    /// Host of the forge.
    pub(super) forge: String,
    pub(super) clone_url: String,
    /// The full ref.
    pub(super) git_ref: String,
    /// The commit.
    pub(super) sha: String,
    pub(super) actor: String,
    pub(super) trust: Trust,
}

fn text<'a>(payload: &'a Json, pointer: &str) -> Result<&'a str, String> {
    let found = payload.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| format!("the payload has no `{}`", pointer.trim_start_matches('/').replace('/', ".")))
}

/// A commit's id: 40 hexadecimal digits, or 64.
fn commit(payload: &Json, pointer: &str) -> Result<String, String> {
    let sha = text(payload, pointer)?;
    let valid = matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid { Ok(sha.to_ascii_lowercase()) } else { Err(format!("`{pointer}` is no commit")) }
}

/// Reads a payload; `Err` says why it starts nothing.
pub(super) fn read(event: &str, payload: &Json, options: &WebhookOptions) -> Result<Occasion, String> {
    let repository = text(payload, "/repository/full_name")?.to_owned();
    let clone_url = clone_url(&repository, payload, options)?;
    let forge = payload.pointer("/repository/html_url").and_then(Json::as_str).and_then(host);
    let actor = text(payload, "/sender/login").unwrap_or_default().to_owned();
    let occasion = |git_ref: String, sha: String, trust| Occasion {
        repository: repository.clone(),
        forge: forge.unwrap_or("github.com").to_owned(),
        clone_url: clone_url.clone(),
        git_ref,
        sha,
        actor: actor.clone(),
        trust,
    };
    if event == "push" {
        if payload.get("deleted").and_then(Json::as_bool) == Some(true) {
            return Err("the ref was deleted".to_owned());
        }
        let git_ref = text(payload, "/ref")?.to_owned();
        return Ok(occasion(git_ref, commit(payload, "/after")?, Trust::Trusted));
    }
    let number = payload.get("number").and_then(Json::as_u64).ok_or("the payload has no `number`")?;
    let head = payload.pointer("/pull_request/head/repo/full_name").and_then(Json::as_str);
    let same = head.is_some_and(|head| head.eq_ignore_ascii_case(&repository));
    let trust = if same { Trust::Trusted } else { Trust::Untrusted };
    // GitHub runs the merge with the base; where there is none (yet), the head.
    let merge = commit(payload, "/pull_request/merge_commit_sha").ok();
    let (git_ref, sha) = match merge {
        Some(sha) => (format!("refs/pull/{number}/merge"), sha),
        None => (format!("refs/pull/{number}/head"), commit(payload, "/pull_request/head/sha")?),
    };
    Ok(occasion(git_ref, sha, trust))
}

fn host(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split('/').next()
}

/// Where the code is: as configured, or as a signed payload says when its repository is allowed.
fn clone_url(repository: &str, payload: &Json, options: &WebhookOptions) -> Result<String, String> {
    let configured = options.repositories.iter().find(|known| known.name.eq_ignore_ascii_case(repository));
    if let Some(known) = configured {
        return Ok(known.clone_url.clone());
    }
    let all = options.allowed.is_empty() && options.repositories.is_empty();
    if !all && !options.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(repository)) {
        return Err(format!("{repository} is not among the repositories that this coordinator serves"));
    }
    let url = text(payload, "/repository/clone_url")?;
    // Anything else (a path, ssh, git's own helpers) could make git do more than fetch.
    if url.starts_with("https://") || url.starts_with("http://") {
        Ok(url.to_owned())
    } else {
        Err("`repository.clone_url` is neither https nor http".to_owned())
    }
}
