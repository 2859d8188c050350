#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;
use slipway_scheduler::command::Trust;

use super::payload::{self, Place, Start};
use super::signature;
use crate::mirror::Change;
use crate::options::{Repository, WebhookOptions};

#[test]
fn githubs_own_example_is_valid() {
    // GitHub docs, "Validating webhook deliveries", test values.
    let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(signature::is_valid("It's a Secret to Everybody", b"Hello, World!", Some(header)));
    for (secret, body, header) in [
        ("It's a secret to everybody", "Hello, World!", Some(header)),
        ("It's a Secret to Everybody", "Hello, World", Some(header)),
        ("It's a Secret to Everybody", "Hello, World!", Some(&header[..header.len() - 2])),
        ("It's a Secret to Everybody", "Hello, World!", Some(&header[7..])),
        ("It's a Secret to Everybody", "Hello, World!", Some("sha256=")),
        ("It's a Secret to Everybody", "Hello, World!", None),
    ] {
        assert!(!signature::is_valid(secret, body.as_bytes(), header), "{header:?}");
    }
}

fn push() -> serde_json::Value {
    json!({
        "ref": "refs/heads/main",
        "after": "a".repeat(40),
        "repository": {"full_name": "o/n", "clone_url": "https://forge.example/o/n.git",
                       "html_url": "https://forge.example/o/n"},
        "sender": {"login": "ada"},
    })
}

#[test]
fn a_push_is_read() {
    let occasion = payload::read("push", &push(), &WebhookOptions::default()).unwrap();
    assert_eq!((occasion.repository.as_str(), occasion.forge.as_str()), ("o/n", "forge.example"));
    let [start] = occasion.starts.as_slice() else { panic!("{occasion:?}") };
    let place = Place::Commit { git_ref: "refs/heads/main".into(), sha: "a".repeat(40) };
    assert_eq!((&start.place, start.trust), (&place, Trust::Trusted));
}

#[test]
fn what_starts_nothing_says_why() {
    let change = |pointer: &str, value: serde_json::Value| {
        let mut payload = push();
        *payload.pointer_mut(pointer).unwrap() = value;
        payload::read("push", &payload, &WebhookOptions::default()).unwrap_err()
    };
    assert!(change("/after", json!("--upload-pack=x")).contains("commit"));
    assert!(change("/repository/clone_url", json!("ext::sh -c x")).contains("http"));
    assert!(change("/repository/full_name", json!(7)).contains("repository.full_name"));
    let mut deleted = push();
    deleted["deleted"] = json!(true);
    assert!(payload::read("push", &deleted, &WebhookOptions::default()).unwrap_err().contains("deleted"));
}

#[test]
fn only_served_repositories_count() {
    let known = Repository { name: "O/N".into(), clone_url: "https://mirror/o-n.git".into() };
    let configured = WebhookOptions { repositories: vec![known], ..WebhookOptions::default() };
    assert_eq!(payload::read("push", &push(), &configured).unwrap().clone_url, "https://mirror/o-n.git");
    let other = WebhookOptions { allowed: vec!["o/other".into()], ..WebhookOptions::default() };
    assert!(payload::read("push", &push(), &other).unwrap_err().contains("o/n"));
}

/// What an event starts, of a payload with these fields beside the repository.
fn starts(event: &str, fields: serde_json::Value) -> Result<Vec<Start>, String> {
    let mut payload = push();
    let object = payload.as_object_mut().unwrap();
    object.remove("ref");
    object.remove("after");
    object.extend(fields.as_object().unwrap().clone());
    Ok(payload::read(event, &payload, &WebhookOptions::default())?.starts)
}

fn pull(head_repository: &str) -> serde_json::Value {
    json!({
        "action": "opened", "number": 5,
        "pull_request": {
            "number": 5, "merge_commit_sha": "c".repeat(40), "mergeable": null, "merged": false,
            "head": {"ref": "topic", "sha": "b".repeat(40), "repo": {"full_name": head_repository}},
            "base": {"ref": "main", "sha": "d".repeat(40)},
        },
    })
}

#[test]
fn a_pull_request_starts_its_merge_and_the_bases_own_workflows() {
    let found = starts("pull_request", pull("fork/n")).unwrap();
    let [merge, target] = found.as_slice() else { panic!("{found:?}") };
    let (head, base) = ("b".repeat(40), "d".repeat(40));
    assert_eq!(merge.place, Place::Pull { number: 5, head: head.clone(), merge: Some("c".repeat(40)) });
    assert_eq!((merge.trust, merge.head.as_ref()), (Trust::Untrusted, Some(&head)));
    assert_eq!(merge.change, Some(Change::Topic { base: base.clone(), head }));
    assert_eq!((target.event.as_str(), target.trust), ("pull_request_target", Trust::Trusted));
    assert_eq!(target.place, Place::Commit { git_ref: "refs/heads/main".into(), sha: base });
    assert_eq!(target.head, None, "no message skips it");
    assert_eq!(starts("pull_request", pull("O/n")).unwrap()[0].trust, Trust::Trusted);
    let review = starts("pull_request_review", pull("fork/n")).unwrap();
    assert_eq!((review.len(), review[0].trust), (1, Trust::Untrusted));
}

#[test]
fn a_merged_pull_request_runs_on_its_base_and_one_in_conflict_only_the_bases_workflows() {
    let mut merged = pull("o/n");
    merged["action"] = json!("closed");
    merged["pull_request"]["merged"] = json!(true);
    let place = Place::Commit { git_ref: "refs/heads/main".into(), sha: "c".repeat(40) };
    assert_eq!(starts("pull_request", merged).unwrap()[0].place, place);
    let mut conflict = pull("o/n");
    conflict["pull_request"]["mergeable"] = json!(false);
    let events: Vec<String> =
        starts("pull_request", conflict.clone()).unwrap().into_iter().map(|start| start.event).collect();
    assert_eq!(events, ["pull_request_target"]);
    assert!(starts("pull_request_review", conflict).unwrap_err().contains("conflicts"));
}

#[test]
fn each_event_has_its_place() {
    let tip = |git_ref: &str| Place::Tip { git_ref: git_ref.to_owned() };
    let sha = "e".repeat(40);
    let commit = |git_ref: &str| Place::Commit { git_ref: git_ref.to_owned(), sha: sha.clone() };
    for (event, fields, place) in [
        ("issues", json!({"action": "opened"}), Place::Default),
        ("status", json!({"sha": sha}), Place::Default),
        ("delete", json!({"ref": "x", "ref_type": "branch"}), Place::Default),
        ("workflow_run", json!({"workflow_run": {"head_branch": "x"}}), Place::Default),
        ("create", json!({"ref": "x", "ref_type": "branch"}), tip("refs/heads/x")),
        ("create", json!({"ref": "v1", "ref_type": "tag"}), tip("refs/tags/v1")),
        ("release", json!({"release": {"tag_name": "v1", "draft": false}}), tip("refs/tags/v1")),
        ("workflow_dispatch", json!({"ref": "refs/heads/x", "workflow": "a.yml"}), tip("refs/heads/x")),
        (
            "merge_group",
            json!({"merge_group": {"head_ref": "refs/heads/q", "head_sha": sha}}),
            commit("refs/heads/q"),
        ),
        ("deployment", json!({"deployment": {"ref": "main", "sha": sha}}), commit("refs/heads/main")),
        ("deployment_status", json!({"deployment": {"ref": sha, "sha": sha}}), commit("")),
    ] {
        assert_eq!(starts(event, fields).unwrap()[0].place, place, "{event}");
    }
    assert!(starts("release", json!({"release": {"tag_name": "v1", "draft": true}})).is_err());
    assert!(starts("create", json!({"ref": "a:b", "ref_type": "branch"})).is_err());
    let dispatch = json!({"ref": "main", "workflow": ".github/workflows/a.yml@refs/heads/main"});
    let only = starts("workflow_dispatch", dispatch).unwrap().remove(0).only;
    assert_eq!(only.as_deref(), Some(".github/workflows/a.yml"));
}

#[test]
fn a_push_is_compared_with_what_was_there() {
    let (zero, before, after) = ("0".repeat(40), "1".repeat(40), "2".repeat(40));
    let change = |git_ref: &str, before: &str, commits: serde_json::Value| {
        let fields = json!({"ref": git_ref, "before": before, "after": after, "commits": commits});
        starts("push", fields).unwrap().remove(0).change
    };
    let between = Change::Between { before: before.clone(), after: after.clone() };
    assert_eq!(change("refs/heads/x", &before, json!([])), Some(between));
    let since = Change::Since { first: before.clone(), after: after.clone() };
    assert_eq!(change("refs/heads/x", &zero, json!([{"id": before}])), Some(since));
    assert_eq!(change("refs/heads/x", &zero, json!([])), None);
    assert_eq!(change("refs/tags/x", &before, json!([])), None);
}
