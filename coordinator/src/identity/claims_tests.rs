//! Claims and subjects, by table.

use serde_json::{Value as Json, json};

use super::*;

fn specification(change: impl FnOnce(&mut Json)) -> OfJob {
    let mut specification = json!({
        "version": 3, "workflow_file": ".github/workflows/ci.yml", "job": "deploy", "name": "deploy",
        "contexts": {"inputs": {}, "github": {
            "event_name": "push", "event": {"ignored": [1, 2]}, "ref": "refs/heads/main", "ref_type": "branch",
            "sha": "a".repeat(40), "head_ref": "", "base_ref": "", "repository": "octo/app",
            "repository_owner": "octo", "repository_id": "74", "repository_owner_id": "65",
            "repository_visibility": "private", "actor": "ada", "actor_id": "12", "run_id": "0199",
            "run_number": "10", "run_attempt": "2", "workflow": "CI",
            "workflow_ref": "octo/app/.github/workflows/ci.yml@refs/heads/main",
            "workflow_sha": "a".repeat(40), "server_url": "https://git.example.com", "ref_protected": false,
        }},
        "source": {"kind": "none"}, "permissions": [["id-token", "write"]],
    });
    change(&mut specification);
    serde_json::from_value(specification).unwrap()
}

fn claims(job: &OfJob) -> Json {
    let claims = job.claims("https://ci.example.com", "aud".to_owned(), "id".to_owned(), 10_000);
    serde_json::to_value(claims).unwrap()
}

#[test]
fn the_subject_follows_githubs_rules() {
    let tree = json!({"kind": "tree", "digest": "a", "size_bytes": 1});
    for (event, git_ref, environment, source, expected) in [
        ("push", "refs/heads/main", None, None, "repo:octo/app:ref:refs/heads/main"),
        ("push", "refs/tags/v1", None, None, "repo:octo/app:ref:refs/tags/v1"),
        ("workflow_dispatch", "refs/heads/x/y", None, None, "repo:octo/app:ref:refs/heads/x/y"),
        ("schedule", "refs/heads/main", None, None, "repo:octo/app:ref:refs/heads/main"),
        ("pull_request", "refs/pull/7/merge", None, None, "repo:octo/app:pull_request"),
        ("pull_request_target", "refs/heads/main", None, None, "repo:octo/app:ref:refs/heads/main"),
        ("pull_request", "refs/pull/7/merge", Some("test"), None, "repo:octo/app:environment:test"),
        ("push", "refs/heads/main", Some("Prod: EU"), None, "repo:octo/app:environment:Prod%3A EU"),
        (
            "push",
            "refs/heads/a:environment:b",
            None,
            None,
            "repo:octo/app:ref:refs/heads/a%3Aenvironment%3Ab",
        ),
        ("push", "refs/heads/main", None, Some(tree.clone()), "repo:octo/app:uploaded"),
        ("push", "refs/heads/main", Some("prod"), Some(tree), "repo:octo/app:environment:prod"),
    ] {
        let job = specification(|specification| {
            let github = &mut specification["contexts"]["github"];
            github["event_name"] = json!(event);
            github["ref"] = json!(git_ref);
            if let Some(name) = environment {
                specification["environment"] = json!({"name": name});
            }
            if let Some(source) = source {
                specification["source"] = source;
            }
        });
        assert_eq!(claims(&job)["sub"], expected);
    }
}

#[test]
fn claims_are_githubs_and_what_is_unknown_is_left_out() {
    let job = specification(|_| {});
    let expected = json!({
        "iss": "https://ci.example.com", "sub": "repo:octo/app:ref:refs/heads/main", "aud": "aud", "jti": "id",
        "iat": 10_000, "nbf": 9_700, "exp": 10_300, "ref": "refs/heads/main", "ref_type": "branch",
        "sha": "a".repeat(40), "head_ref": "", "base_ref": "", "repository": "octo/app",
        "repository_owner": "octo", "repository_id": "74", "repository_owner_id": "65",
        "repository_visibility": "private", "actor": "ada", "actor_id": "12", "event_name": "push",
        "run_id": "0199", "run_number": "10", "run_attempt": "2", "runner_environment": "self-hosted",
        "workflow": "CI", "workflow_ref": "octo/app/.github/workflows/ci.yml@refs/heads/main",
        "workflow_sha": "a".repeat(40),
        "job_workflow_ref": "octo/app/.github/workflows/ci.yml@refs/heads/main",
        "job_workflow_sha": "a".repeat(40),
    });
    assert_eq!(claims(&job), expected);
    assert_eq!(job.default_audience(), "https://git.example.com/octo");

    let unknown = specification(|specification| {
        for key in ["repository_id", "repository_owner_id", "repository_visibility", "actor_id", "sha"] {
            specification["contexts"]["github"][key] = json!("");
        }
        specification["environment"] = json!({"name": "prod"});
    });
    let claims = claims(&unknown);
    for key in ["repository_id", "repository_owner_id", "repository_visibility", "actor_id", "sha"] {
        assert_eq!(claims.get(key), None, "{key}");
    }
    assert_eq!(claims["environment"], "prod");
    for name in claims.as_object().unwrap().keys() {
        assert!(NAMES.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn code_that_was_uploaded_is_of_no_ref_and_no_commit() {
    let job = specification(|specification| {
        specification["source"] = json!({"kind": "tree", "digest": "a", "size_bytes": 1});
    });
    let claims = claims(&job);
    for name in claims.as_object().unwrap().keys() {
        assert!(
            !["ref", "ref_type", "sha"].contains(&name.as_str()) && !name.contains("workflow_"),
            "{name}"
        );
    }
}

#[test]
fn a_called_workflow_is_named_beside_the_one_that_called_it() {
    let job =
        |file: &str| claims(&specification(|specification| specification["workflow_file"] = json!(file)));
    let near = job(".github/workflows/deploy.yml");
    assert_eq!(near["job_workflow_ref"], "octo/app/.github/workflows/deploy.yml@refs/heads/main");
    assert_eq!(near["job_workflow_sha"], "a".repeat(40));
    let far = job("octo/shared/.github/workflows/deploy.yml@v1");
    assert_eq!(far["job_workflow_ref"], "octo/shared/.github/workflows/deploy.yml@v1");
    assert_eq!(far.get("job_workflow_sha"), None, "its ref is no commit");
    assert_eq!(far["workflow_ref"], "octo/app/.github/workflows/ci.yml@refs/heads/main");
}

#[test]
fn only_id_token_write_gives_leave() {
    for (permissions, expected) in [
        (json!([["id-token", "write"]]), true),
        (json!([["contents", "read"], ["id-token", "write"]]), true),
        (json!([["*", "write"]]), true),
        (json!([["*", "read"]]), false),
        (json!([["contents", "write"]]), false),
        (json!([["id-token", "read"]]), false),
        (json!([]), false),
    ] {
        let job = specification(|specification| specification["permissions"] = permissions.clone());
        assert_eq!(job.permissions.may_identify(), expected, "{permissions}");
    }
}
