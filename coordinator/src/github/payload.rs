//! What is read of GitHub's payloads: for each event, whose it is and on which ref and commit its runs are (GitHub docs,
//! "Events that trigger workflows").

use serde_json::Value as Json;
use slipway_scheduler::command::Trust;

use crate::driver::holds::Stranger;
use crate::mirror::{Change, is_commit, is_ref};
use crate::options::WebhookOptions;

/// Events that workflows may name and GitHub delivers. `schedule` and `workflow_call` come from Slipway itself.
pub(super) const EVENTS: [&str; 33] = [
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "registry_package",
    "release",
    "repository_dispatch",
    "status",
    "watch",
    "workflow_dispatch",
    "workflow_run",
];

/// An event, as far as it starts runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occasion {
    /// `owner/name`.
    pub(super) repository: String,
    /// Host of the forge.
    pub(super) forge: String,
    pub(super) clone_url: String,
    /// Its default branch, without `refs/heads/`; empty where the payload does not say.
    pub(super) default_branch: String,
    pub(super) actor: String,
    /// What it starts; a pull request's event starts workflows of two names.
    pub(super) starts: Vec<Start>,
}

/// Workflows of one event name, at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// What `on` has to name.
    pub(super) event: String,
    pub(super) place: Place,
    pub(super) trust: Trust,
    /// What changed, where path filters can ask.
    pub(super) change: Option<Change>,
    /// Whose message may say `[skip ci]`, where the payload does not have it.
    pub(super) head: Option<String>,
    /// Only this workflow file.
    pub(super) only: Option<String>,
    /// Whose code of a fork it runs.
    pub(super) stranger: Option<Stranger>,
}

/// Where a run's code and its workflow file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// This commit, under this ref.
    Commit { git_ref: String, sha: String },
    /// What the ref has when the event is dealt with.
    Tip { git_ref: String },
    /// The newest commit of the default branch.
    Default,
    /// The test merge of a pull request, or its head where there is none (yet).
    Pull { number: u64, head: String, merge: Option<String> },
}

fn text<'a>(payload: &'a Json, pointer: &str) -> Result<&'a str, String> {
    let found = payload.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| format!("the payload has no `{}`", pointer.trim_start_matches('/').replace('/', ".")))
}

fn commit(payload: &Json, pointer: &str) -> Result<String, String> {
    let sha = text(payload, pointer)?;
    if is_commit(sha) { Ok(sha.to_ascii_lowercase()) } else { Err(format!("`{pointer}` is no commit")) }
}

/// A full ref from a payload's text: `prefix` goes before one that is short.
fn full_ref(payload: &Json, pointer: &str, prefix: &str) -> Result<String, String> {
    let name = text(payload, pointer)?;
    let full = if name.starts_with("refs/") { name.to_owned() } else { format!("{prefix}{name}") };
    if is_ref(&full) { Ok(full) } else { Err(format!("`{pointer}` is no ref")) }
}

/// The head of the pull request that a payload is about.
pub(crate) fn head_of(payload: &Json) -> Option<String> {
    commit(payload, "/pull_request/head/sha").ok()
}

/// The commit that a delivery is about, where people look at it: it is summed up, whatever the delivery starts.
pub(super) fn commit_of(event: &str, payload: &Json) -> Option<String> {
    let deleted = payload.get("deleted").and_then(Json::as_bool) == Some(true);
    match event {
        "push" if !deleted => commit(payload, "/after").ok(),
        "pull_request" => head_of(payload),
        "merge_group" => commit(payload, "/merge_group/head_sha").ok(),
        _ => None,
    }
}

/// Reads a payload; `Err` says why it starts nothing.
pub(super) fn read(event: &str, payload: &Json, options: &WebhookOptions) -> Result<Occasion, String> {
    let repository = text(payload, "/repository/full_name")?.to_owned();
    let clone_url = clone_url(&repository, payload, options)?;
    let forge = payload.pointer("/repository/html_url").and_then(Json::as_str).and_then(host);
    let branch = payload.pointer("/repository/default_branch").and_then(Json::as_str).unwrap_or_default();
    Ok(Occasion {
        starts: starts(event, payload, &repository)?,
        repository,
        forge: forge.unwrap_or("github.com").to_owned(),
        clone_url,
        default_branch: branch.to_owned(),
        actor: text(payload, "/sender/login").unwrap_or_default().to_owned(),
    })
}

fn starts(event: &str, payload: &Json, repository: &str) -> Result<Vec<Start>, String> {
    let at = |place: Place| Start {
        event: event.to_owned(),
        place,
        trust: Trust::Trusted,
        change: None,
        head: None,
        only: None,
        stranger: None,
    };
    let start = match event {
        "push" => {
            if payload.get("deleted").and_then(Json::as_bool) == Some(true) {
                return Err("the ref was deleted".to_owned());
            }
            let (git_ref, sha) = (full_ref(payload, "/ref", "refs/heads/")?, commit(payload, "/after")?);
            let change = push_change(payload, &git_ref, &sha);
            Start { change, ..at(Place::Commit { git_ref, sha }) }
        }
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => {
            return pull_request(event, payload, repository);
        }
        "create" => {
            let tag = payload.get("ref_type").and_then(Json::as_str) == Some("tag");
            let git_ref = full_ref(payload, "/ref", if tag { "refs/tags/" } else { "refs/heads/" })?;
            at(Place::Tip { git_ref })
        }
        "merge_group" => at(Place::Commit {
            git_ref: full_ref(payload, "/merge_group/head_ref", "refs/heads/")?,
            sha: commit(payload, "/merge_group/head_sha")?,
        }),
        "release" => {
            let draft = payload.pointer("/release/draft").and_then(Json::as_bool) == Some(true);
            if draft {
                return Err("a draft of a release starts nothing".to_owned());
            }
            at(Place::Tip { git_ref: full_ref(payload, "/release/tag_name", "refs/tags/")? })
        }
        "deployment" | "deployment_status" => {
            let sha = commit(payload, "/deployment/sha")?;
            // Deployed may be a branch, a tag or a bare commit; what it is, the payload does not say.
            let named = full_ref(payload, "/deployment/ref", "refs/heads/").ok();
            let bare = text(payload, "/deployment/ref").is_ok_and(is_commit);
            at(Place::Commit { git_ref: named.filter(|_| !bare).unwrap_or_default(), sha })
        }
        "workflow_dispatch" => {
            let only = text(payload, "/workflow")?.split('@').next().unwrap_or_default().to_owned();
            let place = Place::Tip { git_ref: full_ref(payload, "/ref", "refs/heads/")? };
            Start { only: Some(only), ..at(place) }
        }
        _ => at(Place::Default),
    };
    Ok(vec![start])
}

/// What path filters compare for a push (two dots). Tags have none.
fn push_change(payload: &Json, git_ref: &str, after: &str) -> Option<Change> {
    if !git_ref.starts_with("refs/heads/") {
        return None;
    }
    let before = commit(payload, "/before").ok().filter(|sha| sha.bytes().any(|byte| byte != b'0'));
    match before {
        Some(before) => Some(Change::Between { before, after: after.to_owned() }),
        None => {
            let first = commit(payload, "/commits/0/id").ok()?;
            Some(Change::Since { first, after: after.to_owned() })
        }
    }
}

/// The longest name, and word, of somebody whom nobody knows, in characters.
const STRANGER_CHARS_MAX: usize = 64;

/// Who made a pull request, as the forge knows them.
fn stranger(payload: &Json) -> Stranger {
    let text = |pointer: &str| {
        let text = payload.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        text.chars().filter(|character| !character.is_control()).take(STRANGER_CHARS_MAX).collect()
    };
    Stranger {
        author: text("/pull_request/user/login"),
        association: text("/pull_request/author_association"),
    }
}

fn pull_request(event: &str, payload: &Json, repository: &str) -> Result<Vec<Start>, String> {
    let number = payload.pointer("/pull_request/number").or_else(|| payload.get("number"));
    let number = number.and_then(Json::as_u64).ok_or("the payload has no `pull_request.number`")?;
    let head = commit(payload, "/pull_request/head/sha")?;
    let base = commit(payload, "/pull_request/base/sha").ok();
    let from = payload.pointer("/pull_request/head/repo/full_name").and_then(Json::as_str);
    let same = from.is_some_and(|from| from.eq_ignore_ascii_case(repository));
    let flag = |pointer: &str| payload.pointer(pointer).and_then(Json::as_bool);
    let merge = commit(payload, "/pull_request/merge_commit_sha").ok();
    let change = base.clone().map(|base| Change::Topic { base, head: head.clone() });
    let base_ref = full_ref(payload, "/pull_request/base/ref", "refs/heads/").ok();
    let merged = flag("/pull_request/merged") == Some(true);
    let place = match (merged, &merge, &base_ref) {
        // Docs, "Variables", `GITHUB_REF`: a merged pull request runs on the branch that it was merged into.
        (true, Some(sha), Some(git_ref)) => Place::Commit { git_ref: git_ref.clone(), sha: sha.clone() },
        _ => Place::Pull { number, head: head.clone(), merge },
    };
    let mut starts = Vec::new();
    // Docs, "pull_request": a conflict with the base has to be resolved first.
    let conflict = flag("/pull_request/mergeable") == Some(false)
        && payload.get("action").and_then(Json::as_str) != Some("closed");
    if !conflict {
        starts.push(Start {
            event: event.to_owned(),
            place,
            trust: if same { Trust::Trusted } else { Trust::Untrusted },
            change: change.clone(),
            head: (event == "pull_request").then_some(head),
            only: None,
            stranger: (!same).then(|| stranger(payload)),
        });
    }
    if event == "pull_request"
        && let (Some(sha), Some(git_ref)) = (base, base_ref)
    {
        // The base's own code: trusted, whoever asks for the merge, and never skipped by a message.
        starts.push(Start {
            event: "pull_request_target".to_owned(),
            place: Place::Commit { git_ref, sha },
            trust: Trust::Trusted,
            change,
            head: None,
            only: None,
            stranger: None,
        });
    }
    if starts.is_empty() { Err("it conflicts with its base".to_owned()) } else { Ok(starts) }
}

pub(super) fn host(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split('/').next()
}

fn clone_url(repository: &str, payload: &Json, options: &WebhookOptions) -> Result<String, String> {
    served(repository, payload.pointer("/repository/clone_url").and_then(Json::as_str), options)
}

/// Where the code is: as configured, or as a signed payload says when its repository is allowed.
pub(super) fn served(
    repository: &str,
    said: Option<&str>,
    options: &WebhookOptions,
) -> Result<String, String> {
    let configured = options.repositories.iter().find(|known| known.name.eq_ignore_ascii_case(repository));
    if let Some(known) = configured {
        return Ok(known.clone_url.clone());
    }
    let all = options.allowed.is_empty() && options.repositories.is_empty();
    if !all && !options.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(repository)) {
        return Err(format!("{repository} is not among the repositories that this coordinator serves"));
    }
    let url = said.ok_or("the payload has no `repository.clone_url`")?;
    // Anything else (a path, ssh, git's own helpers) could make git do more than fetch.
    if url.starts_with("https://") || url.starts_with("http://") {
        Ok(url.to_owned())
    } else {
        Err("`repository.clone_url` is neither https nor http".to_owned())
    }
}
