//! Whether an event starts a workflow.

use serde_json::Value as Json;

use crate::syntax::{Trigger, Workflow, types_of};

use super::glob::Patterns;

/// At most this many changed files are looked at, as on GitHub.
const MAX_CHANGED_FILES: usize = 300;
/// A push of more commits than this is not looked into, and passes, as on GitHub.
const MAX_COMMITS: usize = 1000;

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// `push`, `pull_request`, …
    pub name: &'a str,
    /// The webhook's payload.
    pub payload: &'a Json,
    /// Paths that changed, when the caller knows them; else a push's commits are read.
    pub changed_files: Option<&'a [String]>,
}

/// Whether a workflow runs, and why (not).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it runs.
    pub triggered: bool,
    /// One line for people; empty when it runs.
    pub reason: String,
}

impl Decision {
    fn no(reason: impl Into<String>) -> Self {
        Self { triggered: false, reason: reason.into() }
    }
}

/// Decides whether an event starts a workflow.
pub fn triggered(workflow: &Workflow, event: &Event<'_>) -> Decision {
    let Some(trigger) = workflow.triggers.iter().find(|trigger| trigger.event == event.name) else {
        let events: Vec<&str> = workflow.triggers.iter().map(|trigger| trigger.event.as_str()).collect();
        return Decision::no(format!("`on` names {}, not {}", events.join(", "), event.name));
    };
    let verdict = match event.name {
        "push" => skipped(event).or_else(|| push(trigger, event)),
        "pull_request" | "pull_request_target" => pull_request(trigger, event),
        _ => other(trigger, event),
    };
    match verdict {
        Some(reason) => Decision::no(reason),
        None => Decision { triggered: true, reason: String::new() },
    }
}

/// `[skip ci]` and its kin in the head commit's message, or a `skip-checks: true` trailer.
fn skipped(event: &Event<'_>) -> Option<String> {
    skipped_by_message(event.payload.pointer("/head_commit/message")?.as_str()?)
}

/// Why a commit's message says that nothing is to start: for a push or pull request whose head commit has it.
pub fn skipped_by_message(message: &str) -> Option<String> {
    const WORDS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];
    if let Some(word) = WORDS.iter().find(|word| message.contains(**word)) {
        return Some(format!("the commit message says {word}"));
    }
    let trailer = message.trim_end().lines().next_back().unwrap_or_default();
    let skips =
        matches!(trailer.trim(), "skip-checks: true" | "skip-checks:true") && message.contains("\n\n");
    skips.then(|| "the commit message says skip-checks: true".to_owned())
}

fn push(trigger: &Trigger, event: &Event<'_>) -> Option<String> {
    let git_ref = event.payload.get("ref").and_then(Json::as_str).unwrap_or_default();
    if let Some(tag) = git_ref.strip_prefix("refs/tags/") {
        // Path filters are not looked at for tags.
        let branches_only = trigger.branches.is_some() || trigger.branches_ignore.is_some();
        return name_filter("tag", tag, trigger.tags.as_ref(), trigger.tags_ignore.as_ref(), branches_only);
    }
    let branch = git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref);
    let tags_only = trigger.tags.is_some() || trigger.tags_ignore.is_some();
    name_filter("branch", branch, trigger.branches.as_ref(), trigger.branches_ignore.as_ref(), tags_only)
        .or_else(|| paths(trigger, event))
}

fn pull_request(trigger: &Trigger, event: &Event<'_>) -> Option<String> {
    const DEFAULT_TYPES: [&str; 3] = ["opened", "synchronize", "reopened"];
    let base = event.payload.pointer("/pull_request/base/ref").and_then(Json::as_str).unwrap_or_default();
    activity(trigger, event, &DEFAULT_TYPES)
        .or_else(|| {
            name_filter(
                "base branch",
                base,
                trigger.branches.as_ref(),
                trigger.branches_ignore.as_ref(),
                false,
            )
        })
        .or_else(|| paths(trigger, event))
}

fn other(trigger: &Trigger, event: &Event<'_>) -> Option<String> {
    let branch = event.payload.pointer("/workflow_run/head_branch").and_then(Json::as_str);
    let workflow = event.payload.pointer("/workflow/name").and_then(Json::as_str);
    activity(trigger, event, types_of(event.name).unwrap_or_default())
        .or_else(|| {
            let branch = branch?;
            name_filter("branch", branch, trigger.branches.as_ref(), trigger.branches_ignore.as_ref(), false)
        })
        .or_else(|| {
            let (workflow, wanted) = (workflow?, trigger.workflows.as_ref()?);
            (!wanted.matches(workflow)).then(|| format!("the workflow `{workflow}` is not in `workflows`"))
        })
}

/// `types`. Without them a webhook of a type that workflows do not know (a check suite's `requested`, a merge group's `destroyed`) starts
/// nothing. An empty default means that every type counts.
fn activity(trigger: &Trigger, event: &Event<'_>, default: &[&str]) -> Option<String> {
    let action = event.payload.get("action").and_then(Json::as_str)?;
    let listed = match &trigger.types {
        Some(types) => types.iter().any(|wanted| wanted == action),
        None => default.is_empty() || default.contains(&action),
    };
    (!listed).then(|| format!("the activity `{action}` of {} is not in `types`", event.name))
}

fn name_filter(
    what: &str,
    name: &str,
    wanted: Option<&Patterns>,
    ignored: Option<&Patterns>,
    other_kind_only: bool,
) -> Option<String> {
    match (wanted, ignored) {
        (Some(wanted), _) => {
            (!wanted.matches(name)).then(|| format!("the {what} `{name}` matches no pattern of its filter"))
        }
        (None, Some(ignored)) => {
            ignored.matches(name).then(|| format!("the {what} `{name}` matches its ignore filter"))
        }
        (None, None) => {
            other_kind_only.then(|| format!("the filters name no {what}, so a {what} starts nothing"))
        }
    }
}

fn paths(trigger: &Trigger, event: &Event<'_>) -> Option<String> {
    if trigger.paths.is_none() && trigger.paths_ignore.is_none() {
        return None;
    }
    let from_payload;
    let files: &[String] = match event.changed_files {
        Some(files) => files,
        None => {
            from_payload = payload_files(event.payload)?;
            &from_payload
        }
    };
    let files = files.get(..MAX_CHANGED_FILES).unwrap_or(files);
    if let Some(wanted) = &trigger.paths {
        let hit = files.iter().any(|file| wanted.matches(file));
        return (!hit).then(|| "no changed file matches `paths`".to_owned());
    }
    let ignored = trigger.paths_ignore.as_ref()?;
    let all = files.iter().all(|file| ignored.matches(file));
    (all && !files.is_empty()).then(|| "every changed file matches `paths-ignore`".to_owned())
}

/// The files that a push's commits name. `None` when the payload doesn't tell.
fn payload_files(payload: &Json) -> Option<Vec<String>> {
    let commits = payload.get("commits")?.as_array()?;
    if commits.is_empty() || commits.len() > MAX_COMMITS {
        return None;
    }
    let mut files: Vec<String> = Vec::new();
    for commit in commits {
        for list in ["added", "modified", "removed"] {
            let names = commit.get(list)?.as_array()?;
            files.extend(names.iter().filter_map(Json::as_str).map(str::to_owned));
        }
    }
    files.sort_unstable();
    files.dedup();
    Some(files)
}
