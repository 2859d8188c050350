//! Deployments and their statuses (GitHub docs, "REST API endpoints for deployments" and "… deployment statuses").

use axum::http::Method;
use serde_json::{Value as Json, json};

use super::{Github, in_path, segment};
use crate::forge::{Deploying, Deployment, DeploymentStatus, ForgeError, Place};

/// Pages of a hundred deployments of one commit to one environment that are gone through.
const PAGES_MAX: u32 = 10;

/// What kind of deployment it is: GitHub's own word for the usual one.
const TASK: &str = "deploy";

/// Where in a deployment's payload stands what we call it.
pub(in crate::github) const NAMED: &str = "slipway";

/// Finds a deployment by what we call it.
pub(super) async fn find(
    github: &Github,
    place: &Place,
    wanted: &Deployment,
) -> Result<Option<u64>, ForgeError> {
    let (repository, sha) = (in_path(&place.repository), segment(&place.sha));
    let environment = segment(&wanted.environment);
    for page in 1..=PAGES_MAX {
        let path = format!(
            "/repos/{repository}/deployments?sha={sha}&task={TASK}&environment={environment}&per_page=100&page={page}"
        );
        let answer = github.ask(&place.repository, Method::GET, &path, None).await?;
        let some = answer.body.as_array();
        let some = some.ok_or_else(|| ForgeError::Uncertain("the answer is no list".to_owned()))?;
        let found = some.iter().find(|one| named(one).as_deref() == Some(&wanted.external_id));
        if let Some(found) = found {
            let id = found.get("id").and_then(Json::as_u64);
            return id.map(Some).ok_or_else(|| ForgeError::Uncertain("the answer has no `id`".to_owned()));
        }
        if some.len() < 100 {
            break;
        }
    }
    Ok(None)
}

/// What a deployment is called by us. GitHub gives a payload back as it came, or as text.
pub(in crate::github) fn named(deployment: &Json) -> Option<String> {
    let payload = deployment.get("payload")?;
    let parsed = payload.as_str().and_then(|text| serde_json::from_str::<Json>(text).ok());
    parsed.as_ref().unwrap_or(payload).get(NAMED)?.as_str().map(str::to_owned)
}

/// Makes a deployment of exactly this commit: nothing is merged, and no check is waited for.
pub(super) async fn make(github: &Github, place: &Place, wanted: &Deployment) -> Result<u64, ForgeError> {
    let path = format!("/repos/{}/deployments", in_path(&place.repository));
    let body = json!({
        "ref": place.sha, "task": TASK, "auto_merge": false, "required_contexts": [],
        "environment": wanted.environment, "description": wanted.description,
        "transient_environment": false,
        "production_environment": wanted.environment.eq_ignore_ascii_case("production"),
        "payload": {NAMED: wanted.external_id},
    });
    github.ask(&place.repository, Method::POST, &path, Some(&body)).await?.number("/id")
}

/// What was said of it last.
pub(super) async fn newest(github: &Github, place: &Place, id: u64) -> Result<Option<Deploying>, ForgeError> {
    let path = format!("/repos/{}/deployments/{id}/statuses?per_page=1", in_path(&place.repository));
    let answer = github.ask(&place.repository, Method::GET, &path, None).await?;
    let said = answer.body.pointer("/0/state").and_then(Json::as_str);
    Ok(said.and_then(|said| STATES.iter().find(|(_, word)| *word == said)).map(|(state, _)| *state))
}

/// Says how far it is. With success GitHub makes the earlier ones of the environment inactive.
pub(super) async fn say(
    github: &Github,
    place: &Place,
    id: u64,
    environment: &str,
    status: &DeploymentStatus,
) -> Result<(), ForgeError> {
    let path = format!("/repos/{}/deployments/{id}/statuses", in_path(&place.repository));
    let word = STATES.iter().find(|(state, _)| *state == status.state).map_or("error", |(_, word)| word);
    let mut body = json!({
        "state": word, "environment": environment, "description": status.description, "auto_inactive": true,
    });
    if let Some(url) = &status.log_url {
        body["log_url"] = json!(url);
    }
    if let Some(url) = &status.environment_url {
        body["environment_url"] = json!(url);
    }
    github.ask(&place.repository, Method::POST, &path, Some(&body)).await.map(drop)
}

/// What waits for approval is `pending`: `waiting` is a word that only GitHub itself may say.
const STATES: [(Deploying, &str); 7] = [
    (Deploying::Pending, "pending"),
    (Deploying::Queued, "queued"),
    (Deploying::Running, "in_progress"),
    (Deploying::Success, "success"),
    (Deploying::Failure, "failure"),
    (Deploying::Error, "error"),
    (Deploying::Inactive, "inactive"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_from_an_object_and_from_text() {
        assert_eq!(named(&json!({"payload": {"slipway": "a"}})).as_deref(), Some("a"));
        assert_eq!(named(&json!({"payload": "{\"slipway\":\"a\"}"})).as_deref(), Some("a"));
        for other in [json!({}), json!({"payload": "slipway"}), json!({"payload": {"slipway": 1}}), json!([])]
        {
            assert_eq!(named(&other), None);
        }
    }
}
