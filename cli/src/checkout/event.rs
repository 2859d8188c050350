//! A plausible event for a run that no forge sent: the payload GitHub would send for this checkout.
//!
//! Only what workflows commonly read is there; `--event-file` gives any other.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Identity, NO_COMMIT};

/// The number of the pull request that is made up.
const PULL_REQUEST: u64 = 1;

/// What else shapes the payload.
#[derive(Debug, Default)]
pub struct Wishes {
    /// `workflow_dispatch` inputs.
    pub inputs: BTreeMap<String, String>,
    /// Path of the workflow in its repository.
    pub workflow_file: String,
    /// The activity type; the event's usual one where the workflow names none.
    pub activity: Option<String>,
    /// The schedule's cron line.
    pub cron: Option<String>,
}

/// The full ref an event is about.
pub fn git_ref(event: &str, identity: &Identity) -> String {
    match (event, &identity.tag) {
        ("pull_request", _) => format!("refs/pull/{PULL_REQUEST}/merge"),
        ("pull_request_target" | "schedule", _) => format!("refs/heads/{}", identity.default_branch),
        (_, Some(tag)) => format!("refs/tags/{tag}"),
        _ => format!("refs/heads/{}", identity.branch),
    }
}

/// The payload of `event`.
pub fn payload(event: &str, identity: &Identity, wishes: &Wishes) -> Map<String, Json> {
    let mut payload = Map::new();
    match event {
        "push" => push(&mut payload, identity),
        "pull_request" | "pull_request_target" => pull_request(&mut payload, event, identity),
        "workflow_dispatch" => {
            payload.insert("inputs".into(), json!(wishes.inputs));
            payload.insert("ref".into(), json!(git_ref(event, identity)));
            payload.insert("workflow".into(), json!(wishes.workflow_file));
        }
        "schedule" => {
            payload.insert("schedule".into(), json!(wishes.cron));
        }
        "release" => {
            let tag = identity.tag.clone().unwrap_or_else(|| "v0.0.0".into());
            payload.insert(
                "release".into(),
                json!({"tag_name": tag, "name": tag, "draft": false, "prerelease": false, "body": "",
                       "target_commitish": identity.default_branch, "author": user(&identity.actor)}),
            );
        }
        _ => {}
    }
    let activity = wishes.activity.as_deref().or(usual_activity(event));
    if let Some(activity) = activity {
        payload.insert("action".into(), json!(activity));
    }
    payload.insert("repository".into(), repository(identity));
    payload.insert("sender".into(), user(&identity.actor));
    payload
}

/// The activity type of events that have them, as GitHub sends it first.
fn usual_activity(event: &str) -> Option<&'static str> {
    Some(match event {
        "pull_request" | "pull_request_target" | "issues" => "opened",
        "release" => "published",
        "issue_comment" | "pull_request_review_comment" | "label" | "milestone" | "discussion" => "created",
        "pull_request_review" => "submitted",
        "workflow_run" | "check_run" | "check_suite" => "completed",
        "merge_group" => "checks_requested",
        _ => return None,
    })
}

fn push(payload: &mut Map<String, Json>, identity: &Identity) {
    let person = json!({"name": identity.author, "email": identity.email, "username": identity.actor});
    let commit = json!({
        "id": identity.sha, "message": identity.message, "timestamp": identity.time, "distinct": true,
        "author": person, "committer": person, "url": format!("{}/commit/{}", identity.html_url, identity.sha),
        "added": [], "removed": [], "modified": identity.changed,
    });
    let some_commit = identity.sha != NO_COMMIT;
    payload.insert("ref".into(), json!(git_ref("push", identity)));
    payload.insert("before".into(), json!(identity.parent));
    payload.insert("after".into(), json!(identity.sha));
    payload.insert("base_ref".into(), Json::Null);
    payload.insert("created".into(), json!(false));
    payload.insert("deleted".into(), json!(false));
    payload.insert("forced".into(), json!(false));
    let compare = format!("{}/compare/{}...{}", identity.html_url, identity.parent, identity.sha);
    payload.insert("compare".into(), json!(compare));
    payload.insert("commits".into(), if some_commit { json!([commit]) } else { json!([]) });
    payload.insert("head_commit".into(), if some_commit { commit } else { Json::Null });
    payload.insert("pusher".into(), json!({"name": identity.actor, "email": identity.email}));
}

fn pull_request(payload: &mut Map<String, Json>, event: &str, identity: &Identity) {
    let side = |branch: &str, sha: &str| {
        json!({"ref": branch, "sha": sha, "label": format!("{}:{branch}", owner(identity)),
               "user": user(owner(identity)), "repo": repository(identity)})
    };
    let title = identity.message.lines().next().unwrap_or_default();
    let base = if identity.parent == NO_COMMIT { &identity.sha } else { &identity.parent };
    payload.insert("number".into(), json!(PULL_REQUEST));
    payload.insert(
        "pull_request".into(),
        json!({
            "number": PULL_REQUEST, "state": "open", "title": title, "body": "", "draft": false, "merged": false,
            "locked": false, "labels": [], "assignees": [], "requested_reviewers": [],
            "user": user(&identity.actor), "author_association": "OWNER",
            "html_url": format!("{}/pull/{PULL_REQUEST}", identity.html_url),
            "merge_commit_sha": if event == "pull_request" { json!(identity.sha) } else { Json::Null },
            "head": side(&identity.branch, &identity.sha),
            "base": side(&identity.default_branch, base),
        }),
    );
}

fn owner(identity: &Identity) -> &str {
    identity.repository.split('/').next().unwrap_or("local")
}

fn user(login: &str) -> Json {
    json!({"login": login, "type": "User", "site_admin": false})
}

fn repository(identity: &Identity) -> Json {
    let name = identity.repository.rsplit('/').next().unwrap_or("checkout");
    json!({
        "name": name, "full_name": identity.repository, "owner": user(owner(identity)), "private": false,
        "fork": false, "default_branch": identity.default_branch, "html_url": identity.html_url,
        "url": identity.html_url, "clone_url": format!("{}.git", identity.html_url), "visibility": "public",
    })
}
