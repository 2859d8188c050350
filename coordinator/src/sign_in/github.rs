//! GitHub's OAuth: a code for a token, and with it the login, organisations and teams of whoever signed in. The token is forgotten then.

use serde_json::Value as Json;

use super::ask::{self, fields};
use super::attempt::Attempt;
use super::limits::PAGES_MAX;
use super::{CODE_USED, Exchange, Person, Refusal, told};
use crate::https::Client;

/// GitHub, or an Enterprise Server.
#[derive(Debug)]
pub(super) struct Github {
    client: Client,
    url: String,
    api: String,
    /// Whether a rule names a group: then organisations and teams are asked for.
    asks_groups: bool,
}

impl Github {
    pub(super) fn new(client: Client, url: &str, api: &str, asks_groups: bool) -> Self {
        Self { client, url: url.to_owned(), api: api.to_owned(), asks_groups }
    }

    /// Where somebody is sent.
    pub(super) fn address(&self, client_id: &str, back: &str, attempt: &Attempt) -> String {
        let challenge = attempt.challenge();
        let mut query = vec![
            ("client_id", client_id),
            ("redirect_uri", back),
            ("state", &attempt.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if self.asks_groups {
            query.push(("scope", "read:org"));
        }
        format!("{}/login/oauth/authorize?{}", self.url, fields(&query))
    }

    fn trouble(&self, why: &str) -> Refusal {
        tracing::warn!(github = self.url, why, "GitHub cannot be used to sign in");
        Refusal::Trouble(told(&format!("the provider {} cannot be used at the moment: {why}", self.url)))
    }

    /// Who gave this code.
    pub(super) async fn person(&self, exchange: Exchange<'_>) -> Result<Person, Refusal> {
        let token = self.token(exchange).await.map_err(|why| self.trouble(&why))?;
        let token = token.ok_or_else(|| Refusal::Again(CODE_USED.to_owned()))?;
        self.look_up(&token).await.map_err(|why| self.trouble(&why))
    }

    /// A token for the code; `None`: it is not good any more.
    async fn token(&self, exchange: Exchange<'_>) -> Result<Option<String>, String> {
        let pairs = [
            ("client_id", exchange.client_id),
            ("client_secret", exchange.secret.unwrap_or_default()),
            ("code", exchange.code),
            ("redirect_uri", exchange.back),
            ("code_verifier", &exchange.attempt.verifier),
        ];
        let request = ask::form(&format!("{}/login/oauth/access_token", self.url), &pairs, None)?;
        let answered = ask::send(&self.client, request).await?;
        if text(&answered.body, "/error").as_deref() == Some("bad_verification_code") {
            return Ok(None);
        }
        if let Some(fault) = answered.fault() {
            return Err(format!("it did not take the code: {fault}"));
        }
        text(&answered.body, "/access_token").map(Some).ok_or_else(|| "it gave no token".to_owned())
    }

    async fn look_up(&self, token: &str) -> Result<Person, String> {
        let user = ask::send(&self.client, ask::look(&format!("{}/user", self.api), Some(token))?).await?;
        if let Some(fault) = user.fault() {
            return Err(format!("it does not say who you are: {fault}"));
        }
        let name = text(&user.body, "/login").ok_or("it does not say who you are")?;
        let mut groups = Vec::new();
        if self.asks_groups {
            let of_org = |org: &Json| text(org, "/login");
            groups.extend(self.all("/user/orgs", token, of_org).await?);
            let of_team = |team: &Json| {
                Some(format!("{}/{}", text(team, "/organization/login")?, text(team, "/slug")?))
            };
            groups.extend(self.all("/user/teams", token, of_team).await?);
        }
        Ok(Person { name, groups })
    }

    /// Reads all pages of a list.
    async fn all(
        &self,
        path: &str,
        token: &str,
        read: impl Fn(&Json) -> Option<String>,
    ) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for page in 1..=PAGES_MAX {
            let url = format!("{}{path}?per_page=100&page={page}", self.api);
            let answered = ask::send(&self.client, ask::look(&url, Some(token))?).await?;
            if let Some(fault) = answered.fault() {
                return Err(format!("it does not tell of {path}: {fault}"));
            }
            let list = answered.body.as_array().ok_or_else(|| format!("{path} is no list"))?;
            found.extend(list.iter().filter_map(&read));
            if !answered.has_more {
                break;
            }
        }
        Ok(found)
    }
}

fn text(json: &Json, pointer: &str) -> Option<String> {
    json.pointer(pointer).and_then(Json::as_str).map(str::to_owned)
}
