//! What an identity token says of a job: GitHub's claims (GitHub docs, "OpenID Connect reference").
//!
//! Everything comes from what the coordinator planned and wrote down itself; nothing is taken from the job but the audience. What is
//! not known is left out, so that no policy can be met by an empty text.

use serde::{Deserialize, Serialize};
use slipway_workflow::calls::FileName;
use slipway_workflow::job_spec::{EnvironmentSpec, Source};

use super::limits::{CLOCKS_APART, TOKEN_LIFE};

/// Of a job specification, whether it may have an identity.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Permissions {
    #[serde(default)]
    permissions: Vec<(String, String)>,
}

/// Of a job specification, what its identity depends on.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct OfJob {
    workflow_file: String,
    contexts: Contexts,
    #[serde(default)]
    environment: Option<EnvironmentSpec>,
    #[serde(flatten)]
    pub(super) permissions: Permissions,
    #[serde(default)]
    source: Source,
}

#[derive(Debug, Clone, Deserialize)]
struct Contexts {
    github: Github,
}

/// Of the `github` context, what claims say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Github {
    event_name: String,
    #[serde(rename = "ref")]
    git_ref: String,
    ref_type: String,
    sha: String,
    head_ref: String,
    base_ref: String,
    repository: String,
    repository_owner: String,
    repository_id: String,
    repository_owner_id: String,
    repository_visibility: String,
    actor: String,
    actor_id: String,
    run_id: String,
    run_number: String,
    run_attempt: String,
    workflow: String,
    workflow_ref: String,
    workflow_sha: String,
    server_url: String,
}

/// The claims. All but the times are texts, as GitHub's are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    /// Unix seconds, like the next two.
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(rename = "ref", skip_serializing_if = "String::is_empty")]
    git_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ref_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sha: String,
    // GitHub has these two empty where there is no pull request.
    head_ref: String,
    base_ref: String,
    repository: String,
    repository_owner: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    repository_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    repository_owner_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    repository_visibility: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    actor: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    actor_id: String,
    event_name: String,
    run_id: String,
    run_number: String,
    run_attempt: String,
    runner_environment: &'static str,
    workflow: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workflow_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workflow_sha: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    job_workflow_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    job_workflow_sha: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
}

/// The names of the claims, for the discovery document.
pub(super) const NAMES: [&str; 30] = [
    "sub",
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "ref",
    "ref_type",
    "sha",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "actor",
    "actor_id",
    "run_id",
    "run_number",
    "run_attempt",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "job_workflow_ref",
    "job_workflow_sha",
    "head_ref",
    "base_ref",
    "event_name",
    "environment",
    "runner_environment",
];

/// One text of a subject: no colon of a name may look like one of the form, as on GitHub.
fn word(text: &str) -> String {
    text.replace(':', "%3A")
}

impl Permissions {
    /// Whether its permissions have `id-token: write`.
    pub(super) fn may_identify(&self) -> bool {
        let gives =
            |(scope, level): &(String, String)| (scope == "id-token" || scope == "*") && level == "write";
        self.permissions.iter().any(gives)
    }
}

impl OfJob {
    /// The audience where the job names none: whose repository it is, as on GitHub.
    pub(super) fn default_audience(&self) -> String {
        let github = &self.contexts.github;
        format!("{}/{}", github.server_url, github.repository_owner)
    }

    /// Whether its code is somebody's working tree, which may be anything.
    fn is_uploaded(&self) -> bool {
        matches!(self.source, Source::Tree { .. })
    }

    /// Who the job is. An environment goes before everything, for its rules were kept; code that somebody uploaded from a working tree is
    /// of no ref, whatever ref its run names.
    fn subject(&self) -> String {
        let github = &self.contexts.github;
        let repository = word(&github.repository);
        let rest = match &self.environment {
            Some(environment) => format!("environment:{}", word(&environment.name)),
            None if self.is_uploaded() => "uploaded".to_owned(),
            None if github.event_name == "pull_request" => "pull_request".to_owned(),
            None => format!("ref:{}", word(&github.git_ref)),
        };
        format!("repo:{repository}:{rest}")
    }

    /// The workflow file that has the job, which a called one is itself.
    fn own_workflow(&self) -> (String, String) {
        let github = &self.contexts.github;
        match FileName::from_text(&self.workflow_file) {
            // Which commit its ref was is not in the specification.
            remote @ FileName::Remote { .. } => (remote.to_string(), String::new()),
            FileName::Local { path } => {
                (format!("{}/{path}@{}", github.repository, github.git_ref), github.sha.clone())
            }
        }
    }

    /// The claims of a token that is issued now.
    pub(super) fn claims(&self, issuer: &str, audience: String, id: String, now_s: u64) -> Claims {
        let mut github = self.contexts.github.clone();
        let (mut job_workflow_ref, mut job_workflow_sha) = self.own_workflow();
        if self.is_uploaded() {
            for claim in [
                &mut github.git_ref,
                &mut github.ref_type,
                &mut github.sha,
                &mut github.workflow_ref,
                &mut github.workflow_sha,
                &mut job_workflow_ref,
                &mut job_workflow_sha,
            ] {
                claim.clear();
            }
        }
        Claims {
            iss: issuer.to_owned(),
            sub: self.subject(),
            aud: audience,
            jti: id,
            iat: now_s,
            nbf: now_s.saturating_sub(CLOCKS_APART.as_secs()),
            exp: now_s.saturating_add(TOKEN_LIFE.as_secs()),
            git_ref: github.git_ref,
            ref_type: github.ref_type,
            sha: github.sha,
            head_ref: github.head_ref,
            base_ref: github.base_ref,
            repository: github.repository,
            repository_owner: github.repository_owner,
            repository_id: github.repository_id,
            repository_owner_id: github.repository_owner_id,
            repository_visibility: github.repository_visibility,
            actor: github.actor,
            actor_id: github.actor_id,
            event_name: github.event_name,
            run_id: github.run_id,
            run_number: github.run_number,
            run_attempt: github.run_attempt,
            runner_environment: "self-hosted",
            workflow: github.workflow,
            workflow_ref: github.workflow_ref,
            workflow_sha: github.workflow_sha,
            job_workflow_ref,
            job_workflow_sha,
            environment: self.environment.as_ref().map(|environment| environment.name.clone()),
        }
    }
}

impl Claims {
    /// For whom and for what, in the audit trail.
    pub(super) fn told(&self) -> String {
        format!("{} for {}", self.sub, self.aud)
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
