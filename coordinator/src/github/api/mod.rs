//! GitHub's API, as far as it is told of runs: checks of an App, statuses of a token, deliveries of an App's webhook.
//!
//! Invariant: no token or key is in a message, a log line or a `Debug`. An answer that is not understood is an error, never a
//! panic. GitHub's limits are kept by whoever sends: [`limits`] reads from each answer how long nothing may be asked.

mod answer;
mod checks;
mod compare;
mod deliveries;
mod deployments;
mod http;
mod identity;
mod jwt;
mod limits;
mod remembered;
pub mod setup;
mod statuses;
#[cfg(test)]
mod tests;

pub(in crate::github) use checks::{CANCEL, RERUN};
pub(in crate::github) use deployments::named as deployment_named;
#[cfg(test)]
pub(in crate::github) use tests::test_key;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::Value as Json;
use slipway_kit::clock::Clock;

use self::answer::Answer;
use self::http::Transport;
use self::identity::Identity;
use self::limits::Budget;
use crate::forge::{
    Commits, Deploying, Deployment, DeploymentStatus, Forge, ForgeError, Missed, Place, Report, Seen,
};
use crate::options::{GithubIdentity, GithubOptions};

/// GitHub over its API.
#[derive(Debug)]
pub struct Github {
    transport: Transport,
    identity: Identity,
    budget: Budget,
    /// The App's id or client id; `None`: a token.
    app: Option<String>,
    statuses: bool,
    host: String,
    timeout: Duration,
}

/// The forge's host of an API's address, as payloads name it.
fn host_of(api: &str) -> String {
    let rest = api.split_once("://").map_or(api, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    if host == "api.github.com" {
        "github.com".to_owned()
    } else {
        host.strip_prefix("api.").filter(|host| host.ends_with(".ghe.com")).unwrap_or(host).to_owned()
    }
}

/// Owner and name, percent-encoded where they would mean something else in a path.
fn in_path(repository: &str) -> String {
    repository.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2D", "-")
        .replace("%2E", ".")
        .replace("%5F", "_")
}

impl Github {
    /// A client.
    ///
    /// # Errors
    /// One reason: the machine's certificates cannot be read, or the key cannot be used.
    pub fn new(options: &GithubOptions, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let app = match &options.identity {
            GithubIdentity::App { id, .. } => Some(id.clone()),
            GithubIdentity::Token(_) => None,
        };
        Ok(Self {
            transport: Transport::new(&options.api, options.timeout)?,
            timeout: options.timeout,
            identity: Identity::new(&options.identity, Arc::clone(&clock))?,
            budget: Budget::new(clock),
            app,
            statuses: options.statuses,
            host: host_of(&options.api),
        })
    }

    /// Asks as whoever may do something in a repository. A token that is not good any more is renewed once.
    async fn ask(
        &self,
        repository: &str,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Answer, ForgeError> {
        let token = self.identity.for_repository(&self.transport, &self.budget, repository).await?;
        match self.send(repository, &token, method.clone(), path, body).await? {
            Ok(answer) => return Ok(answer),
            Err(_) if self.app.is_some() => self.identity.forget(repository, &token),
            Err(error) => return Err(error),
        }
        let token = self.identity.for_repository(&self.transport, &self.budget, repository).await?;
        self.send(repository, &token, method, path, body).await?
    }

    /// Asks as the App itself.
    async fn ask_as_app(&self, method: Method, path: &str) -> Result<Answer, ForgeError> {
        let token = self.identity.app_token()?;
        self.send(identity::APP, &token, method, path, None).await?
    }

    /// The inner error: the token is not good (any more).
    async fn send(
        &self,
        whose: &str,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Result<Answer, ForgeError>, ForgeError> {
        let answer = self.transport.send(whose, token, method, path, body).await?;
        self.budget.heed(&answer);
        match answer.status {
            401 => Ok(Err(ForgeError::Later { wait: None, message: answer.told("the token is not taken") })),
            _ => Ok(Ok(limits::judge(answer, self.budget.now_s())?)),
        }
    }
}

#[async_trait::async_trait]
impl Forge for Github {
    fn host(&self) -> &str {
        &self.host
    }

    fn answers_within(&self) -> Duration {
        self.timeout
    }

    fn annotations_at_once(&self) -> usize {
        checks::ANNOTATIONS_AT_ONCE
    }

    fn has_room(&self) -> bool {
        // A status has neither steps nor a place for them.
        self.app.is_some() && self.budget.has_room()
    }

    async fn find(&self, place: &Place, name: &str, external_id: &str) -> Result<Option<Seen>, ForgeError> {
        match &self.app {
            Some(app) => checks::find(self, app, place, name, external_id).await,
            None => Ok(None),
        }
    }

    async fn look(&self, place: &Place, id: u64) -> Result<Seen, ForgeError> {
        match &self.app {
            Some(_) => checks::look(self, place, id).await,
            // A status that is told again is the same one: the newest counts.
            None => Ok(Seen { id, done: false, annotations: usize::MAX }),
        }
    }

    async fn make(&self, place: &Place, report: &Report) -> Result<u64, ForgeError> {
        if self.app.is_none() {
            return statuses::tell(self, place, report).await;
        }
        if self.statuses {
            statuses::tell(self, place, report).await?;
        }
        checks::make(self, place, report).await
    }

    async fn change(&self, place: &Place, id: u64, report: &Report) -> Result<(), ForgeError> {
        if self.app.is_none() {
            return statuses::tell(self, place, report).await.map(drop);
        }
        if self.statuses && report.stage.is_done() {
            statuses::tell(self, place, report).await?;
        }
        checks::change(self, place, id, report).await
    }

    async fn find_deployment(&self, place: &Place, wanted: &Deployment) -> Result<Option<u64>, ForgeError> {
        deployments::find(self, place, wanted).await
    }

    async fn deploy(&self, place: &Place, wanted: &Deployment) -> Result<u64, ForgeError> {
        deployments::make(self, place, wanted).await
    }

    async fn deployed(&self, place: &Place, id: u64) -> Result<Option<Deploying>, ForgeError> {
        deployments::newest(self, place, id).await
    }

    async fn say_deployed(
        &self,
        place: &Place,
        id: u64,
        environment: &str,
        status: &DeploymentStatus,
    ) -> Result<(), ForgeError> {
        deployments::say(self, place, id, environment, status).await
    }

    async fn commits(&self, repository: &str, base: &str, head: &str) -> Result<Commits, ForgeError> {
        compare::commits(self, repository, base, head).await
    }

    async fn missed(&self, since_ms: u64) -> Result<Option<Vec<Missed>>, ForgeError> {
        match &self.app {
            Some(_) => deliveries::missed(self, since_ms).await.map(Some),
            None => Ok(None),
        }
    }

    async fn redeliver(&self, id: u64) -> Result<(), ForgeError> {
        deliveries::redeliver(self, id).await
    }

    fn is_own(&self, event: &str, payload: &Json) -> bool {
        let Some(app) = &self.app else { return false };
        if !matches!(event, "check_run" | "check_suite") {
            return false;
        }
        let said = payload.get(event).and_then(|about| about.get("app"));
        let id = said.and_then(|app| app.get("id")).and_then(Json::as_u64);
        let client = said.and_then(|app| app.get("client_id")).and_then(Json::as_str);
        id.is_some_and(|id| id.to_string() == *app) || client == Some(app)
    }
}
