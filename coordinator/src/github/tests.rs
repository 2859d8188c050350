#![allow(clippy::unwrap_used)]

use serde_json::json;
use slipway_scheduler::command::Trust;

use super::{payload, signature};
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
    assert_eq!((occasion.git_ref.as_str(), occasion.trust), ("refs/heads/main", Trust::Trusted));
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

#[test]
fn a_forks_pull_request_is_untrusted() {
    let mut payload = push();
    payload["number"] = json!(5);
    payload["pull_request"] =
        json!({"merge_commit_sha": null, "head": {"sha": "b".repeat(40), "repo": {"full_name": "fork/n"}}});
    let occasion = payload::read("pull_request", &payload, &WebhookOptions::default()).unwrap();
    assert_eq!((occasion.git_ref.as_str(), occasion.trust), ("refs/pull/5/head", Trust::Untrusted));
    payload["pull_request"]["merge_commit_sha"] = json!("c".repeat(40));
    payload["pull_request"]["head"]["repo"]["full_name"] = json!("O/n");
    let occasion = payload::read("pull_request", &payload, &WebhookOptions::default()).unwrap();
    assert_eq!((occasion.git_ref.as_str(), occasion.trust), ("refs/pull/5/merge", Trust::Trusted));
    assert_eq!(occasion.sha, "c".repeat(40));
}
