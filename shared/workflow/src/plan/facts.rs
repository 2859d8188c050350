//! The `github` context (GitHub docs, "Contexts reference", "github context").

use serde_json::{Map, Value as Json, json};

/// What is known of a run when it is submitted. Empty text where something has no value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFacts {
    /// `push`, `pull_request`, …
    pub event_name: String,
    /// The webhook's payload.
    pub event: Json,
    /// The full ref: `refs/heads/main`, `refs/pull/5/merge`.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// `owner/name`.
    pub repository: String,
    /// Who caused the run.
    pub actor: String,
    /// Who caused this attempt of the run; empty: the actor.
    pub triggering_actor: String,
    /// The run's id, as shown.
    pub run_id: String,
    /// Counts the runs of one workflow, from 1.
    pub run_number: u64,
    /// Counts reruns, from 1.
    pub run_attempt: u64,
    /// The workflow's name, or its path.
    pub workflow: String,
    /// Path of the workflow file in the repository.
    pub workflow_file: String,
    /// Where the forge is; empty: `https://github.com`.
    pub server_url: String,
    /// Its REST API; empty: made from `server_url`.
    pub api_url: String,
    /// Its GraphQL API; empty: made from `server_url`.
    pub graphql_url: String,
}

/// A payload's text at a path, or the empty text.
fn text<'a>(event: &'a Json, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// A payload's number or text at a path, as text.
fn id(event: &Json, pointer: &str) -> String {
    match event.pointer(pointer) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn or(text: &str, default: impl FnOnce() -> String) -> String {
    if text.is_empty() { default() } else { text.to_owned() }
}

/// The `github` context, complete but for what only a runner knows (paths, token, `action*`, `job`).
pub fn github_context(facts: &RunFacts) -> Json {
    let event = &facts.event;
    let git_ref = facts.git_ref.as_str();
    let (ref_type, ref_name) = if let Some(tag) = git_ref.strip_prefix("refs/tags/") {
        ("tag", tag)
    } else {
        let name = git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/pull/"));
        ("branch", name.unwrap_or(git_ref))
    };
    let pull = facts.event_name.starts_with("pull_request");
    let (head_ref, base_ref) = if pull {
        (text(event, "/pull_request/head/ref"), text(event, "/pull_request/base/ref"))
    } else {
        ("", "")
    };
    let (owner, _) = facts.repository.split_once('/').unwrap_or((&facts.repository, ""));
    let server_url = or(&facts.server_url, || "https://github.com".to_owned());
    let on_github = server_url == "https://github.com";
    let api_url = or(&facts.api_url, || {
        if on_github { "https://api.github.com".to_owned() } else { format!("{server_url}/api/v3") }
    });
    let graphql_url = or(&facts.graphql_url, || {
        if on_github {
            "https://api.github.com/graphql".to_owned()
        } else {
            format!("{server_url}/api/graphql")
        }
    });
    let workflow_ref = format!("{}/{}@{git_ref}", facts.repository, facts.workflow_file);
    let repository_url = or(text(event, "/repository/git_url"), || {
        let host = server_url.split_once("://").map_or(server_url.as_str(), |(_, host)| host);
        format!("git://{host}/{}.git", facts.repository)
    });
    let mut github = Map::new();
    let mut put = |key: &str, value: Json| {
        github.insert(key.to_owned(), value);
    };
    put("event_name", json!(facts.event_name));
    put("event", event.clone());
    put("ref", json!(git_ref));
    put("ref_name", json!(ref_name));
    put("ref_type", json!(ref_type));
    put("ref_protected", json!(false));
    put("sha", json!(facts.sha));
    put("head_ref", json!(head_ref));
    put("base_ref", json!(base_ref));
    put("repository", json!(facts.repository));
    put("repository_owner", json!(owner));
    put("repository_id", json!(id(event, "/repository/id")));
    put("repository_owner_id", json!(id(event, "/repository/owner/id")));
    put("repository_visibility", json!(visibility(event)));
    put("repositoryUrl", json!(repository_url));
    put("actor", json!(facts.actor));
    put("actor_id", json!(id(event, "/sender/id")));
    put("triggering_actor", json!(or(&facts.triggering_actor, || facts.actor.clone())));
    put("run_id", json!(facts.run_id));
    put("run_number", json!(facts.run_number.to_string()));
    put("run_attempt", json!(facts.run_attempt.to_string()));
    put("retention_days", json!("90"));
    put("workflow", json!(facts.workflow));
    put("workflow_ref", json!(workflow_ref));
    put("workflow_sha", json!(facts.sha));
    put("server_url", json!(server_url));
    put("api_url", json!(api_url));
    put("graphql_url", json!(graphql_url));
    put("secret_source", json!("Actions"));
    Json::Object(github)
}

fn visibility(event: &Json) -> String {
    or(text(event, "/repository/visibility"), || match event.pointer("/repository/private") {
        Some(Json::Bool(true)) => "private".to_owned(),
        Some(Json::Bool(false)) => "public".to_owned(),
        _ => String::new(),
    })
}
